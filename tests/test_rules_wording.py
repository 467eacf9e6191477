"""How the rules read names, name what they compute and say what they did."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import sqlglot

from sql_synthesizer.demo.tables import metadata
from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table
from sql_synthesizer.synthesizer import rules
from sql_synthesizer.synthesizer.rules.text import plural_form, singular_form, split_name
from tests.support.port import ask, connection


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("How many boats are there?", ["number_of_boats"]),
        ("how many different hull colors", ["number_of_distinct_hull_colors"]),
        ("how many captains have red boats", ["number_of_captains"]),
        ("total passengers of trips", ["sum_of_passengers"]),
        ("average price of boats by hull color", ["hull_color", "average_price"]),
        ("What is the minimum and maximum length of boats?", ["lowest_length", "highest_length"]),
        ("number of trips per year", ["year_of_started", "number_of_trips"]),
        ("top 2 captains by number of boats", ["first_name", "last_name", "number_of_boats"]),
        ("how many trips started in March 2025", ["number_of_trips"]),
    ],
)
def test_computed_columns_have_names(question: str, names: list[str]) -> None:
    assert [column[0] for column in connection.execute(ask(question).sql).description] == names


def test_names_of_computed_columns_are_free() -> None:
    """Neither a column in play nor the name that a database would cut short."""
    known = (
        Column("id", ColumnKind.INTEGER, primary_key=True),
        Column("Number_of_Masts", ColumnKind.INTEGER),
        Column("average_weight", ColumnKind.NUMBER),
        Column("weight", ColumnKind.NUMBER),
        Column("a_" * 40 + "depth", ColumnKind.NUMBER),
    )
    other = Schema("x", "postgresql", (Table("masts", known),))
    assert "AS number_of_masts_2" in ask("how many masts per weight", other).sql
    assert "AS average_weight_2" in ask("mean weight of masts", other).sql
    names = sqlglot.parse_one(ask("average depth of masts", other).sql, dialect="postgres").named_selects
    assert all(len(name) < 63 for name in names)


def test_columns_of_the_same_name_are_told_apart() -> None:
    twins = tuple(Column(name, ColumnKind.TEXT) for name in ("code", "city"))
    keyed = (Column("id", ColumnKind.INTEGER, primary_key=True), *twins)
    depots = Table("depots", keyed)
    vans = Table(
        "vans", (*keyed, Column("depot_id", ColumnKind.INTEGER)), (ForeignKey(("depot_id",), "depots", ("id",)),)
    )
    sql = ask("city of vans and city of depots", Schema("x", "mariadb", (depots, vans))).sql
    assert sqlglot.parse_one(sql, dialect="mysql").named_selects == ["van_city", "depot_city"]


EXPLANATIONS = {
    "How many boats are there?": "Counts boats.",
    "How many boats per hull color?": "Counts boats for each hull color.",
    "number of boats per captain": "Counts boats for each captain; captains without any are left out.",
    "number of red boats per captain": "For each captain, counts boats where the hull color is 'red'; "
    "captains without any are left out.",
    "average age of captains": "Averages the age of captains.",
    "total passengers of trips": "Adds up the passengers of trips.",
    "highest depth": "Finds the highest depth of harbors.",
    "average and maximum price of boats": "Shows the average price and the highest price of boats.",
    "how many different hull colors": "Counts the distinct hull colors of boats.",
    "number of trips per month": "Counts trips for each month of started, "
    "sorted by month of started from earliest to latest.",
    "2 most expensive boats": "Shows the 2 boats with the highest price.",
    "2 most expensive red boats": "Of the boats where the hull color is 'red', shows the 2 with the highest price.",
    "top 2 boats by price": "Shows the boat name and price of the 2 boats with the highest price.",
    "top 2 countries by average depth": "Shows the 2 countries with the highest average depth.",
    "earliest trip": "Shows the trip with the earliest started.",
    "captain with the fewest boats": "Shows the first and last name of the captain with the fewest boats; "
    "captains without any are left out.",
    "most common hull color of boats": "Shows the hull color with the most boats.",
    "captains with fewer than 2 boats": "Lists the first and last name of the captains "
    "with at least one but fewer than 2 boats.",
    "red or blue boats": "Lists boats where the hull color is 'red' or 'blue'.",
    "boats that are not red": "Lists boats where the hull color is known and is not 'red'.",
    "boats that are not insured": "Lists boats where insured is false.",
    "captains without nickname": "Lists the first and last name of captains where the nickname is missing.",
    "boats with no trips": "Lists boats without trips.",
    "how many harbors have trips": "Counts harbors that have trips.",
    "captains of red boats": "Lists the distinct first and last names of captains "
    "where the hull color of a boat is 'red'.",
    "names of boats of captain Bo": "Lists boats where the first name of the captain is 'Bo'.",
    "boats sorted by captain age": "Lists boats, sorted by captain age from low to high; "
    "boats without a captain are left out.",
    "how many trips last month": "Counts trips where started is in February 2026.",
    "how many trips today": "Counts trips where started is on 2026-03-15.",
    "how many trips in the last 30 days": "Counts trips where started is from 2026-02-14 to 2026-03-15.",
    "harbors opened before 1980": "Lists harbors where opened is before 1980-01-01.",
    'boats whose name contains "or"': "Lists boats where the boat name contains 'or'.",
    "distinct hull colors": "Lists the distinct hull colors of boats.",
}


@pytest.mark.parametrize("question", EXPLANATIONS)
def test_explanations(question: str) -> None:
    assert ask(question).explanation == EXPLANATIONS[question]


@pytest.mark.parametrize(("name", "quote"), [("Group", '"'), ("order", '"'), ("Boat Log", '"')])
def test_names_are_quoted_when_needed(name: str, quote: str) -> None:
    table = Table(name, (Column("Id", ColumnKind.INTEGER, primary_key=True), Column("Full Text", ColumnKind.TEXT)))
    other = Schema("x", "postgresql", (table,))
    assert f"FROM {quote}{name}{quote}" in ask(f"show all information about {name.lower()}", other).sql


@pytest.mark.parametrize(
    ("plural", "one"),
    [
        ("customers", "customer"),
        ("categories", "category"),
        ("boxes", "box"),
        ("status", "status"),
        ("classes", "class"),
    ],
)
def test_singular(plural: str, one: str) -> None:
    assert singular_form(plural) == one


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("order item", "order items"),
        ("city", "cities"),
        ("person", "people"),
        ("status", "statuses"),
        ("date of birth", "dates of birth"),
        ("boats", "boats"),
        ("staff", "staff"),
    ],
)
def test_plural(one: str, several: str) -> None:
    assert plural_form(one) == several


def test_names_are_split() -> None:
    assert split_name("OrderItems") == split_name("order_items") == ("order", "item")
    assert split_name("HTTPStatus") == ("http", "status")


def test_no_name_of_a_database_stands_in_the_code() -> None:
    """The rules know English and the schema that they are given, nothing else."""
    public = "album artist invoice playlist film actor rental inventory flight airport airline passenger concert singer"
    public += " stadium student course teacher patient doctor vehicle shipper territory department payroll customer"
    forbidden = {*public.split(), *(split_name(name)[-1] for name in metadata.tables)} - {"order", "item", "return"}
    for path in Path(rules.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        prose = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
                used = {singular_form(word) for word in re.findall(r"[a-z]+", node.value.casefold())}
                assert not used & forbidden, f"{path.name}: {used & forbidden}"
