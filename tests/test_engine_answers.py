"""The embedded engine: newcomers' questions over three databases, executed; what it declines; what it says."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import pytest
import sqlglot

from sql_synthesizer.errors import Declined
from sql_synthesizer.model import Schema, Statement
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.embedded import EmbeddedSynthesizer
from sql_synthesizer.synthesizer.engine.readings import Reading, read_question
from tests.support import port
from tests.support.worlds import QUESTIONS, world

TODAY = datetime.date(2026, 3, 15)
NOT_YET = {
    "How many orders did each client place?",
    "products that are out of stock",
    "Which products were ordered by Aldo?",
}
"""Questions that are declined, or answered wrongly with a mark."""
CASES = [(name, question) for name, questions in QUESTIONS.items() for question in questions if question not in NOT_YET]


def context(name: str, question: str, schema: Schema | None = None) -> Context:
    _, known, values = world(name)
    return Context(question, schema or known, values, TODAY, 1000, time.monotonic() + 10)


def ask(name: str, question: str) -> Statement:
    return EmbeddedSynthesizer().synthesize(context(name, question))


def read(name: str, question: str) -> Reading:
    return read_question(context(name, question))[0]


def rows(name: str, sql: str) -> list[tuple[object, ...]]:
    return world(name)[0].execute(sql).fetchall()


@pytest.mark.parametrize(("name", "question"), CASES)
def test_right_rows(name: str, question: str) -> None:
    """Each row that is asked for, and no other; a column more, by which rows are ranked, may be shown."""
    found, wanted = rows(name, ask(name, question).sql), rows(name, QUESTIONS[name][question])
    assert len(found) == len(wanted)
    assert all(any({*map(str, row)} <= {*map(str, other)} for other in found) for row in wanted)


@pytest.mark.parametrize(
    ("name", "question", "sql"),
    [
        ("music", "name of the vocalist of the record Dawn", "SELECT artists.name"),
        ("music", "artsts born in 1991", "birth_year = 1991"),
        ("orders", "average cost of merchandise", "AVG(price)"),
        ("films", "Which members are from Leeds or York?", "town = 'Leeds' OR town = 'York'"),
        ("films", "How many members are at least 45 years old?", "age >= 45"),
        ("films", "What is the title of the films with the highest rating?", "ORDER BY rating DESC"),
        ("orders", "clients whose name contains the letter o", "LIKE '%o%'"),
    ],
)
def test_readings(name: str, question: str, sql: str) -> None:
    assert sql in read(name, question).sql


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("names of the friends of Ann", {"Bob", "Cal"}),
        ("names of people who like Ann", {"Cal"}),
        ("How many friends does Ann have?", {2}),
        ("people who have no friends", {"Cal"}),
        ("names of ferries from Oban to Mull", {"Tern"}),
        ("names of ferries departing from Oban", {"Tern", "Skua"}),
        ("How many ferries arrive in Oban?", {1}),
        ("What is the average miles per gallon of the ferries?", {3.5}),
    ],
)
def test_a_table_that_refers_twice_to_another(question: str, expected: set[object]) -> None:
    assert {row[0] for row in rows("twice", read("twice", question).sql)} == expected


@pytest.mark.parametrize(
    "question",
    [
        "",
        "?",
        "How does one find true happiness?",
        "What is the capital of France?",
        "boats that were stolen",
        "delete all boats",
        "boats; drop table boats",
        "select * from boats",
        "the weather in Northport",
        "how many boats sank last year",
        "average name of boats",
        "percentage of boats",
        "harbors near Northport",
        "how many boats sorted by price",
        "distinct hull colors of boats sorted by length",
        "boats with more than many trips",
        "what is the color of Comet and not",
        "which trips go to Northport from Eastquay",
        "top 5 boats",
        "boats " * 100,
        "1" * 400,
        '"' * 1000,
        "\x00\x01",
    ],
)
def test_declines(question: str) -> None:
    asked = Context(question, port.schema, port.values, TODAY, 1000, time.monotonic() + 10)
    with pytest.raises(Declined) as caught:
        EmbeddedSynthesizer().synthesize(asked)
    assert caught.value.suggestions


def test_it_says_what_it_read() -> None:
    statement = ask("films", "members who live in Leeds and are older than 40")
    assert statement.source == "rules"
    assert "“members” as members" in read("films", "Which members rented Gamma?").explain()
    doubtful = ask("films", "Which members borrowed Gamma?")
    assert "left out: “borrowed”" in doubtful.explanation
    assert "Not sure of this" in doubtful.explanation
    assert doubtful.confidence == pytest.approx(0.8, abs=0.15)
    asked = context("films", "Which members borrowed Gamma?")
    assert "Not sure" not in EmbeddedSynthesizer(sure=0.5).synthesize(asked).explanation


def test_a_decline_says_what_it_could_have_meant() -> None:
    with pytest.raises(Declined) as caught:
        ask("films", "the wobbly members who borrowed Gamma gladly")
    assert "members" in caught.value.choices[0]
    assert caught.value.body("")["choices"] == list(caught.value.choices)


def test_the_same_words_give_the_same_sql() -> None:
    first = [reading.sql for reading in read_question(context("orders", "clients with orders in 2024"))]
    assert first == [reading.sql for reading in read_question(context("orders", "clients with orders in 2024"))]


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("name", sorted(QUESTIONS))
def test_every_dialect_parses(dialect: str, name: str) -> None:
    schema = replace(world(name)[1], dialect=dialect)
    for question in QUESTIONS[name]:
        for reading in read_question(context(name, question, schema))[:2]:
            assert isinstance(sqlglot.parse_one(reading.sql, dialect=DIALECTS[dialect].sqlglot), sqlglot.exp.Query)


def test_sensitive_columns_are_not_shown_unasked() -> None:
    hidden = tuple(
        replace(t, columns=tuple(replace(c, sensitive=c.name == "town") for c in t.columns))
        for t in world("films")[1].tables
    )
    schema = replace(world("films")[1], tables=hidden)
    for question in ("all information about members", "members older than 40"):
        assert "town" not in read_question(context("films", question, schema))[0].sql
