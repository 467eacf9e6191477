"""May this SQL run? A statement is judged by its parsed tree, and what runs is written anew from the judged tree."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from threading import Lock

from cachetools import LRUCache
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokenizer_core import Token, TokenType

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard import functions, nodes
from sql_synthesizer.guard.dialects import Grammar
from sql_synthesizer.guard.names import Names, TableIndex
from sql_synthesizer.guard.nodes import check_nodes, refuse
from sql_synthesizer.model import SQLGLOT_DIALECT, Schema, Statement

MAX_TOKENS = 6_000
MAX_DEPTH = 32
CACHED_VERDICTS = 1_024
CACHED_CHARS = 4_000
_RULES = 2
"""Raised by hand when the code of the rules changes; the lists of names are part of the policy's hash."""

_FIRST = {TokenType.SELECT, TokenType.WITH, TokenType.L_PAREN}
_OPENING = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE, TokenType.CASE}
_CLOSING = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.END}
_AGGREGATE_NODES = (exp.AggFunc, exp.Group)

# sqlglot logs pieces of the statement when it meets syntax that it does not know.
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class _Verdict:
    schema: Schema
    sql: str = ""
    query_type: str = "unknown"
    tables: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    limit: int | None = None
    refusal: tuple[str, str, dict[str, object]] | None = None


class StatementGuard:
    """Lets a single read-only query over the tables of a schema pass; whatever it does not understand it refuses."""

    def __init__(self) -> None:
        self.policy_version = _policy_version()
        self._grammars = {name: Grammar(name) for name in set(SQLGLOT_DIALECT.values())}
        self._verdicts: LRUCache[tuple[str, str, str, int], _Verdict] = LRUCache(CACHED_VERDICTS)
        self._indexes: LRUCache[tuple[str, str], TableIndex] = LRUCache(64)
        self._lock = Lock()

    def check(self, statement: Statement, schema: Schema, *, max_rows: int) -> Statement:
        """The statement as it may run, at most ``max_rows`` + 1 rows long. Raises StatementRefused."""
        key = (statement.sql, schema.database, schema.version, max_rows)
        with self._lock:
            verdict = self._verdicts.get(key)
        if verdict is None or not _same(verdict.schema, schema):
            verdict = self._judge(statement.sql, schema, max_rows)
            if len(statement.sql) <= CACHED_CHARS:
                with self._lock:
                    self._verdicts[key] = verdict
        if verdict.refusal is not None:
            message, hint, details = verdict.refusal
            raise StatementRefused(message, hint=hint, details=dict(details))
        return replace(
            statement,
            sql=verdict.sql,
            query_type=verdict.query_type,
            tables=verdict.tables,
            sensitive=verdict.sensitive,
            limit=verdict.limit,
        )

    def _judge(self, sql: str, schema: Schema, max_rows: int) -> _Verdict:
        try:
            return self._passed(sql, schema, max_rows)
        except StatementRefused as error:
            return _Verdict(schema, refusal=(error.message, error.hint, error.details))
        except SqlglotError:
            rule, message = "syntax", "The statement could not be understood; write one plain SELECT."
        except RecursionError:
            rule, message = "too_complex", "The statement is nested too deeply; ask for less at once."
        return _Verdict(schema, refusal=(message, StatementRefused.default_hint, {"rule": rule}))

    def _passed(self, sql: str, schema: Schema, max_rows: int) -> _Verdict:
        index = self._index(schema)
        grammar = self._grammars[index.dialect]
        tree = _parse(sql, grammar)
        Names(check_nodes(tree, index.dialect), index)
        tree, limit = _limited(tree, max_rows + 1)
        written = grammar.write(tree)
        # What runs is the written text, so the verdict is about the tree of that text.
        final = _parse(written, grammar)
        found = check_nodes(final, index.dialect)
        names = Names(found, index)
        return _Verdict(schema, written, _query_type(found), tuple(sorted(names.tables)), names.sensitive(), limit)

    def _index(self, schema: Schema) -> TableIndex:
        key = (schema.database, schema.version)
        with self._lock:
            index = self._indexes.get(key)
        if index is None or not _same(index.schema, schema):
            index = TableIndex(schema, SQLGLOT_DIALECT[schema.dialect])
            with self._lock:
                self._indexes[key] = index
        return index


