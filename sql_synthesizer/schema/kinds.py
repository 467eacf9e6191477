"""What sort of value a column holds, by the type that a server or SQLAlchemy calls it."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import types
from sqlalchemy.exc import CompileError

from sql_synthesizer.model import ColumnKind

_KINDS: tuple[tuple[type[types.TypeEngine[Any]], ColumnKind], ...] = (
    (types.Boolean, ColumnKind.BOOLEAN),
    (types.Integer, ColumnKind.INTEGER),
    (types.Numeric, ColumnKind.NUMBER),
    (types.Float, ColumnKind.NUMBER),
    (types.DateTime, ColumnKind.DATETIME),
    (types.Date, ColumnKind.DATE),
    (types.Time, ColumnKind.TIME),
    (types.JSON, ColumnKind.OTHER),
    (types.String, ColumnKind.TEXT),
    (types.Uuid, ColumnKind.TEXT),
)
_TYPE_NOISE = re.compile(r' (?:CHARACTER SET|COLLATE) (?:"[^"]*"|\S+)')
_WRAPPED = re.compile(r"(?:nullable|lowcardinality)\((.*)\)", re.IGNORECASE)
_WORDS: tuple[tuple[str, ColumnKind], ...] = (
    (r"tinyint\(1\)|bool(?:ean)?|bit\(1\)", ColumnKind.BOOLEAN),
    (r"u?int(?:eger)?\d*|(?:tiny|small|medium|big)int|year", ColumnKind.INTEGER),
    (r"decimal\d*|numeric|double(?: precision)?|float\d*|real", ColumnKind.NUMBER),
    (r"datetime\d*|timestamp", ColumnKind.DATETIME),
    (r"date\d*", ColumnKind.DATE),
    (r"time", ColumnKind.TIME),
    (r"(?:var|fixed)?(?:char|string)|(?:tiny|medium|long)?text|enum\d*|set|uuid|ipv[46]|inet[46]", ColumnKind.TEXT),
)
_NAMED = tuple((re.compile(rf"(?:{words})(?=$|[ (])", re.IGNORECASE), kind) for words, kind in _WORDS)
_WIDTH = re.compile(r"^((?:tiny|small|medium|big)?int)\((?!1\))\d+\)", re.IGNORECASE)


def column_kind(type: types.TypeEngine[Any]) -> ColumnKind:
    """The kind of value that a column type of SQLAlchemy holds."""
    # By name: importing a dialect for its types would load it where it is not used.
    name = type.__class__.__name__
    if name == "DOMAIN":
        return column_kind(getattr(type, "data_type", types.NULLTYPE))
    return next((kind for family, kind in _KINDS if isinstance(type, family)), ColumnKind.OTHER)


def type_name(type: types.TypeEngine[Any]) -> str:
    """What a type of SQLAlchemy is called."""
    try:
        return "" if isinstance(type, types.NullType) else _TYPE_NOISE.sub("", str(type))
    except CompileError:
        return type.__class__.__name__


def named_kind(name: str) -> ColumnKind:
    """The kind of value that a type holds, by the name in a catalogue."""
    if wrapped := _WRAPPED.fullmatch(name):
        return named_kind(wrapped[1])
    return next((kind for pattern, kind in _NAMED if pattern.match(name)), ColumnKind.OTHER)


def tidy_name(name: str) -> str:
    """The name of a type as it is shown: without the width of an integer, in capitals but for what it quotes."""
    parts = re.split(r"('(?:[^']|'')*')", _WIDTH.sub(r"\1", name))
    return "".join(part if n % 2 else part.upper() for n, part in enumerate(parts))
