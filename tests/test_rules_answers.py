"""The embedded rules: questions over a small schema, executed; what has to be declined; what each dialect gets."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import sqlglot

from sql_synthesizer.errors import Declined
from sql_synthesizer.model import ForeignKey
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.synthesizer.rules.text import tokenize_question
from tests.support.port import ask, connection, schema


def rows(question: str) -> list[tuple[object, ...]]:
    return connection.execute(ask(question).sql).fetchall()


ANSWERS = {
    "How many boats are there?": [(4,)],
    "count the harbors": [(4,)],
    "list all boats": [("Albatross",), ("Bluebell",), ("Comet",), ("Dory",)],
    "Show the names of harbors": [("Northport",), ("Sandhaven",), ("Eastquay",), ("Lonely Cove",)],
    "What are the names and countries of all harbors deeper": None,
    "What are the names and depths of harbors in Spain?": [("Sandhaven", 8.0)],
    "list captains": [("Ada", "Berg"), ("Bo", "Cruz"), ("Cy", "Dahl")],
    "average age of captains": [(42.0,)],
    "What is the minimum and maximum length of boats?": [(8, 45)],
    "total passengers of trips": [(80,)],
    "How many boats per hull color?": [("blue", 1), ("green", 1), ("red", 2)],
    "number of boats per captain": [("Ada", "Berg", 2), ("Bo", "Cruz", 2)],
    "average price of boats by hull color": [("blue", 50.0), ("green", None), ("red", 500.0)],
    "2 most expensive boats": [("Comet",), ("Albatross",)],
    "cheapest boat": [("Bluebell",)],
    "top 2 boats by length": [("Comet", 45), ("Albatross", 30)],
    "names of the top 2 boats by length": [("Comet",), ("Albatross",)],
    "top 2 captains by number of boats": [("Ada", "Berg", 2), ("Bo", "Cruz", 2)],
    "top 2 countries by average depth": [("Norway", 16.25), ("Spain", 8.0)],
    "names of boats and names of captains": [
        ("Albatross", "Ada", "Berg"),
        ("Bluebell", "Bo", "Cruz"),
        ("Comet", "Bo", "Cruz"),
        ("Dory", "Ada", "Berg"),
    ],
    "the longest boat": [("Comet",)],
    "latest 2 trips": [(4, 2, 3, "2026-03-15", 5), (3, 3, 3, "2026-02-28", 30)],
    "Which boat has the most trips?": [("Albatross",)],
    "captain with the highest age": [("Bo", "Cruz")],
    "highest depth": [(20.0,)],
    "boats with more than 2 trips": [("Albatross",)],
    "boats with price over 99": [("Albatross",), ("Comet",)],
    "boats with length of at least 30": [("Albatross",), ("Comet",)],
    "boats whose length is between 10 and 30": [("Albatross",), ("Bluebell",)],
    "captains older than 50": [("Bo", "Cruz")],
    "red boats": [("Albatross",), ("Comet",)],
    "boats that are not red": [("Bluebell",), ("Dory",)],
    "red or blue boats": [("Albatross",), ("Bluebell",), ("Comet",)],
    'boats named "Comet"': [(3, "Comet", "red", 45, 900.0, 1, "2020-01-31", 2, 2)],
    'boats whose name contains "or"': [("Dory",)],
    "harbors whose name starts with E": [("Eastquay",)],
    "insured boats": [("Albatross",), ("Comet",)],
    "boats that are not insured": [("Bluebell",), ("Dory",)],
    "captains without nickname": [("Ada", "Berg"), ("Cy", "Dahl")],
    "captains without boats": [("Cy", "Dahl")],
    "boats with no trips": [("Dory",)],
    "harbors opened before 1980": [("Northport",)],
    "harbors opened after 1990": [("Eastquay",)],
    "how many trips in 2025": [(2,)],
    "how many trips started in March 2025": [(1,)],
    "how many trips last month": [(1,)],
    "how many trips this year": [(2,)],
    "how many trips since 2025-04-01": [(3,)],
    "how many trips between 2025-01-01 and 2025-12-31": [(2,)],
    "how many trips today": [(1,)],
    "how many trips in the last 30 days": [(2,)],
    "number of trips per year": [("2024", 1), ("2025", 2), ("2026", 2)],
    "trips per month in 2025": None,
    "distinct hull colors": [("red",), ("blue",), ("green",)],
    "how many different hull colors": [(3,)],
    "names of harbors sorted by depth descending": [("Eastquay",), ("Northport",), ("Sandhaven",), ("Lonely Cove",)],
    "boats in alphabetical order": [("Albatross",), ("Bluebell",), ("Comet",), ("Dory",)],
    "names of boats of captain Bo": [("Bluebell",), ("Comet",)],
    "how many boats does each captain own": [("Ada", "Berg", 2), ("Bo", "Cruz", 2)],
    "captains of red boats": [("Ada", "Berg"), ("Bo", "Cruz")],
    "how many captains have red boats": [(2,)],
    "What is Comet's price?": [(900.0,)],
    "most common hull color of boats": [("red",)],
    "countries that have at least 2 harbors": [("Norway",)],
    "how many boats with trips in 2025": [(1,)],
    "how many boats made trips since 2026": [(2,)],
    "boats with more than 1 trip in 2025": [("Albatross",)],
    "how many trips of red boats in 2025": [(2,)],
    "number of trips per boat in 2025": [("Albatross", 2)],
    "number of harbors per year": [(None, 1), ("1950", 1), ("1990", 1), ("2005", 1)],
    "in 2025 how many boats made trips": None,
    "how many boats made trips per year": None,
    "how many harbors have boats with a captain in 2025": None,
    "boats in 2020 without trips": None,
    "latest trip by started": [(4, 2, 3, "2026-03-15", 5)],
    "top 2 boats by price per harbor": None,
    "top 2 boats by length per hull color": None,
    "top 2 boats by number of trips per captain": None,
    "top boat by price by harbor": None,
    "longest boat in each harbor": None,
    "longest boat by harbor": None,
    "oldest boat by built on": None,
    "most common hull color for each captain": None,
}


@pytest.mark.parametrize("question", [q for q, answer in ANSWERS.items() if answer is not None])
def test_right_rows(question: str) -> None:
    expected = ANSWERS[question]
    found = rows(question)
    ordered = "ORDER BY" in ask(question).sql
    assert found == expected if ordered else sorted(map(repr, found)) == sorted(map(repr, expected or []))


@pytest.mark.parametrize(
    "question",
    [
        *(q for q, answer in ANSWERS.items() if answer is None),
        "",
        "?",
        "How does one find true happiness?",
        "What is the capital of France?",
        "boats that were stolen",
        "delete all boats",
        "the weather in Northport",
        "how many boats sank last year",
        "boats and their captains",
        "where is the boat Comet",
        "top 5 boats",
        "how many boats sorted by price",
        "distinct hull colors of boats sorted by length",
        "average name of boats",
        "percentage of boats that are red",
        "which trips go to Northport from Eastquay",
        "harbors near Northport",
        "boats with more than many trips",
        "red boats in Norway or price over 5",
        "total length of boats with trips",
        "boats; drop table boats",
        "sort by price: the 3 most expensive boats",
        "the 3 cheapest and most expensive boats",
        "boats " * 100,
        "select * from boats",
        "what is the color of Comet and not",
    ],
)
def test_declines_what_is_not_understood(question: str) -> None:
    with pytest.raises(Declined) as caught:
        ask(question)
    assert 2 <= len(caught.value.suggestions) <= 3
    for suggestion in caught.value.suggestions:
        assert connection.execute(ask(suggestion).sql).fetchall()


def test_an_order_that_is_asked_for_takes_the_place_of_that_in_time() -> None:
    assert ask("number of trips per year").sql.endswith("ORDER BY STRFTIME('%Y', started) ASC")
    assert ask("number of trips per year sorted by number of trips descending").sql.endswith("ORDER BY COUNT(*) DESC")


def test_two_ways_to_read_it_are_named() -> None:
    """Both ends of a trip could be the harbor; the reader is told so."""
    other = replace(
        schema,
        tables=tuple(
            replace(t, foreign_keys=(*t.foreign_keys, ForeignKey(("boat_id",), "harbors", ("id",))))
            if t.name == "trips"
            else t
            for t in schema.tables
        ),
    )
    with pytest.raises(Declined, match=r"harbors and trips|trips and harbors"):
        ask("number of trips per harbor", other)


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
@pytest.mark.parametrize("question", [q for q, answer in ANSWERS.items() if answer is not None])
def test_every_dialect_parses(dialect: str, question: str) -> None:
    statement = ask(question, replace(schema, dialect=dialect))
    tree = sqlglot.parse_one(statement.sql, dialect=DIALECTS[dialect].sqlglot)
    assert isinstance(tree, sqlglot.exp.Select)
    assert statement.source == "rules"
    assert re.fullmatch(r"[A-Z].*[^ .]\.", statement.explanation)
    assert tree.named_selects == sqlglot.parse_one(ask(question).sql, dialect="sqlite").named_selects
    assert all(tree.named_selects)


@pytest.mark.parametrize(
    ("dialect", "question", "sql"),
    [
        ("sqlite", "trips before 2025", "started < '2025-01-01'"),
        ("postgresql", "trips before 2025", "started < CAST('2025-01-01' AS DATE)"),
        ("mysql", "number of trips per month", "DATE_FORMAT(started, '%Y-%m')"),
        ("postgresql", "number of trips per month", "TO_CHAR(started, 'YYYY-MM')"),
        ("postgresql", "number of trips per month", "ORDER BY TO_CHAR(started, 'YYYY-MM')"),
        ("sqlite", "number of trips per month", "STRFTIME('%Y-%m', started)"),
        ("postgresql", 'boats whose name contains "or"', "boat_name ILIKE '%or%'"),
        ("postgresql", "most expensive boat", "ORDER BY price DESC NULLS LAST"),
        ("sqlite", "cheapest boat", "ORDER BY price ASC NULLS LAST"),
    ],
)
def test_dialects(dialect: str, question: str, sql: str) -> None:
    assert sql in ask(question, replace(schema, dialect=dialect)).sql


def test_sensitive_columns_are_not_shown_unasked() -> None:
    hidden = tuple(
        replace(t, columns=tuple(replace(c, sensitive=c.name == "passengers") for c in t.columns))
        for t in schema.tables
    )
    other = replace(schema, tables=hidden)
    assert "passengers" not in ask("list all trips", other).sql
    assert "passengers" in ask("passengers of trips", other).sql


def test_text_in_a_pattern_stands_for_itself() -> None:
    statement = ask('boats whose name contains "50%_off"')
    assert connection.execute(statement.sql).fetchall() == []
    assert "ESCAPE" in statement.sql


@pytest.mark.parametrize(
    "text", ["a" * 50_000, '"' * 1000, "' " * 5000, "1" * 400, "\x00\x01", "é" * 100, "a’s’s " * 30]
)
def test_odd_text_is_declined_or_answered(text: str) -> None:
    tokenize_question(text)
    with pytest.raises(Declined):
        ask(text)
