"""What a question or a cell holds at its extremes: numbers, dates, formulas, letters that fold together."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql_synthesizer.errors import Declined, StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Column, ColumnKind, Schema, Statement, Table
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.schema.values import NO_VALUES
from sql_synthesizer.settings import load
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.rules import RulesSynthesizer
from sql_synthesizer.web.csv import csv_lines
from tests.support.app import App, running

pytestmark = pytest.mark.boundary

TABLE = Table(
    "orders",
    (
        Column("id", ColumnKind.INTEGER, primary_key=True),
        Column("price", ColumnKind.NUMBER),
        Column("created", ColumnKind.DATE),
        Column("status", ColumnKind.TEXT),
    ),
)
NINES = "9" * 309
"""Digits of a number that no float holds."""

# --- numbers and dates of a question ----------------------------------------------------------


def ask_rules(question: str, dialect: str = "sqlite") -> str | None:
    """The statement that the rules write; None when they decline."""
    context = Context(question, Schema("shop", dialect, (TABLE,)), NO_VALUES, dt.date(2026, 11, 29), 100, 0.0)
    try:
        return RulesSynthesizer().synthesize(context).sql
    except Declined:
        return None


@pytest.mark.parametrize(
    "question",
    [
        f"top {NINES} orders by price",
        f"show {NINES} orders",
        f"orders with price above {NINES}",
        f"orders with price between 1 and {NINES}",
        f"orders of the last {NINES} days",
        f"orders where id is {NINES}k",
        "orders where id is 9007199254740993",
        "orders created on 9999-12-31",
        'orders created after "9999-12-31"',
        "orders created in ² March 2025",
        "orders created on 31 February 2025",
    ],
)
def test_a_number_or_date_out_of_bounds_is_declined(question: str) -> None:
    assert ask_rules(question) is None


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("orders where id is 9007199254740991", "9007199254740991"),
        ("top 1m orders by price", "1000000"),
        ("orders created on 9999-12-30", "9999-12-31"),
    ],
)
def test_the_largest_that_are_exact_are_answered(question: str, part: str) -> None:
    assert part in (ask_rules(question) or "")


WORDS = st.sampled_from(
    "top last first show orders order price id created status by per in on of from between and above below than more "
    "days weeks months years quarter q1 march 5th 2025 9999 1500 0 -1 1e9 0.5 3k 2m 9999-12-31 0001-01-01 2024-02-30 "
    "'x' \"9999-12-31\" yesterday today average highest no not ² ٣ Ⅷ ½ , % > <= ( )".split(" ")
)
NUMBERS = st.integers(0, 400).map(lambda length: "9" * length) | st.floats().map(str) | st.integers().map(str)
QUESTIONS = st.lists(WORDS | NUMBERS | st.text(max_size=6), max_size=12).map(" ".join)


@given(QUESTIONS)
@settings(max_examples=500, deadline=None)
def test_every_question_is_answered_or_declined(question: str) -> None:
    ask_rules(question)


def test_a_huge_number_is_no_failure_of_the_service(app: App) -> None:
    reply = app.ask(f"top {NINES} products by price")
    assert (reply.status_code, reply.get_json()["reason"]) == (422, "declined")


# --- numbers of a statement -------------------------------------------------------------------

STATEMENTS = [
    "SELECT id FROM orders LIMIT {}",
    "SELECT id FROM orders LIMIT 1 OFFSET {}",
    "SELECT CAST(status AS VARCHAR({})) FROM orders",
    "SELECT CAST(price AS DECIMAL({}, 2)) FROM orders",
    "SELECT id FROM orders WHERE id = {}",
    "SELECT id FROM orders ORDER BY {}",
    "SELECT substr(status, {}) FROM orders",
    "SELECT * FROM generate_series(1, {})",
    "SELECT sum(id) OVER (ROWS BETWEEN {} PRECEDING AND CURRENT ROW) FROM orders",
]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("sql", STATEMENTS)
@pytest.mark.parametrize("number", ["9" * 4400, "0x" + "9" * 4400, "9" * 4400 + ".0", "1e" + "9" * 4400])
def test_a_statement_with_a_huge_number_is_refused(dialect: str, sql: str, number: str) -> None:
    with pytest.raises(StatementRefused):
        StatementGuard().check(
            Statement(sql.format(number), "analyst"), Schema("shop", dialect, (TABLE,)), max_rows=100
        )


# --- what an answer is cached under -----------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("customers named Weiß", "customers named Weiss"),
        ("orders in the US", "orders in the us"),
        ("products named ﬁne", "products named fine"),
        ("products named İ", "products named i̇"),
    ],
)
def test_letters_that_fold_together_are_other_questions(app: App, first: str, second: str) -> None:
    for question in (first, second):
        app.ask(question)
    assert app.counted("cache_operations_total", hit_miss="hit") == 0


@pytest.mark.server
def test_an_answer_of_another_database_of_that_name_is_not_used(
    app_settings: dict[str, Any], demo_path: Path, tmp_path: Path, own_redis: Any
) -> None:
    sources = []
    for name in ("one", "two", "two"):
        copy = shutil.copy(demo_path, tmp_path / name)
        Path(app_settings["databases_file"]).write_text(
            json.dumps({"databases": {"shop": {"url": f"sqlite:///{copy}"}}})
        )
        with running(load(**app_settings, cache="redis", redis_url=own_redis.url)) as app:
            sources.append(app.ask("how many orders are there").get_json()["source"])
    assert sources == ["rules", "rules", "cache"]


# --- cells in a spreadsheet -------------------------------------------------------------------

BLANKS = ("", " ", "\t", "\r", "\n", "\xa0", "\u200b", "\ufeff", "\u2066", "\x01", " \u200b\n")
SIGNS = "=+-@＝＋－＠﹦﹢﹣﹫⁼₌−"


@pytest.mark.parametrize("before", ["", "a;", "a\t", "a\r\n"])
@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("blank", BLANKS)
def test_no_cell_runs_in_a_spreadsheet(before: str, blank: str, sign: str) -> None:
    ((cell,),) = csv.reader(io.StringIO("".join(csv_lines([[f"{before}{blank}{sign}1+1"]])), newline=""))
    assert cell == f"{before}{blank}'{sign}1+1", "the apostrophe makes a text of what follows"


@pytest.mark.parametrize(
    "cell", ["a=1", "1-2", "well-known; a - b", "e@mail.org", "", " ", "a ; b", "'=1", "\t" * 100_000]
)
def test_a_text_that_is_no_formula_stays(cell: str) -> None:
    assert list(csv.reader(io.StringIO("".join(csv_lines([[cell]])), newline=""))) == [[cell]]
