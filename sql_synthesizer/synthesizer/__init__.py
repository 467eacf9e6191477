"""What turns a question into SQL: the protocol that the language model and the embedded rules share."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sql_synthesizer.errors import StatementInvalid
from sql_synthesizer.model import Schema, Statement, ValueLookup


@dataclass(frozen=True, slots=True)
class Context:
    """All that a synthesizer may know. ``deadline`` is on the clock of ``time.monotonic()``, in seconds."""

    question: str
    schema: Schema
    values: ValueLookup
    today: datetime.date
    max_rows: int
    deadline: float


class Synthesizer(Protocol):
    """Makes a statement from a question; ``source`` is ``llm`` or ``rules``."""

    source: str

    def synthesize(self, context: Context) -> Statement:
        """SQL that answers the question, not yet guarded. Raises Declined, ModelUnavailable, ModelInvalid."""


@runtime_checkable
class Repairer(Protocol):
    """Can mend a statement that the database refused as wrong."""

    def repair(self, context: Context, statement: Statement, error: StatementInvalid) -> Statement:
        """A new statement for the same question. Raises Declined, ModelUnavailable, ModelInvalid."""
