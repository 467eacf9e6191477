"""Names, comparisons and patterns as a dialect spells them: what every query is built of."""

from __future__ import annotations

import re
from functools import lru_cache

from sqlglot import Dialect, exp

from sql_synthesizer.model import Table
from sql_synthesizer.model.dialects import DialectRow

COMPARISONS: dict[str, type[exp.Binary]] = {
    "=": exp.EQ,
    "!=": exp.NEQ,
    ">": exp.GT,
    "<": exp.LT,
    ">=": exp.GTE,
    "<=": exp.LTE,
}
PATTERNS = {"contain": "%{}%", "start": "{}%", "end": "%{}"}
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*\Z")


@lru_cache(maxsize=8)
def _dialect_keywords(dialect: str) -> frozenset[str]:
    words = Dialect.get_or_raise(dialect).tokenizer_class.KEYWORDS
    return frozenset(word.casefold() for phrase in words for word in phrase.split() if word.isalpha())


def build_identifier(name: str, dialect: DialectRow) -> exp.Identifier:
    """A name, in quotes where it needs them."""
    quoted = not _PLAIN.match(name) or name in _dialect_keywords(dialect.sqlglot)
    return exp.to_identifier(name, quoted=quoted)


def build_table(table: Table, dialect: DialectRow) -> exp.Table:
    """A table, with its schema where it has one."""
    schema = build_identifier(table.schema, dialect) if table.schema else None
    return exp.Table(this=build_identifier(table.name, dialect), db=schema)


def build_pattern(term: exp.Expr, operator: str, text: str, dialect: DialectRow) -> exp.Expr:
    """A match without regard to case by one of ``PATTERNS``; % and _ of the text stand for themselves."""
    escaped = re.sub(r"([%_!])", r"!\1", text)
    like = exp.ILike if dialect.has_ilike else exp.Like
    matched: exp.Expr = like(this=term, expression=exp.Literal.string(PATTERNS[operator].format(escaped)))
    return exp.Escape(this=matched, expression=exp.Literal.string("!")) if escaped != text else matched
