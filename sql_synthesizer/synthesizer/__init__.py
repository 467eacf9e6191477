"""What turns a question into SQL: the protocol that the language model and the embedded rules share."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from sql_synthesizer.errors import StatementInvalid, StatementRefused
from sql_synthesizer.model import Schema, Statement, ValueLookup

WRONG_NAMES = {"unknown_table": "table", "column": "column"}
"""Rules of the statement guard that a model's wrong guess of a name breaks -> what the name should have been."""


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


def repairable_error(error: StatementInvalid | StatementRefused) -> StatementInvalid:
    """A refusal as the database would have put it: the kind of fault, and the name that it is about."""
    if isinstance(error, StatementInvalid):
        return error
    rule = str(error.details.get("rule", "not_a_query"))
    named = next((error.details[part] for part in ("table", "column", "function") if part in error.details), "")
    wrong = WRONG_NAMES.get(rule)
    return StatementInvalid(
        details={"class": f"undefined_{wrong}" if wrong else f"refused_{rule}", "identifier": str(named)}
    )
