"""May this SQL run? A statement is judged by its parsed tree, and what runs is written anew from the judged tree."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock
from typing import Literal

from cachetools import LRUCache
from sqlglot import exp
from sqlglot.errors import SqlglotError

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import functions, nodes, reading
from sql_synthesizer.guard.statement.columns import Columns
from sql_synthesizer.guard.statement.grammar import load_grammar
from sql_synthesizer.guard.statement.growth import MAX_WORK, check_growth
from sql_synthesizer.guard.statement.masking import expand_stars, mask_columns
from sql_synthesizer.guard.statement.names import StatementNames, TableIndex, drop_catalog
from sql_synthesizer.guard.statement.nodes import check_nodes, refuse_statement
from sql_synthesizer.guard.statement.postgres import check_postgres
from sql_synthesizer.guard.statement.reading import parse_query
from sql_synthesizer.model import Role, Schema, Statement
from sql_synthesizer.settings import DatabaseSettings

CACHED_VERDICTS = 1_024
CACHED_CHARS = 4_000
_RULES = 6
"""Raised by hand when the code of the rules changes; the lists of names are part of the policy's hash."""

_LEAVE_OUT = "Name the columns that you need, without the sensitive ones."
_AGGREGATE_NODES = (exp.AggFunc, exp.Group)


@dataclass(frozen=True, slots=True)
class Policy:
    """``catalogues``: system catalogues and session information functions may be read.

    ``sensitive``: a statement that touches a sensitive column is recorded, gets ``***`` instead, or is refused.
    """

    catalogues: bool = False
    sensitive: Literal["record", "mask", "deny"] = "record"


_DEFAULT = Policy()


def policy_of(config: DatabaseSettings, role: Role) -> Policy:
    """The policy of a database for a role."""
    least = config.catalogue_role
    return Policy(least is not None and role.includes(least), config.sensitive_access)


@dataclass(frozen=True, slots=True)
class _StatementVerdict:
    """``passed`` is the statement as it may run; without it ``refusal`` has the message, hint and details."""

    schema: Schema
    passed: Statement | None = None
    refusal: tuple[str, str, Mapping[str, object]] = ("", "", {})


class StatementGuard:
    """Lets a single read-only query over the tables of a schema pass; whatever it does not understand it refuses."""

    def __init__(self) -> None:
        self.policy_version = _policy_version()
        self._verdicts: LRUCache[tuple[str, str, str, int, Policy], _StatementVerdict] = LRUCache(CACHED_VERDICTS)
        self._indexes: LRUCache[tuple[str, str], TableIndex] = LRUCache(64)
        self._lock = Lock()

    def check(self, statement: Statement, schema: Schema, *, max_rows: int, policy: Policy = _DEFAULT) -> Statement:
        """The statement as it may run, at most ``max_rows`` + 1 rows long. Raises StatementRefused."""
        key = (statement.sql, schema.database, schema.version, max_rows, policy)
        with self._lock:
            verdict = self._verdicts.get(key)
        if verdict is None or not _is_same_schema(verdict.schema, schema):
            verdict = self._judge_statement(statement.sql, schema, max_rows, policy)
            if len(statement.sql) <= CACHED_CHARS:
                with self._lock:
                    self._verdicts[key] = verdict
        if verdict.passed is None:
            message, hint, details = verdict.refusal
            about = {"sql": statement.sql, "database_type": schema.dialect}
            raise StatementRefused(message, hint=hint, details={**details, **about})
        passed = replace(verdict.passed, source=statement.source, explanation=statement.explanation)
        return replace(passed, confidence=statement.confidence, sure=statement.sure)

    def _judge_statement(self, sql: str, schema: Schema, max_rows: int, policy: Policy) -> _StatementVerdict:
        try:
            return _StatementVerdict(schema, self._check_statement(sql, schema, max_rows, policy))
        except StatementRefused as error:
            return _StatementVerdict(schema, refusal=(error.message, error.hint, error.details))
        except SqlglotError:
            rule, message = "syntax", "The statement could not be understood; write one plain SELECT."
        except RecursionError:
            rule, message = "too_complex", "The statement is nested too deeply; ask for less at once."
        return _StatementVerdict(schema, refusal=(message, StatementRefused.default_hint, {"rule": rule}))

    def _check_statement(self, sql: str, schema: Schema, max_rows: int, policy: Policy) -> Statement:
        index = self._load_table_index(schema)
        grammar = load_grammar(schema.dialect)
        tree = parse_query(sql, grammar)
        drop_catalog(tree, schema)
        masked = _exclude_marked_columns(tree, index, policy)
        tree, limit = _limit_rows(tree, max_rows + 1)
        written = grammar.write_sql(tree)
        # What runs is the written text, so the verdict is about the tree of that text.
        columns = _resolve_columns(parse_query(written, grammar), index, policy)
        sensitive = columns.check_sensitive()
        if sensitive and policy.sensitive != "record":
            named = ", ".join(sensitive)
            refuse_statement(
                "sensitive_column", "The statement reads columns marked sensitive.", hint=_LEAVE_OUT, columns=named
            )
        check_growth(columns)
        names = columns.names
        if grammar.dialect.sqlglot == "postgres":
            check_postgres(names.nodes)
        tables = tuple(sorted(names.tables))
        return Statement(written, "", "", _query_type(names.nodes), tables, masked or sensitive, limit)

    def _load_table_index(self, schema: Schema) -> TableIndex:
        key = (schema.database, schema.version)
        with self._lock:
            index = self._indexes.get(key)
        if index is None or not _is_same_schema(index.schema, schema):
            index = TableIndex(schema)
            with self._lock:
                self._indexes[key] = index
        return index


