"""Questions built from a schema, nearest to what was asked first; the caller keeps those that can be answered."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sql_synthesizer.model import ColumnKind, Table
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.rules.binding import NUMERIC
from sql_synthesizer.synthesizer.rules.names import key_columns, label_columns
from sql_synthesizer.synthesizer.rules.text import plural_form, singular_form, split_name, word_stem

TABLES = 3


def candidate_questions(context: Context) -> Iterator[str]:
    """Up to a dozen questions, those about the tables that the question seems to mean first."""
    asked = {word_stem(singular_form(word)) for word in re.findall(r"[^\W\d_]+", context.question[:2000].casefold())}
    tables = sorted(context.schema.tables, key=lambda table: -_word_overlap(asked, table))[:TABLES]
    rows = [list(_table_questions(table)) for table in tables]
    for turn in range(max(map(len, rows), default=0)):
        yield from (row[(turn + index) % len(row)] for index, row in enumerate(rows))


def _word_overlap(asked: set[str], table: Table) -> float:
    own = {word_stem(word) for word in split_name(table.name)}
    columns = {word_stem(word) for column in table.columns for word in split_name(column.name)}
    return 2 * len(asked & own) + 0.5 * len(asked & columns)


def _table_questions(table: Table) -> Iterator[str]:
    name = " ".join(split_name(table.name))
    yield f"How many {plural_form(name)} are there?"
    linked = {column for key in table.foreign_keys for column in key.columns}
    for column in table.columns:
        if (
            column.kind in NUMERIC
            and column not in key_columns(table)
            and column.name not in linked
            and not column.sensitive
        ):
            yield f"What is the average {' '.join(split_name(column.name))} of {plural_form(name)}?"
            break
    for column in table.columns:
        if column.kind is ColumnKind.TEXT and column not in label_columns(table) and not column.sensitive:
            yield f"How many {plural_form(name)} per {' '.join(split_name(column.name))}?"
            break
    yield f"List all {plural_form(name)}"
