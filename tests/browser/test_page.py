from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect

from tests.browser.acts import ask, reply, run
from tests.browser.conftest import MARKUP, LiveApp, OpenPage

COUNT = "How many customers are there?"


def test_a_question_is_asked_and_answered_by_keyboard_alone(page: Page) -> None:
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type(COUNT)
    page.keyboard.press("Enter")
    card = reply(page)
    expect(card.locator("h2")).to_have_text(COUNT)
    expect(card.locator(".single-value")).to_have_text(re.compile(r"^[\d,]+$"))
    expect(card.locator(".sql pre")).to_contain_text(re.compile("count", re.IGNORECASE))
    expect(card.locator(".source")).to_have_text(re.compile("Rules|Cache"))
    expect(page.get_by_role("status").first).to_contain_text("1 row")
    expect(page.locator("#question")).to_be_focused()


def test_shift_enter_starts_a_new_line(page: Page) -> None:
    page.keyboard.type("How many")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("customers")
    expect(page.locator("#question")).to_have_value("How many\ncustomers")
    expect(page.locator("#answer")).to_be_empty()


def test_an_empty_question_is_not_sent(page: Page) -> None:
    page.keyboard.press("Enter")
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#question")).to_be_focused()


@pytest.mark.parametrize(("database", "known"), [("shop", "customers"), ("odd", "memos")])
def test_every_example_is_answered(page: Page, database: str, known: str) -> None:
    page.locator("#database").select_option(database)
    page.locator("#schema .name", has_text=known).first.wait_for()
    chips = page.locator("#examples .chip")
    for question in chips.all_text_contents():
        page.locator("#examples").get_by_text(question, exact=True).click()
        expect(page.locator("#answer h2")).to_have_text(question)
        expect(page.locator("#answer > .answer")).to_be_visible()


def test_cells_are_shown_exactly(page: Page) -> None:
    card = run(page, "SELECT id, title, rating, serial FROM memos ORDER BY id")
    rows = [row.locator("td").all_text_contents() for row in card.locator("tbody tr").all()]
    assert rows[0] == ["1", MARKUP, "0.3", "9007199254740993"]
    assert rows[1] == ["2", "null", "null", "2"]
    assert rows[2][1:3] == ["empty", "3.5"]
    assert card.locator("thead th").all_text_contents() == ["id", "title", "rating", "serial"]
    expect(card.locator("tbody td").first).to_have_css("text-align", "right")
    expect(card.locator("tbody td").nth(1)).to_have_css("text-align", "left")
    expect(card.locator("thead th").first).to_have_css("position", "sticky")


def test_markup_stays_text(page: Page) -> None:
    run(page, f"SELECT title AS \"<b>t</b>\", '{MARKUP}' AS other FROM memos ORDER BY id")
    page.get_by_label(f"Columns of {MARKUP}").click()
    page.get_by_role("tab", name="Question").click()
    ask(page, MARKUP)
    page.get_by_role("tab", name="History").click()
    page.locator("#history .past").first.wait_for()
    assert page.evaluate("window.struck") is None
    assert page.locator("main img, main b").count() == 0


def test_pages_go_forward_and_back(page: Page) -> None:
    card = run(page, "SELECT id FROM orders ORDER BY id LIMIT 250", database="shop")
    pager = card.locator(".pager")
    expect(pager).to_contain_text("Rows 1 to 100 of 250")
    pager.get_by_role("button", name="Next").click()
    expect(pager).to_contain_text("Rows 101 to 200 of 250")
    pager.get_by_role("button", name="Next").click()
    expect(pager).to_contain_text("Rows 201 to 250 of 250")
    expect(card.locator("tbody tr")).to_have_count(50)
    expect(pager.get_by_role("button", name="Next")).to_be_disabled()
    pager.get_by_role("button", name="Previous").click()
    expect(card.locator("tbody tr")).to_have_count(100)


def test_the_answer_is_downloaded_as_csv(page: Page) -> None:
    card = run(page, "SELECT id, title FROM memos WHERE id = 2")
    with page.expect_download() as download:
        card.get_by_role("button", name="CSV").click()
    assert Path(download.value.path()).read_text(encoding="utf-8-sig").split() == ["id,title", "2,"]


