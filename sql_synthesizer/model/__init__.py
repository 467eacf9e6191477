"""The nouns that rooms hand to each other: questions, schemas, statements, rows and answers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypedDict, TypeVar

from sql_synthesizer.model.cancellation import Cancellation

Scalar = str | int | float | bool | None
"""A result cell as a JSON scalar: dates are text, and numbers that neither a 64-bit integer nor a double holds."""

MASK = "***"
"""What comes in the place of a masked value."""

CANARY = "canary"
"""Who asks when the service asks itself, to see that its answers are right."""


def fingerprint(text: str) -> int:
    """A number that tells texts apart, small enough for a metric to hold it exactly."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:6])


class Role(StrEnum):
    """What a caller may do; each role includes those before it."""

    VIEWER = "viewer"  # asks questions
    ANALYST = "analyst"  # also sends SQL of its own and exports results
    OPERATOR = "operator"  # also reads metrics, health details and the audit record

    def includes(self, other: Role) -> bool:
        """Whether this role may do what ``other`` may."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: an API key's id, or ``local`` where the service is open on loopback.

    ``rate_limit`` and ``team`` are the key's.
    """

    identity: str
    role: Role = Role.ANALYST
    address: str = ""
    method: str = "open"
    rate_limit: str = ""
    team: str = ""


CANARY_CALLER = Caller(CANARY, Role.ANALYST, method=CANARY)
"""Who asks questions with known results: the service itself, past the cache, and in no figure of what people ask."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What the service keeps of an API key: not the secret, but its salted digest. Times are Unix times.

    ``rate_limit`` is ``count/period``, ``none``, or empty for the service's own. Page sessions carry the
    ``session_version`` at their sign-in and end when it is raised.
    """

    id: str
    label: str
    role: Role
    salt: str = field(repr=False)
    digest: str = field(repr=False)
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    last_used_at: float | None = None
    rate_limit: str = ""
    session_version: int = 0
    team: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One request for an answer. ``deadline`` is on the clock of ``time.monotonic()``, in seconds.

    ``cancellation`` lets another thread take it back; a ``fresh`` one takes no answer from the cache.
    """

    text: str
    database: str
    caller: Caller
    max_rows: int
    deadline: float
    cancellation: Cancellation = field(default_factory=Cancellation, compare=False, repr=False)
    fresh: bool = False

    def remaining(self) -> float:
        """Seconds left until the deadline; never negative."""
        return max(0.0, self.deadline - time.monotonic())


UNSEEN = "*"
"""Stands among the hidden columns of a table that has others, which the server names to other logins only."""


class ColumnKind(StrEnum):
    """What sort of value a column holds, whatever the database calls its type."""

    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    BOOLEAN = "boolean"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``sensitive`` ones are hidden from models, ``shareable`` ones may show values to them."""

    name: str
    kind: ColumnKind
    type: str = ""
    primary_key: bool = False
    nullable: bool = True
    sensitive: bool = False
    shareable: bool = False
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """``columns`` of this table refer to ``target_columns`` of ``target``, pairwise."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view that may be read. ``name`` is what a statement calls it, without its schema.

    ``schema`` is what has to be written before it; ``home`` is where it is all the same, casefolded.
    ``hidden`` are columns that do not exist for who asks; ``UNSEEN`` stands for those that the server does not tell.
    """

    name: str
    columns: tuple[Column, ...]
    foreign_keys: tuple[ForeignKey, ...] = ()
    schema: str | None = None
    comment: str = ""
    hidden: tuple[str, ...] = ()
    home: str = ""

    def column(self, name: str) -> Column | None:
        """The column of this name, compared without case where none is called exactly so."""
        return _find_named(self.columns, name)


