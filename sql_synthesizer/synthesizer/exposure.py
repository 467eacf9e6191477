"""What of a schema may leave for a language model: pure functions that everything sent goes through."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from sql_synthesizer.model import Column, Schema, Table

COMMENT_CHARS = 120

_PLAIN_TYPE = re.compile(r"[A-Za-z][A-Za-z0-9_ ]{0,40}(\(\d+(, ?\d+)?\))?( [A-Za-z ]{1,30})?")


def visible_schema(schema: Schema) -> Schema:
    """The part of a schema that may leave: no sensitive column, no key or comment that names one."""
    hidden = hidden_name_pattern(schema)
    shown = {
        table.name.casefold(): {column.name.casefold() for column in table.columns if _is_visible_column(column)}
        for table in schema.tables
        if _is_safe_name(table.name) and _is_safe_name(table.schema or "")
    }
    tables = [_visible_table(table, shown, hidden) for table in schema.tables if shown.get(table.name.casefold())]
    return replace(schema, tables=tuple(tables))


def _visible_table(table: Table, shown: dict[str, set[str]], hidden: re.Pattern[str]) -> Table:
    whole_key = all(_is_visible_column(column) for column in table.columns if column.primary_key)
    columns = (
        replace(
            column,
            type=_visible_type(column, hidden),
            primary_key=column.primary_key and whole_key,
            comment=_visible_comment(column.comment, hidden),
        )
        for column in table.columns
        if _is_visible_column(column)
    )
    keys = (
        key
        for key in table.foreign_keys
        if _all_shown(key.columns, shown[table.name.casefold()])
        and _all_shown(key.target_columns, shown.get(key.target.casefold(), set()))
    )
    return replace(
        table,
        columns=tuple(columns),
        foreign_keys=tuple(keys),
        comment=_visible_comment(table.comment, hidden),
    )


def _visible_type(column: Column, hidden: re.Pattern[str]) -> str:
    """The database's word for the type, unless it carries more than a type, as an enumeration does."""
    plain = _PLAIN_TYPE.fullmatch(column.type) and not hidden.search(column.type)
    return column.type if plain else column.kind.value


def _all_shown(names: tuple[str, ...], shown: set[str]) -> bool:
    return bool(names) and shown.issuperset(name.casefold() for name in names)


def _visible_comment(comment: str, hidden: re.Pattern[str]) -> str:
    return "" if hidden.search(comment) else one_line(comment, COMMENT_CHARS)


def hidden_name_pattern(schema: Schema) -> re.Pattern[str]:
    """Finds the names of sensitive columns, singular or plural, as whole words."""
    either = "|".join(re.escape(name) for name in sorted(sensitive_names(schema))) or "(?!)"
    return re.compile(rf"(?<!\w)(?:{either})(?:e?s)?(?!\w)", re.IGNORECASE)


def sensitive_names(schema: Schema) -> frozenset[str]:
    """The names of sensitive columns, casefolded; one that a column has which may be shown is no secret."""
    columns = [column for table in schema.tables for column in table.columns]
    shown = {column.name.casefold() for column in columns if not column.sensitive}
    return (schema.secrets | {column.name.casefold() for column in columns if column.sensitive}) - shown


def _is_visible_column(column: Column) -> bool:
    return not column.sensitive and _is_safe_name(column.name)


def _is_safe_name(name: str) -> bool:
    return len(name) <= 128 and not set(name) & set("<>") and name.isprintable()


def one_line(text: str, limit: int) -> str:
    """``text`` on one line, without control and format characters, cut at ``limit`` characters."""
    text = text[: 4 * limit]
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text)
    return " ".join(text.split())[:limit]
