"""How each dialect is read and written: sqlglot's grammars, made faithful.

A function keeps the name under which it was called, so that the list of allowed functions speaks of the names the
server knows, and writing a tree gives back the statement that was read, not a translation of it.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ErrorLevel
from sqlglot.generator import Generator
from sqlglot.generators.mysql import MySQLGenerator
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.generators.sqlite import SQLiteGenerator
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import Token

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.model.dialects import DIALECTS, DialectRow

MAX_SECONDS = 1.0
"""CPU time that a parse may take; the longest that the other bounds let pass have been seen to take a third of it."""
_PLAIN_CALLS = {"CEIL", "FLOOR", "INITCAP"}
"""Functions that sqlglot reads by a syntax of their own, which none of our dialects has."""


class _Faithful(Parser):
    """Keeps the names of functions, and bounds the work of a parse.

    sqlglot tries an alternative by going back in the tokens. Nested in certain ways, 100 characters cost it years;
    ordinary statements go back by less than two tokens for each one they have.
    """

    FUNCTIONS: ClassVar[dict[str, Any]] = {}
    _gone_back = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        self._ends_at = time.thread_time() + MAX_SECONDS
        super().__init__(*args, **options)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.FUNCTION_PARSERS = {k: v for k, v in cls.FUNCTION_PARSERS.items() if k not in _PLAIN_CALLS}

    def _retreat(self, index: int) -> None:
        self._gone_back += max(0, self._index - index)
        if self._gone_back > 10 * self._tokens_size + 500 or time.thread_time() > self._ends_at:
            raise StatementRefused(
                "The statement is nested in a way that is too costly to check.", details={"rule": "too_complex"}
            )
        super()._retreat(index)


class _SQLiteGenerator(SQLiteGenerator):
    # A cast in SQLite follows the affinity of the type's name; sqlglot would turn exact numbers into REAL.
    TYPE_MAPPING: ClassVar[dict[Any, str]] = {
        **{k: v for k, v in SQLiteGenerator.TYPE_MAPPING.items() if k not in {exp.DType.DECIMAL, exp.DType.BOOLEAN}},
        exp.DType.DECIMAL: "NUMERIC",
    }

    def cast_sql(self, expression: exp.Cast, safe_prefix: str | None = None) -> str:
        return Generator.cast_sql(self, expression, safe_prefix)


class _MySQLGenerator(MySQLGenerator):
    # MariaDB has the operator only.
    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        **MySQLGenerator.TRANSFORMS,
        exp.RegexpLike: lambda self, e: self.binary(e, "REGEXP"),
    }


class _PostgresGenerator(PostgresGenerator):
    # A power is left an operator, whose precedence the server knows better.
    TRANSFORMS: ClassVar[dict[Any, Any]] = {
        **PostgresGenerator.TRANSFORMS,
        exp.Pow: lambda self, e: self.binary(e, "^"),
        exp.CurrentTime: lambda *_: "CURRENT_TIME",
    }


_GENERATORS: dict[str, type[Generator]] = {
    "sqlite": _SQLiteGenerator,
    "postgres": _PostgresGenerator,
    "mysql": _MySQLGenerator,
}
"""Dialect -> what writes it where sqlglot's own does not write what was read."""


class DialectGrammar:
    """Reads and writes one dialect."""

    def __init__(self, dialect: DialectRow) -> None:
        self.dialect = dialect
        self._dialect = Dialect.get_or_raise(dialect.sqlglot)
        # Else each index is shifted to 0 and back, for which the types of all that stands before it are looked at.
        self._dialect.INDEX_OFFSET = 0
        self._parser: type[Parser] = type("FaithfulParser", (_Faithful, self._dialect.parser_class), {})
        self._generator = _GENERATORS.get(dialect.sqlglot, self._dialect.generator_class)

    def tokenize_sql(self, sql: str) -> list[Token]:
        """The tokens of ``sql``. Raises sqlglot's TokenError."""
        return self._dialect.tokenize(sql)

    def parse_tokens(self, tokens: list[Token], sql: str) -> list[exp.Expr | None]:
        """One tree a statement. Raises sqlglot's ParseError."""
        return self._parser(dialect=self._dialect, error_level=ErrorLevel.IMMEDIATE).parse(tokens, sql)

    def write_sql(self, tree: exp.Expr) -> str:
        """The statement without comments. Raises sqlglot's UnsupportedError."""
        return self._generator(
            dialect=self._dialect, comments=False, normalize_functions=False, unsupported_level=ErrorLevel.IMMEDIATE
        ).generate(tree)


@cache
def load_grammar(name: str) -> DialectGrammar:
    """The grammar of a row of ``DIALECTS``, built once: sqlglot works through a parser class as it is made."""
    return DialectGrammar(DIALECTS[name])
