"""The security officer's page as a person meets it: by keyboard, on a small screen, without scripts."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.model import Role
from sql_synthesizer.telemetry import vocabulary
from tests.browser.conftest import MARKUP, LiveApp, OpenPage
from tests.browser.test_looks import FAINT_TEXT

WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


@pytest.fixture(scope="module", autouse=True)
def _recorded(live_app: LiveApp) -> None:
    """Records of other callers, hostile and long ones among them."""
    facade = live_app.rooms.telemetry
    for n in range(60):
        with facade.operation(vocabulary.COMMAND) as operation:
            operation.trace.actor, operation.trace.address = f"key-{n % 3}", "192.0.2.1"
            question = MARKUP if n == 5 else "how many customers are there " * (n % 9)
            facade.emit(
                vocabulary.SECURITY_EVENTS["query_execution"], question=question, outcome="answered", sql="SELECT 1"
            )
            if n % 7 == 0:
                facade.emit(vocabulary.SECURITY_EVENTS["sql_injection_attempt"], rule="x" * 300, layer="shape")
            facade.settle()


@pytest.fixture
def audit(open_page: OpenPage, live_app: LiveApp) -> Page:
    return open_page(live_app, "/audit")


def test_an_operator_finds_the_page_searches_and_reads_a_record(open_page: OpenPage, live_app: LiveApp) -> None:
    page = open_page(live_app)
    page.get_by_role("link", name="Audit", exact=True).click()
    expect(page.get_by_role("heading", name="Audit record")).to_be_visible()
    page.get_by_label("Event").select_option("sql_injection_attempt")
    page.get_by_label("Actor").fill("key-0")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.get_by_label("Actor")).to_have_value("key-0")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="sql_injection_attempt")).to_be_visible()
    page.get_by_role("link", name="All records of this trace").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.get_by_label("Trace id")).to_be_visible()


def test_pages_lead_back_and_to_the_newest(audit: Page) -> None:
    first = audit.locator("tbody a").first.get_attribute("href")
    audit.get_by_role("link", name="Older").click()
    expect(audit.get_by_role("link", name="Newest")).to_be_visible()
    assert audit.locator("tbody a").first.get_attribute("href") != first


def test_only_operators_are_led_there(open_page: OpenPage, locked_app: LiveApp) -> None:
    page = open_page(locked_app, "/audit")
    expect(page).to_have_url(locked_app.address + "/login?next=/audit")
    page.get_by_label("API key").fill(locked_app.rooms.access.keys.create_key("viewer", Role.VIEWER))
    page.keyboard.press("Enter")
    page.locator("#schema .table").first.wait_for()
    expect(page.get_by_role("link", name="Audit", exact=True)).to_have_count(0)
    page.goto(locked_app.address + "/audit")
    expect(page.get_by_role("heading", name="Your role does not allow this.")).to_be_visible()


def test_markup_in_a_record_is_text(open_page: OpenPage, live_app: LiveApp) -> None:
    page = open_page(live_app, "/audit?limit=500&actor=key-2&event_type=query_execution")
    expect(page.get_by_text(MARKUP)).to_be_visible()
    page.locator("tr", has_text=MARKUP).get_by_role("link").click()
    expect(page.locator("p.told")).to_have_text(MARKUP)
    assert page.evaluate("window.struck") is None


def test_it_works_without_scripts(open_page: OpenPage, live_app: LiveApp) -> None:
    page = open_page(live_app, "/audit", java_script_enabled=False)
    page.get_by_label("Actor").fill("key-1")
    page.get_by_role("button", name="Search").click()
    page.locator("tbody a").first.click()
    expect(page.get_by_role("heading", name="Place in the chain")).to_be_visible()


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_and_fits(open_page: OpenPage, live_app: LiveApp, width: int, scheme: str) -> None:
    page = open_page(live_app, "/audit", width=width, color_scheme=scheme)
    addresses = ["/audit?severity=high&limit=5", "/audit?actor=nobody", "/audit?limit=9999&value=x"]
    for address in [*addresses, page.locator("tbody a").first.get_attribute("href")]:
        page.goto(live_app.address + address)
        assert page.evaluate(FAINT_TEXT) == []
        assert not page.evaluate(WIDE), address


def test_the_command_can_be_copied(open_page: OpenPage, live_app: LiveApp) -> None:
    page = open_page(live_app, "/audit", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_text("Copied").first).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "sql-synthesizer audit verify"


def test_every_field_has_a_label_and_every_column_a_header(audit: Page) -> None:
    unnamed = "[...document.querySelectorAll('main input, main select')].filter((n) => !n.labels.length).length"
    assert audit.evaluate(unnamed) == 0
    headers = audit.locator("th[scope=col]").all_text_contents()
    assert headers == ["Time (UTC)", "Event", "Severity", "Actor", "Address", "What"]


def test_the_standing_of_the_record_is_told(open_page: OpenPage, live_app: LiveApp) -> None:
    settings, keyring = live_app.rooms.settings, live_app.rooms.audit.keyring
    verify_record(settings.audit_path, keyring).state.save(settings.audit_state_path, keyring.current)
    page = open_page(live_app, "/audit")
    expect(page.get_by_role("heading", name="No fault at the last verification")).to_be_visible()
