"""What tells that a schema may be older than the database, and which name a misspelt one may mean."""

from __future__ import annotations

import difflib

from sql_synthesizer.errors import Declined, SqlSynthesizerError, StatementInvalid, StatementRefused
from sql_synthesizer.model import Schema
from sql_synthesizer.synthesizer import WRONG_NAMES

LEAST_LIKENESS = 0.75
"""How much a misspelt name has in common with the one that is meant."""
UNDEFINED = frozenset({"undefined_table", "undefined_column"})


def may_be_stale(error: BaseException | None) -> bool:
    """Whether an error, or what it stands for, is about a name that was not found."""
    if not isinstance(error, SqlSynthesizerError):
        return False
    about = error.details
    named = about.get("rule") in WRONG_NAMES or about.get("class") in UNDEFINED
    return isinstance(error, Declined) or named or may_be_stale(error.__cause__)


def check_spelling(error: StatementRefused, schema: Schema) -> None:
    """Raises StatementInvalid if a table was refused that is misspelt, by all appearances: that is no attack."""
    name = str(error.details.get("table", ""))
    known = {table.name.casefold(): table.name for table in schema.tables}
    if error.details.get("rule") != "unknown_table" or known.get(name.casefold()) == name:
        return  # or its schema is another
    if near := [known[one] for one in difflib.get_close_matches(name.casefold(), known, 3, LEAST_LIKENESS)]:
        raise StatementInvalid(
            f"There is no table '{name}'.",
            hint=f"Did you mean {' or '.join(near)}?",
            details={"class": "undefined_table", "identifier": name},
        )


def suggest_column(error: StatementInvalid, schema: Schema) -> StatementInvalid:
    """The error, with columns of the schema that are spelt like one that there is not."""
    if error.details.get("class") != "undefined_column":
        return error
    known = {column.name.casefold(): column.name for table in schema.tables for column in table.columns}
    wrong = str(error.details.get("identifier", "")).rpartition(".")[2].casefold()
    near = [known[name] for name in difflib.get_close_matches(wrong, known, 3, LEAST_LIKENESS)]
    hint = f"Did you mean {' or '.join(near)}?" if near else error.hint
    return StatementInvalid(error.message, hint=hint, details=error.details)