def _resolve_columns(tree: exp.Expr, index: TableIndex, policy: Policy) -> Columns:
    """The columns of a tree whose parts and tables are allowed. Raises StatementRefused."""
    nodes = check_nodes(tree, index.dialect, session=policy.catalogues)
    return Columns(StatementNames(nodes, index, catalogues=policy.catalogues))


def _exclude_marked_columns(tree: exp.Expr, index: TableIndex, policy: Policy) -> tuple[str, ...]:
    """Changes the tree so that it reads no hidden and no masked column; the masked ones."""
    columns = _resolve_columns(tree, index, policy)
    masks = policy.sensitive == "mask" and columns.has_marked(hidden=False)
    if (masks or columns.has_marked(hidden=True)) and expand_stars(columns, sensitive=masks):
        columns = _resolve_columns(tree, index, policy)
    return mask_columns(columns) if masks else ()


def _is_same_schema(known: Schema, given: Schema) -> bool:
    return known is given or bool(given.version and known.version == given.version and known.dialect == given.dialect)


def _policy_version() -> str:
    lists = {
        "rules": _RULES,
        "nodes": sorted(kind.__name__ for kind in nodes.NODES),
        "functions": {dialect: sorted(names) for dialect, names in functions.ALLOWED.items()},
        "bounds": [
            reading.MAX_TOKENS,
            reading.MAX_DEPTH,
            reading.MAX_DIGITS,
            nodes.MAX_NODES,
            nodes.MAX_JOINS,
            nodes.MAX_SIZE_ARGUMENT,
            nodes.MAX_SERIES,
            MAX_WORK,
        ],
    }
    return hashlib.sha256(json.dumps(lists, sort_keys=True).encode()).hexdigest()[:12]


def _limit_rows(tree: exp.Expr, most: int) -> tuple[exp.Expr, int]:
    """The tree with at most ``most`` rows, and how many it may have."""
    # PostgreSQL takes no second LIMIT behind a query in parentheses.
    while isinstance(tree, exp.Subquery) and not any(value for key, value in tree.args.items() if key != "this"):
        tree = tree.this
    limit = tree.args.get("limit")
    asked = None
    if isinstance(limit, exp.Fetch):
        options = limit.args.get("limit_options")
        if options is not None and (options.args.get("with_ties") or options.args.get("percent")):
            refuse_statement("limit", "FETCH FIRST takes a number of rows only, without PERCENT or WITH TIES.")
        asked = _parse_limit(limit.args.get("count") or exp.Literal.number(1))
    elif limit is not None:
        asked = _parse_limit(limit.expression)
    rows = most if asked is None else min(asked, most)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))
    return tree, rows


def _parse_limit(node: exp.Expr) -> int | None:
    """The number of a LIMIT; None when it means no limit. Raises StatementRefused on anything that is computed."""
    if isinstance(node, exp.Literal) and node.is_int:
        return int(node.name)
    if isinstance(node, exp.Null | exp.Neg) or (isinstance(node, exp.Var) and node.name.upper() == "ALL"):
        return None
    return refuse_statement("limit", "Write the LIMIT as a plain number.")


def _query_type(found: list[exp.Expr]) -> str:
    kind = "select"
    for node in found:
        if isinstance(node, exp.SetOperation):
            return "set"
        if isinstance(node, _AGGREGATE_NODES) or (
            isinstance(node, exp.Anonymous) and node.name.lower() in functions.AGGREGATES
        ):
            kind = "aggregate"
        elif isinstance(node, exp.Join) and kind == "select":
            kind = "join"
    return kind
