"""PostgreSQL's own parser reads again what the guard lets pass: both find the same tables, columns and functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pglast
import pytest
from pglast import ast, enums
from sqlglot import exp

from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.functions import LISTS
from sql_synthesizer.guard.statement.grammar import load_grammar
from sql_synthesizer.guard.statement.reading import parse_query
from sql_synthesizer.model import Schema, Statement

Reading = tuple[set[str], Counter[str], Counter[str]]
"""Tables, references to columns, calls."""
SQL_WORDS = {
    getattr(enums.SQLValueFunctionOp, f"SVFOP_{name}"): name.removesuffix("_N").lower()
    for name in """
    CURRENT_DATE CURRENT_TIME CURRENT_TIME_N CURRENT_TIMESTAMP CURRENT_TIMESTAMP_N LOCALTIME LOCALTIME_N
    LOCALTIMESTAMP LOCALTIMESTAMP_N CURRENT_ROLE CURRENT_USER USER SESSION_USER CURRENT_CATALOG CURRENT_SCHEMA
    """.split()
}
NODE_CALLS: dict[type[exp.Expr], str] = {
    exp.AtTimeZone: "timezone",
    exp.Extract: "extract",
    exp.Overlaps: "overlaps",
    exp.Overlay: "overlay",
    exp.SimilarTo: "similar_to_escape",
    exp.StrPosition: "position",
    exp.Substring: "substring",
    exp.CurrentDate: "current_date",
    exp.CurrentTime: "current_time",
    exp.CurrentTimestamp: "current_timestamp",
    exp.Localtime: "localtime",
    exp.Localtimestamp: "localtimestamp",
    exp.CurrentUser: "current_user",
    exp.SessionUser: "session_user",
    exp.CurrentRole: "current_role",
    exp.CurrentCatalog: "current_catalog",
    exp.CurrentSchema: "current_schema",
    exp.GroupConcat: "string_agg",
    exp.Unnest: "unnest",
    exp.Chr: "chr",
    exp.ArgMax: "arg_max",
    exp.JSONValue: "json_value",
    exp.JSONObject: "json_object",
    exp.JSONArray: "json_array",
    exp.JSONArrayAgg: "json_agg",
    exp.JSONObjectAgg: "json_object_agg",
}
"""Syntax of its own in sqlglot's tree that is a call in PostgreSQL's."""

JSON_CALLS: dict[type[ast.Node], str] = {
    ast.JsonArrayConstructor: "json_array",
    ast.JsonArrayQueryConstructor: "json_array",
    ast.JsonObjectConstructor: "json_object",
    ast.JsonArrayAgg: "json_arrayagg",
    ast.JsonObjectAgg: "json_objectagg",
}
"""What is a node of its own in PostgreSQL's tree, and a call in sqlglot's."""

RESERVED = frozenset({"all", "any", "array", "some"})
"""Words that sqlglot takes for calls, and that no function of PostgreSQL can have for a name."""


def native_reading(sql: str) -> Reading:
    """What PostgreSQL's parser finds in one SELECT."""
    (parsed,) = pglast.parse_sql(sql)
    assert isinstance(parsed.stmt, ast.SelectStmt), sql
    found: Reading = (set(), Counter(), Counter())
    _walk(parsed.stmt, frozenset(), found)
    return found


def _walk(node: Any, ctes: frozenset[str], found: Reading) -> None:
    if isinstance(node, (tuple, list)):
        for child in node:
            _walk(child, ctes, found)
        return
    if not isinstance(node, ast.Node):
        return
    tables, columns, calls = found
    inner = ctes
    if isinstance(node, ast.SelectStmt) and node.withClause is not None:
        names = [cte.ctename for cte in node.withClause.ctes]
        inner = ctes | set(names)
        for place, cte in enumerate(node.withClause.ctes):
            _walk(cte, inner if node.withClause.recursive else ctes | set(names[:place]), found)
    elif isinstance(node, ast.RangeVar):
        if node.schemaname is not None or node.relname not in ctes:
            tables.add(node.relname)
    elif isinstance(node, ast.ColumnRef):
        columns[".".join("*" if isinstance(f, ast.A_Star) else f.sval for f in node.fields)] += 1
    elif (name := _call_name(node)) is not None:
        calls[name] += 1
    for attribute in node:
        if not (isinstance(node, ast.SelectStmt) and attribute == "withClause"):
            _walk(getattr(node, attribute), inner, found)


