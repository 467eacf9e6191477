"""What a person does on the page."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


def ask(page: Page, question: str) -> Locator:
    """Asks by keyboard and returns the card of the reply."""
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")
    return reply(page)


def run(page: Page, sql: str, database: str = "odd") -> Locator:
    """Runs a statement in the SQL tab and returns the card of the reply."""
    page.locator("#database").select_option(database)
    page.get_by_role("tab", name="SQL").click()
    page.locator("#sql").fill(sql)
    page.locator("#sql").press("Control+Enter")
    return reply(page)


def reply(page: Page) -> Locator:
    """The card of the answer or problem, once the page is no longer waiting."""
    expect(page.locator("#answer:not([aria-busy]) > .card")).to_be_visible()
    return page.locator("#answer > .card")
