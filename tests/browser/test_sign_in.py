from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from sql_synthesizer.model import Role
from tests.browser.acts import ask
from tests.browser.conftest import LiveApp, OpenPage


def _sign_in(open_page: OpenPage, app: LiveApp, key: str) -> Page:
    page = open_page(app)
    expect(page).to_have_url(app.address + "/login")
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    return page


def test_a_wrong_key_is_refused_with_words(open_page: OpenPage, locked_app: LiveApp) -> None:
    page = _sign_in(open_page, locked_app, "sqs_wrong_key")
    expect(page.get_by_role("alert")).to_have_text(re.compile("key is not valid"))
    expect(page.get_by_label("API key")).to_be_focused()


@pytest.mark.parametrize("role", list(Role))
def test_each_role_sees_what_it_may_use(open_page: OpenPage, locked_app: LiveApp, role: Role) -> None:
    page = _sign_in(open_page, locked_app, locked_app.rooms.access.keys.create_key(f"browser {role}", role))
    page.locator("#schema .table").first.wait_for()
    card = ask(page, "How many customers are there?")
    expect(card.locator(".single-value")).to_be_visible()
    card.get_by_label("Right answer").click()
    expect(card.get_by_label("Right answer")).to_have_attribute("aria-pressed", "true")
    writes_sql = role.includes(Role.ANALYST)
    assert page.get_by_role("tab", name="SQL").is_visible() == writes_sql
    assert card.get_by_role("button", name="CSV").is_visible() == writes_sql
    assert card.get_by_role("button", name="Edit").is_visible() == writes_sql
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(locked_app.address + "/login")


def test_a_session_that_ended_leads_to_sign_in(open_page: OpenPage, locked_app: LiveApp) -> None:
    page = _sign_in(open_page, locked_app, locked_app.rooms.access.keys.create_key("ending", Role.VIEWER))
    page.locator("#schema .table").first.wait_for()
    page.context.clear_cookies()
    card = ask(page, "How many customers are there?")
    expect(card).to_have_attribute("data-reason", "authentication_required")
    card.get_by_role("link", name="Sign in").click()
    expect(page).to_have_url(locked_app.address + "/login")