def _same(known: Schema, given: Schema) -> bool:
    return known is given or bool(given.version and known.version == given.version and known.dialect == given.dialect)


def _policy_version() -> str:
    lists = {
        "rules": _RULES,
        "nodes": sorted(kind.__name__ for kind in nodes.NODES),
        "functions": {dialect: sorted(names) for dialect, names in functions.ALLOWED.items()},
        "bounds": [MAX_TOKENS, MAX_DEPTH, nodes.MAX_NODES, nodes.MAX_JOINS, nodes.MAX_SIZE_ARGUMENT, nodes.MAX_SERIES],
    }
    return hashlib.sha256(json.dumps(lists, sort_keys=True).encode()).hexdigest()[:12]


def _parse(sql: str, grammar: Grammar) -> exp.Expr:
    """The tree of a single query. Raises StatementRefused and sqlglot's errors."""
    tokens = grammar.tokens(sql)
    while tokens and tokens[-1].token_type is TokenType.SEMICOLON:
        tokens.pop()
    _check_tokens(tokens, grammar.name)
    trees = grammar.parse(tokens, sql)
    tree = trees[0] if len(trees) == 1 else None
    if not isinstance(tree, exp.Query):
        refuse("not_a_query", "Only a SELECT is allowed.")
    return tree


def _check_tokens(tokens: list[Token], dialect: str) -> None:
    if not tokens:
        refuse("empty", "The statement is empty; write a SELECT.")
    if tokens[0].token_type not in _FIRST:
        refuse("not_a_query", "Only a SELECT is allowed.", first=tokens[0].text)
    if len(tokens) > MAX_TOKENS:
        refuse("too_complex", f"The statement has more than {MAX_TOKENS:,} words and signs; ask for less at once.")
    depth = 0
    before = tokens[0]
    for token in tokens:
        kind = token.token_type
        if kind in _OPENING:
            depth += 1
            if depth > MAX_DEPTH:
                refuse("too_complex", f"The statement is nested more than {MAX_DEPTH} deep; ask for less at once.")
        elif kind in _CLOSING:
            depth -= 1
        elif kind is TokenType.SEMICOLON:
            refuse("several_statements", "Only one statement at a time is allowed.")
        elif kind is TokenType.VAR and before.token_type is TokenType.NUMBER and token.start == before.end + 1:
            refuse("number", "A number runs into a word; put a space between them.")
        elif kind is TokenType.NOT and token.text == "!" and dialect == "mysql":
            refuse("ambiguous", "Write NOT instead of an exclamation mark.")
        if token.comments and dialect == "mysql" and any(c.startswith(("!", "M!")) for c in token.comments):
            refuse("executable_comment", "Comments that the server executes are not allowed.")
        before = token


def _limited(tree: exp.Expr, most: int) -> tuple[exp.Expr, int]:
    """The tree with at most ``most`` rows, and how many it may have."""
    limit = tree.args.get("limit")
    asked = None
    if isinstance(limit, exp.Fetch):
        options = limit.args.get("limit_options")
        if options is not None and (options.args.get("with_ties") or options.args.get("percent")):
            refuse("limit", "FETCH FIRST takes a number of rows only, without PERCENT or WITH TIES.")
        asked = _number(limit.args.get("count") or exp.Literal.number(1))
    elif limit is not None:
        asked = _number(limit.expression)
    rows = most if asked is None else min(asked, most)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(rows)))
    return tree, rows


def _number(node: exp.Expr) -> int | None:
    """The number of a LIMIT; None when it means no limit. Raises StatementRefused on anything that is computed."""
    if isinstance(node, exp.Literal) and node.is_int:
        return int(node.name)
    if isinstance(node, exp.Null | exp.Neg) or (isinstance(node, exp.Var) and node.name.upper() == "ALL"):
        return None
    return refuse("limit", "Write the LIMIT as a plain number.")


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
