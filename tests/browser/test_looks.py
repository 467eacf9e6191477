from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import sql_synthesizer
from tests.browser.acts import ask, run
from tests.browser.conftest import LiveApp, OpenPage

STATIC = Path(sql_synthesizer.__file__).parent / "web" / "ui" / "static"

FAINT_TEXT = """() => {
  const channel = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parts = (c) => c.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const found = parts(getComputedStyle(node).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const shown = (node) => node.checkVisibility() && node.getClientRects().length && !node.closest(".visually-hidden");
  const own = (node) => [...node.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
  return [...document.querySelectorAll("body *")].filter((n) => own(n) && shown(n) && !n.disabled).flatMap((node) => {
    const [a, b] = [light(parts(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const found = `${ratio.toFixed(2)} ${node.tagName}.${node.className}: ${node.textContent.slice(0, 40)}`;
    return ratio < 4.5 ? [found] : [];
  });
}"""
"""Elements whose text has less than the contrast that WCAG 2.2 asks for at level AA."""

FOCUSED = """() => {
  const node = document.activeElement;
  const outlined = getComputedStyle(node).outlineStyle !== "none" || node.matches("#ask textarea");
  return [node.id || node.getAttribute("aria-label") || node.textContent.trim(), outlined];
}"""
"""What has the focus, and whether it can be seen; the question's whole card shows its focus."""


def _busy_page(page: Page) -> None:
    run(page, "SELECT region, sum(amount) AS amount, 1.5 AS x, NULL AS y FROM sales WHERE day > '2025' GROUP BY region")
    page.get_by_label("Wrong answer").click()
    page.locator(".timings summary").click()
    page.locator("#schema .toggle").first.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_system_chooses_the_theme_and_every_text_can_be_read(
    open_page: OpenPage, live_app: LiveApp, scheme: str
) -> None:
    page = open_page(live_app, color_scheme=scheme)
    _busy_page(page)
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (brightness > 128) == (scheme == "light")
    assert page.evaluate(FAINT_TEXT) == []
    run(page, "DELETE FROM sales")
    assert page.evaluate(FAINT_TEXT) == []


def test_a_theme_chosen_is_kept(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Switch between light and dark").click()
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


@pytest.mark.parametrize("width", [360, 768])
def test_nothing_is_wider_than_a_small_screen(open_page: OpenPage, live_app: LiveApp, width: int) -> None:
    page = open_page(live_app, width=width)
    wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not page.evaluate(wide)
    for sql in (
        "SELECT id, title, rating, serial, title AS again, title AS more FROM memos",
        "SELECT day, amount FROM sales ORDER BY day",
        "SELECT region, sum(amount) AS amount FROM sales GROUP BY region",
        "SELECT * FROM nowhere_" + "x" * 200,
    ):
        run(page, sql)
        assert not page.evaluate(wide), sql


def test_the_keyboard_reaches_everything_in_order_and_focus_is_seen(page: Page) -> None:
    ask(page, "How many customers are there?")
    page.locator(".skip").first.focus()
    seen: list[str] = []
    while not seen or (seen[-1] != "API" and len(seen) < 100):
        name, visible = page.evaluate(FOCUSED)
        assert visible, f"no visible focus on {name}"
        seen.append(name)
        page.keyboard.press("Tab")
    wanted = ["Skip to the question", "tab-question", "question", "Ask", "Copy the SQL", "tab-schema", "schema-search"]
    places = [seen.index(name) for name in wanted]
    assert places == sorted(places)


def test_skip_links_lead_to_question_and_answer(page: Page) -> None:
    ask(page, "How many customers are there?")
    page.evaluate("document.activeElement.blur()")
    page.locator(".skip").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.locator(".skip").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_be_focused()


def test_tabs_move_by_arrow_keys(page: Page) -> None:
    page.locator("#tab-question").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-sql")).to_be_focused()
    expect(page.locator("#panel-sql")).to_be_visible()
    expect(page.locator("#panel-question")).to_be_hidden()


def test_an_unknown_address_is_a_page_for_people(open_page: OpenPage, live_app: LiveApp) -> None:
    page = open_page(live_app, "/nowhere")
    page.get_by_role("link", name="Ask a question").click()
    expect(page.locator("#question")).to_be_visible()


def test_vendored_files_are_those_of_the_release() -> None:
    vendored = STATIC / "vendor" / "uplot"
    lines = (vendored / "VERSION").read_text(encoding="utf-8").splitlines()
    listed = dict(reversed(line.split()) for line in lines if line.count("  ") == 1)
    assert {path.name for path in vendored.iterdir()} - {"VERSION"} == set(listed)
    for name, digest in listed.items():
        assert hashlib.sha256((vendored / name).read_bytes()).hexdigest() == digest