class Cause(StrEnum):
    """Why something that a database holds is not offered."""

    UNREADABLE = "unreadable"  # broken, or of a kind that cannot be read here
    FORBIDDEN = "forbidden"  # the service's login may not read it
    TOO_MANY = "too_many"  # beyond what a schema takes
    SHADOWED = "shadowed"  # a table of an earlier schema has the name


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A table or view that is not offered; if ``columns`` is not 0, it is, but for so many of its columns."""

    name: str
    cause: Cause
    columns: int = 0


@dataclass(frozen=True, slots=True)
class Schema:
    """What one database holds. ``version`` changes when anything in ``tables`` does.

    ``catalog`` is what the server calls the database, where a name may begin with that; ``secrets`` are names of
    sensitive columns, casefolded, that are not in ``tables`` since it was cut.
    """

    database: str
    dialect: str
    tables: tuple[Table, ...]
    version: str = ""
    left_out: tuple[LeftOut, ...] = ()
    catalog: str = ""
    secrets: frozenset[str] = frozenset()

    def table(self, name: str) -> Table | None:
        """The table of this name, compared without case where none is called exactly so."""
        return _find_named(self.tables, name)


_Named = TypeVar("_Named", Table, Column)


def _find_named(known: Sequence[_Named], name: str) -> _Named | None:
    folded, near = name.casefold(), None
    for one in known:
        if one.name == name:
            return one
        if near is None and one.name.casefold() == folded:
            near = one
    return near


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A cell value that occurs in the data: ``value`` as stored, so that a filter on it is exact."""

    table: str
    column: str
    value: str


class ValueLookup(Protocol):
    """Finds where words of a question occur as values; columns marked sensitive are never searched."""

    def find(self, text: str) -> Sequence[ValueMatch]:
        """The places where ``text`` is a whole cell value, compared without case; at most 20."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL that answers a question, before or after the guard has seen it.

    ``source`` is ``llm``, ``rules``, ``analyst`` or ``cache``. The guard fills what follows ``explanation`` up to
    ``limit``. ``confidence`` is the probability that it answers the question, None where nobody estimated it;
    ``sure`` is false where that is below the setting.
    """

    sql: str
    source: str
    explanation: str = ""
    query_type: str = "unknown"
    tables: tuple[str, ...] = ()
    sensitive: tuple[str, ...] = ()
    limit: int | None = None
    confidence: float | None = None
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Rows:
    """A result: ``truncated`` when the row or byte cap cut it."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Scalar, ...], ...]
    truncated: bool = False
    byte_count: int = 0


class AnswerReply(TypedDict):
    """An answer as JSON; ``next`` is the path of its next page."""

    question: str
    sql: str
    source: str
    explanation: str
    confidence: float | None
    sure: bool
    columns: list[str]
    rows: list[list[Scalar]]
    row_count: int
    truncated: bool
    timings_ms: dict[str, float]
    database: str
    question_id: str
    trace_id: str
    age_seconds: int
    next: str | None


@dataclass(slots=True)
class Answer:
    """What an analyst gets. ``timings_ms`` maps a stage to milliseconds; ``sensitive`` rows are not kept anywhere.

    ``sure`` is false where its ``confidence``, the probability that it answers the question, is below the setting.
    """

    question: str
    sql: str
    source: str
    explanation: str
    rows: Rows
    database: str
    question_id: str
    trace_id: str
    sensitive: bool = False
    timings_ms: dict[str, float] = field(default_factory=dict)
    confidence: float | None = None
    sure: bool = True
    age_seconds: int = 0
    """How long ago its statement ran, where it comes from the cache."""

    def to_json(self) -> AnswerReply:
        """The reply, its fields in the documented order."""
        return {
            "question": self.question,
            "sql": self.sql,
            "source": self.source,
            "explanation": self.explanation,
            "confidence": self.confidence,
            "sure": self.sure,
            "columns": list(self.rows.columns),
            "rows": [list(row) for row in self.rows.rows],
            "row_count": len(self.rows.rows),
            "truncated": self.rows.truncated,
            "timings_ms": self.timings_ms,
            "database": self.database,
            "question_id": self.question_id,
            "trace_id": self.trace_id,
            "age_seconds": self.age_seconds,
            "next": None,
        }
