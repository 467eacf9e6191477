"""What the cache keeps, as values that can be JSON: answers, and the rows that a caller pages through."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from sql_synthesizer.model import Rows, Scalar, Statement


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """A statement as it was written and as it ran, and its rows; ``source`` is who wrote it."""

    sql: str
    statement: str
    source: str
    explanation: str
    query_type: str
    sensitive: Sequence[str]
    columns: Sequence[str]
    rows: Sequence[Sequence[Scalar]]
    truncated: bool
    took_ms: float = 0.0
    cost_microusd: int = 0
    unpriced: int = 0
    """Calls of the model whose price is not known, and so no part of the cost."""
    confidence: float | None = None
    sure: bool = True
    made_at: float = 0.0
    """Unix time."""

    @classmethod
    def of(cls, statement: Statement, written: str, rows: Rows, took_ms: float = 0.0) -> Self:
        """An answer to keep; ``written`` is the statement before the guard."""
        about = (statement.sql, written, statement.source, statement.explanation, statement.query_type)
        kept = (statement.sensitive, rows.columns, rows.rows, rows.truncated, round(took_ms, 3))
        return cls(*about, *kept, confidence=statement.confidence, sure=statement.sure, made_at=time.time())

    def to_statement(self) -> Statement:
        """The statement, to be judged again."""
        doubt = (self.confidence, self.sure)
        return Statement(self.sql, self.source, self.explanation, self.query_type, (), (), None, *doubt)


@dataclass(frozen=True, slots=True)
class CachedPages:
    """An answer's rows, for the caller who got it."""

    identity: str
    database: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Scalar]]
    truncated: bool


CacheEntry = CachedAnswer | CachedPages


def to_rows(entry: CacheEntry) -> Rows:
    """The rows of an entry."""
    return Rows(tuple(entry.columns), tuple(tuple(row) for row in entry.rows), entry.truncated)
