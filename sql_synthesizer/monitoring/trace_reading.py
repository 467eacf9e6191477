"""Reading the store of traces: what is known of an id, and the newest traces; the file may be in use, or not there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from sql_synthesizer.errors import StoreUnavailable
from sql_synthesizer.model.display import format_moment

FRAGMENTS = 200
"""Rows of one trace that are read."""
LIMIT = 200
"""Traces of one page at most."""
WAIT = 1.0

StoredSpan = dict[str, Any]
"""The fields of ``spans.Span``, and ``instance``: which process it is of."""


@dataclass(frozen=True, slots=True)
class TraceRow:
    """A trace as one process saw it. ``id`` grows with the time at which it was written; times are in seconds."""

    id: int
    trace_id: str
    question_id: str
    name: str
    reason: str
    instance: str
    ended: float
    seconds: float
    failed: bool
    slow: bool
    span_count: int

    def to_json(self) -> dict[str, object]:
        """For programs."""
        shown = {name: getattr(self, name) for name in _COLUMNS}
        return {**shown, "ended": format_moment(self.ended)}


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """All that is stored of one trace, earliest span first; ``complete`` unless it has more than is read."""

    trace_id: str
    rows: list[TraceRow]
    spans: list[StoredSpan]
    complete: bool

    def to_json(self) -> dict[str, object]:
        """For programs."""
        shown = {"trace_id": self.trace_id, "complete": self.complete, "spans": self.spans}
        return {**shown, "fragments": [row.to_json() for row in self.rows]}


_COLUMNS = tuple(field.name for field in fields(TraceRow))
_SELECT = f"SELECT {', '.join(_COLUMNS)}"


def list_traces(
    path: Path,
    *,
    failed: bool = False,
    slow: bool = False,
    since: datetime | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[TraceRow]:
    """The newest traces, each with its outermost span; ``before`` goes on below a row's ``id``.

    ``failed`` and ``slow`` together let either pass. Raises StoreUnavailable when the store cannot be read.
    """
    wanted = " OR ".join(name for name, given in (("failed", failed), ("slow", slow)) if given)
    where = ["name <> ''", *([f"telling = 1 AND ({wanted})"] if wanted else [])]
    values: list[object] = []
    for condition, value in (("ended >= ?", since and since.timestamp()), ("id < ?", before)):
        if value is not None:
            where.append(condition)
            values.append(value)
    query = f"{_SELECT} FROM traces WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
    with _open_store(path) as connection:
        return [_row(found) for found in connection.execute(query, (*values, min(limit, LIMIT)))] if connection else []


def find_trace(path: Path, id: str) -> StoredTrace | None:
    """What is stored of a trace or question id. Raises StoreUnavailable when the store cannot be read."""
    with _open_store(path) as connection:
        if connection is None:
            return None
        trace_id = id if len(id) == 32 else _find_question(connection, id)
        query = f"{_SELECT}, spans FROM traces WHERE trace_id = ? ORDER BY id LIMIT ?"
        found = connection.execute(query, (trace_id, FRAGMENTS + 1)).fetchall()
    if not found:
        return None
    rows = [_row(values[:-1]) for values in found[:FRAGMENTS]]
    spans = [
        {**span, "instance": row.instance}
        for row, values in zip(rows, found, strict=False)
        for span in orjson.loads(values[-1])
    ]
    spans.sort(key=lambda span: (span["started_ns"], -span["duration_ns"]))
    complete = len(found) <= FRAGMENTS and sum(row.span_count for row in rows) == len(spans)
    return StoredTrace(trace_id, rows, spans, complete)


def _find_question(connection: sqlite3.Connection, question_id: str) -> str:
    query = "SELECT trace_id FROM traces WHERE question_id = ? AND question_id <> '' ORDER BY id LIMIT 1"
    found = connection.execute(query, (question_id,)).fetchone()
    return str(found[0]) if found else ""


def _row(values: Sequence[Any]) -> TraceRow:
    named = dict(zip(_COLUMNS, values, strict=True))
    return TraceRow(**named | {"failed": bool(named["failed"]), "slow": bool(named["slow"])})


@contextmanager
def _open_store(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The file, to read only; None when there is none, or no table in it yet."""
    if not path.exists():
        yield None
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT)) as connection:
            begun = connection.execute("PRAGMA user_version").fetchone()[0]
            yield connection if begun else None
    except sqlite3.Error as error:
        raise StoreUnavailable(
            "The store of traces cannot be read.",
            hint="A service begins it again when it writes to it the next time.",
            details={"error": type(error).__name__},
        ) from None