def test_sql_and_trace_id_are_copied(open_page: OpenPage, live_app: LiveApp) -> None:
    page = open_page(live_app, permissions=["clipboard-read", "clipboard-write"])
    card = ask(page, COUNT)
    card.get_by_role("button", name="Copy the SQL").click()
    expect(page.locator("#status")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.split() == card.locator(".sql pre").inner_text().split()
    card.get_by_role("button", name="Copy the trace id").click()
    page.wait_for_function("async (old) => (await navigator.clipboard.readText()) !== old", arg=copied)
    assert re.fullmatch("[0-9a-f]{32}", page.evaluate("navigator.clipboard.readText()"))


def test_a_category_and_a_number_become_bars(page: Page) -> None:
    card = run(page, "SELECT region, sum(amount) AS amount FROM sales GROUP BY region ORDER BY region")
    expect(card.locator(".bars li")).to_have_count(4)
    expect(card.locator(".bars li").first).to_contain_text("region 0")


def test_dates_and_a_number_become_a_line_that_follows_the_theme(page: Page) -> None:
    card = run(page, "SELECT day, amount FROM sales ORDER BY day")
    expect(card.locator(".line canvas")).to_be_visible()
    drawn = "document.querySelector('.line canvas').toDataURL()"
    light = page.evaluate(drawn)
    assert len(light) > 5_000
    page.get_by_role("button", name="Switch between light and dark").click()
    page.wait_for_function(f"old => {drawn} !== old", arg=light)


def test_rows_that_suit_no_chart_get_none(page: Page) -> None:
    card = run(page, "SELECT id, title, rating, serial FROM memos")
    expect(card.locator("table")).to_be_visible()
    assert card.locator(".chart").count() == 0


def test_stages_are_timed(page: Page) -> None:
    card = ask(page, COUNT)
    card.locator(".timings summary").click()
    assert card.locator(".timing-list li").count() >= 2


def test_a_problem_says_why_and_what_to_do(page: Page) -> None:
    replies: list[Response] = []
    page.on("response", lambda r: replies.append(r) if r.url.endswith("/api/sql") else None)
    card = run(page, "DELETE FROM memos")
    expect(card).to_have_attribute("data-reason", "statement_refused")
    body = replies[0].json()
    expect(card.locator("h2")).to_have_text(body["message"])
    expect(card.locator(".hint")).to_have_text(body["hint"])
    expect(card.locator(".trace code")).to_have_text(replies[0].headers["x-trace-id"])


def test_a_suggestion_is_asked_by_a_click(page: Page) -> None:
    card = ask(page, "How is the weather on the moon tomorrow?")
    expect(card).to_have_attribute("data-reason", "declined")
    chip = card.locator(".chip").first
    question = chip.inner_text()
    chip.click()
    expect(page.locator("#answer > .answer h2")).to_have_text(question)


def test_waiting_can_be_cancelled_and_tried_again(page: Page) -> None:
    page.route("**/api/query", lambda _route: None)
    page.locator("#question").fill(COUNT)
    page.locator("#question").press("Enter")
    expect(page.locator("#answer .clock")).not_to_have_text("0.0 s")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#answer")).to_have_text("Cancelled.")
    page.unroute("**/api/query")
    expect(ask(page, COUNT).locator(".single-value")).to_be_visible()


def test_an_unreachable_service_is_a_problem_that_passes(page: Page) -> None:
    page.route("**/api/query", lambda route: route.abort())
    card = ask(page, COUNT)
    expect(card).to_have_attribute("data-reason", "unreachable")
    page.unroute("**/api/query")
    card.get_by_role("button", name="Try again").click()
    expect(page.locator("#answer > .answer")).to_be_visible()


def test_feedback_is_sent_and_shown(page: Page, live_app: LiveApp) -> None:
    card = ask(page, COUNT)
    up, down = card.get_by_label("Right answer"), card.get_by_label("Wrong answer")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    expect(up).to_have_attribute("aria-pressed", "false")
    card.get_by_placeholder("What was wrong?").fill("too few")
    with page.expect_response("**/api/feedback") as sent:
        card.get_by_role("button", name="Send").click()
    assert sent.value.status == 201
    assert sent.value.request.post_data_json["comment"] == "too few"


def test_history_lists_and_asks_again(page: Page) -> None:
    ask(page, COUNT)
    run(page, "SELECT 41 + 1 AS sum FROM memos", database="odd")
    page.get_by_role("tab", name="History").click()
    past = page.locator("#history .past")
    expect(past.first).to_contain_text("SELECT 41")
    past.filter(has_text=COUNT).first.click()
    expect(page.locator("#answer h2")).to_have_text(COUNT)
    expect(page.locator("#database")).to_have_value("shop")
    past.filter(has_text="SELECT 41").first.click()
    expect(page.locator("#sql")).to_have_value(re.compile("SELECT 41"))


def test_the_sql_of_an_answer_can_be_edited(page: Page) -> None:
    ask(page, COUNT).get_by_role("button", name="Edit").click()
    expect(page.locator("#sql")).to_be_focused()
    expect(page.locator("#sql")).to_have_value(re.compile("customers"))


def test_the_schema_is_searched_and_names_are_inserted(page: Page) -> None:
    page.locator("#schema-search").fill("email")
    line = page.locator("#schema .column", has_text="email").first
    expect(line).to_contain_text("sensitive")
    page.locator("#question").fill("list")
    line.get_by_role("button").click()
    expect(page.locator("#question")).to_have_value("list email")
    page.locator("#schema-search").fill("no such name")
    expect(page.locator("#schema-note")).to_have_text("Nothing has that name.")


def test_a_name_is_quoted_where_sql_needs_it(page: Page) -> None:
    page.locator("#database").select_option("odd")
    expect(page.locator("#schema-left-out")).to_have_text("Left out: broken (cannot be read).")
    page.get_by_role("tab", name="SQL").click()
    page.locator("#schema .name", has_text=MARKUP).click()
    expect(page.locator("#sql")).to_have_value('"' + MARKUP.replace('"', '""') + '"')
