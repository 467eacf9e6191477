"""Everything that the guard lets pass for PostgreSQL, as PostgreSQL's own parser reads it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from pglast import keywords
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.grammar import load_grammar
from sql_synthesizer.guard.statement.judging import Policy
from sql_synthesizer.guard.statement.postgres import KEYWORDS
from sql_synthesizer.guard.statement.reading import parse_query
from sql_synthesizer.model import Column, ColumnKind, Schema, Statement, Table
from tests.properties.test_guard_properties import LINES, mutated, passed, queries
from tests.support.second_reader import compare_readings, native_reading

pytestmark = pytest.mark.boundary
ROOT = Path(__file__).parents[1]
FOLDERS = ("tests", "benchmarks", "sql_synthesizer", "sql_synthesizer_proof")
_QUERY = re.compile(r"[\s(]*(select|with)\b", re.IGNORECASE)


def corpus() -> list[str]:
    """Every constant of this repository's code that looks like a query, and the syntax of real servers."""
    trees = (
        ast.parse(path.read_text())
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__)
    )
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    texts = {node.value for node in nodes if isinstance(node.value, str)} | {sql for _, sql in LINES}
    return sorted(text for text in texts if _QUERY.match(text))


def made_up(sql: str) -> Schema | None:
    """A schema that has whatever the statement names, so that only what is not allowed anywhere is refused."""
    try:
        tree = parse_query(sql, load_grammar("postgresql"))
    except (SqlglotError, StatementRefused):
        return None
    columns = tuple(Column(name, ColumnKind.TEXT) for name in {c.name for c in tree.find_all(exp.Column)} if name)
    tables = {table.name for table in tree.find_all(exp.Table) if table.name}
    return Schema("shop", "postgresql", tuple(Table(name, columns) for name in sorted(tables)), "")


def test_the_corpus_is_read_alike(read_again: Counter[str]) -> None:
    before = Counter(read_again)
    for sql in corpus():
        if (schema := made_up(sql)) is not None:
            with suppress(StatementRefused):
                StatementGuard().check(Statement(sql, "analyst"), schema, max_rows=100, policy=Policy(catalogues=True))
    counted = read_again - before
    print(dict(counted))
    assert counted["the same"] > 350


FORMS = (ROOT / "tests/data/postgres_forms.sql").read_text().splitlines()
"""The syntax of many servers, a statement a line."""


def test_what_postgresql_cannot_read_is_refused(read_again: Counter[str]) -> None:
    before = Counter(read_again)
    columns = tuple(Column(name, ColumnKind.TEXT) for name in "abcd")
    schema = Schema("shop", "postgresql", (Table("t", columns), Table("u", columns)), "")
    for sql in FORMS:
        with suppress(StatementRefused):
            StatementGuard().check(Statement(sql, "analyst"), schema, max_rows=100)
    assert (read_again - before)["the same"] > 340


def test_the_words_are_those_of_the_server() -> None:
    assert {*keywords.RESERVED_KEYWORDS, *keywords.TYPE_FUNC_NAME_KEYWORDS} == KEYWORDS


@given(queries() | mutated())
@settings(max_examples=300, deadline=None)
def test_made_up_statements_are_read_alike(sql: str) -> None:
    statement = passed(sql, "postgresql")
    if statement is not None:
        compare_readings(statement)


@pytest.mark.parametrize(
    ("sql", "tables", "columns", "calls"),
    [
        ("SELECT upper(t.a), * FROM t", {"t"}, {"t.a": 1, "*": 1}, {"upper": 1}),
        ("WITH s AS (SELECT k FROM s) SELECT k FROM s", {"s"}, {"k": 2}, {}),
        ("WITH RECURSIVE s AS (SELECT 1 AS k UNION SELECT k FROM s) SELECT k FROM s", set(), {"k": 2}, {}),
        (
            "SELECT coalesce(NULL, greatest(1, 2)), CURRENT_DATE",
            set(),
            {},
            {"coalesce": 1, "greatest": 1, "current_date": 1},
        ),
    ],
)
def test_what_postgresql_finds(sql: str, tables: set[str], columns: dict[str, int], calls: dict[str, int]) -> None:
    assert native_reading(sql) == (tables, Counter(columns), Counter(calls))


@pytest.mark.parametrize(
    ("sql", "tables"), [("SELECT a FROM t, secret", ("t",)), ("SELECT a FROM t", ("t", "u")), ("SELECT 1", ("t",))]
)
def test_a_difference_is_noticed(sql: str, tables: tuple[str, ...]) -> None:
    with pytest.raises(AssertionError):
        compare_readings(replace(Statement(sql, "analyst"), tables=tables))


def test_a_query_in_parentheses_has_one_limit() -> None:
    """PostgreSQL refused what the guard made of it: (SELECT a FROM t LIMIT 5) LIMIT 101."""
    for sql, written in (
        ("(SELECT a FROM t LIMIT 5)", "SELECT a FROM t LIMIT 5"),
        ("((SELECT a FROM t))", "SELECT a FROM t LIMIT 1001"),
        (
            "(SELECT a FROM t LIMIT 5) UNION SELECT a FROM u",
            "(SELECT a FROM t LIMIT 5) UNION SELECT a FROM u LIMIT 1001",
        ),
    ):
        statement = passed(sql, "postgresql")
        assert statement is not None
        assert statement.sql == written
        compare_readings(statement)
