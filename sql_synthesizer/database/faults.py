"""What a driver's exception means: the error of the tree that it becomes.

Only a class and, for names, the identifier from the statement are told; the driver's text may hold data.
"""

from __future__ import annotations

from dataclasses import dataclass

from sql_synthesizer import errors

REFUSED, TIMEOUT, UNAVAILABLE, FAILED = "refused", "timeout", "unavailable", "failed"
DENIED, CANCELLED = "denied", "cancelled"
IDENTIFIER_LENGTH = 128

MESSAGES = {
    "undefined_column": "There is no column {0}.",
    "undefined_table": "There is no table {0}.",
    "undefined_function": "There is no function {0} for these arguments.",
    "ambiguous_column": "The column {0} occurs in more than one table; name the table too.",
    "grouping": "A column is neither grouped nor aggregated, or an aggregate stands where none may.",
    "syntax": "The statement has a syntax error.",
    "type": "The types of an operation or function do not fit.",
    "data": "A value cannot be computed or converted, for example a division by zero.",
    "other": "The database could not run the statement as written.",
}
"""The classes of an invalid statement, with what the caller is told."""
NAMED = frozenset({"undefined_column", "undefined_table", "undefined_function", "ambiguous_column"})
"""Those that speak of a name in the statement."""

_FAILURES: dict[str, type[errors.ServiceFailure]] = {
    TIMEOUT: errors.StatementTimeout,
    CANCELLED: errors.StatementCancelled,
    DENIED: errors.PrivilegeMissing,
    UNAVAILABLE: errors.DatabaseUnavailable,
    FAILED: errors.DatabaseFailed,
}


@dataclass(frozen=True, slots=True)
class DriverFault:
    """``kind`` is one of the six above or a class of invalid statement.

    ``refused`` is what no login may do here, ``denied`` what this one may not; ``cancelled`` what somebody ended.
    """

    kind: str
    identifier: str = ""

    def to_error(self) -> errors.SqlSynthesizerError:
        """The error to raise."""
        if self.kind == REFUSED:
            return errors.StatementRefused("The database refused the statement: only reading is allowed.")
        if self.kind in _FAILURES:
            return _FAILURES[self.kind]()
        shown = f"'{self.identifier}'" if self.identifier else "of that name"
        return errors.StatementInvalid(
            MESSAGES[self.kind].format(shown), details={"class": self.kind, "identifier": self.identifier}
        )


def clean_identifier(text: str | None) -> str:
    """A name from a driver's message, without quotes."""
    return (text or "").strip().replace('"', "").replace("`", "")[:IDENTIFIER_LENGTH]