def _call_name(node: ast.Node) -> str | None:
    if isinstance(node, ast.FuncCall):
        return str(node.funcname[-1].sval)
    if isinstance(node, ast.CoalesceExpr):
        return "coalesce"
    if isinstance(node, ast.MinMaxExpr):
        return "greatest" if node.op == enums.MinMaxOp.IS_GREATEST else "least"
    if isinstance(node, ast.RowExpr) and node.row_format == enums.CoercionForm.COERCE_EXPLICIT_CALL:
        return "row"
    if type(node) in JSON_CALLS:
        return JSON_CALLS[type(node)]
    if isinstance(node, ast.JsonFuncExpr):
        return str(enums.JsonExprOp(node.op).name).lower().removesuffix("_op")
    if isinstance(node, ast.GroupingFunc):
        return "grouping"
    if isinstance(node, ast.SQLValueFunction):
        return SQL_WORDS[node.op]
    if isinstance(node, ast.A_Expr) and node.kind == enums.A_Expr_Kind.AEXPR_NULLIF:
        return "nullif"
    return None


def judged_reading(statement: Statement) -> Reading:
    """What the guard found in the statement that it let pass: its tables, and the rest from its tree."""
    tree = parse_query(statement.sql, load_grammar("postgresql"))
    columns: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    for node in tree.walk():
        if isinstance(node, exp.Column) and not node.table and _is_session_word(node.this):
            calls[node.name.lower()] += 1
        elif isinstance(node, exp.Column):
            columns[".".join("*" if isinstance(part, exp.Star) else _folded(part) for part in node.parts)] += 1
        elif isinstance(node, exp.Star) and not isinstance(node.parent, (exp.Column, exp.Anonymous)):
            columns["*"] += 1
        elif isinstance(node, (exp.Anonymous, exp.AnonymousAggFunc)):
            if node.name.lower() not in RESERVED:
                calls[node.name.lower()] += 1
        elif isinstance(node, exp.Trim):
            calls[{"LEADING": "ltrim", "TRAILING": "rtrim"}.get(node.args.get("position") or "", "btrim")] += 1
        elif isinstance(node, exp.Escape):
            calls["like_escape"] += 1
        elif type(node) in NODE_CALLS:
            calls[NODE_CALLS[type(node)]] += 1
    return set(statement.tables), columns, calls


def _folded(name: exp.Expr) -> str:
    return name.name if name.args.get("quoted") else name.name.lower()


def _is_session_word(name: exp.Expr) -> bool:
    return not name.args.get("quoted") and name.name.lower() in LISTS["postgres"].session_words


def compare_readings(statement: Statement) -> None:
    """Fails where the two differ, and where PostgreSQL cannot read the statement."""
    try:
        native = native_reading(statement.sql)
    except pglast.parser.ParseError as error:
        pytest.fail(f"{statement.sql}: {error}")
    assert judged_reading(statement) == native, statement.sql


@contextmanager
def reading_twice() -> Iterator[Counter[str]]:
    """Has every statement for PostgreSQL that a guard of this process lets pass read again; counts them."""
    check = StatementGuard.check
    counted: Counter[str] = Counter()

    def check_twice(self: StatementGuard, statement: Statement, schema: Schema, **given: Any) -> Statement:
        passed = check(self, statement, schema, **given)
        if schema.dialect == "postgresql":
            compare_readings(passed)
            counted["the same"] += 1
        return passed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StatementGuard, "check", check_twice)
        yield counted
