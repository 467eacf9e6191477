"""Result cells as JSON scalars, and results cut to their caps."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from sql_synthesizer.model import Rows, Scalar

BYTES_SHOWN = 64
NUMBER_BYTES = 8
EXACT = 2**53
"""Whole numbers beyond this do not survive a reader that knows only doubles."""
JSON_INTEGERS = range(-(2**63), 2**64)
"""The integers that can be written as JSON numbers; wider ones, which some servers have, come as text."""


def to_scalar(cell: Any) -> Scalar:
    """A driver's value as one of JSON's scalar types, without losing a digit."""
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, int):
        return cell if cell in JSON_INTEGERS else str(cell)
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else str(Decimal(cell))
    if isinstance(cell, Decimal):
        return _decimal_to_scalar(cell)
    if isinstance(cell, (dt.date, dt.time)):
        return cell.isoformat()
    if isinstance(cell, (bytes, bytearray, memoryview)):
        data = bytes(cell[: BYTES_SHOWN + 1])
        return "0x" + data[:BYTES_SHOWN].hex() + ("…" if len(data) > BYTES_SHOWN else "")
    if isinstance(cell, (list, tuple, dict)):
        return json.dumps(cell, default=str, ensure_ascii=False)
    return str(cell)


def _decimal_to_scalar(number: Decimal) -> Scalar:
    if not number.is_finite():
        return str(number)
    if number == number.to_integral_value() and abs(number) < EXACT:
        return int(number)
    nearest = float(number)
    return nearest if math.isfinite(nearest) and Decimal(repr(nearest)) == number else str(number)


def distinct_names(names: Iterable[str]) -> tuple[str, ...]:
    """Column names with ``_2``, ``_3`` … appended where one occurs again."""
    found = list(names)
    taken: set[str] = set()
    result = []
    for name in found:
        unique, count = name, 1
        while unique in taken or (count > 1 and unique in found):
            count += 1
            unique = f"{name}_{count}"
        taken.add(unique)
        result.append(unique)
    return tuple(result)


def collect_rows(
    names: Sequence[str], batches: Iterable[Sequence[Sequence[Any]]], max_rows: int, byte_cap: int
) -> Rows:
    """Reads rows until a cap is reached; bytes are those of text in UTF-8, and 8 for any other cell."""
    rows: list[tuple[Scalar, ...]] = []
    total = 0
    columns = distinct_names(names)
    for batch in batches:
        for row in batch:
            converted, size = _convert_row(row)
            if len(rows) >= max_rows or total + size > byte_cap:
                return Rows(columns, tuple(rows), truncated=True, byte_count=total)
            rows.append(converted)
            total += size
    return Rows(columns, tuple(rows), byte_count=total)


def _convert_row(row: Sequence[Any]) -> tuple[tuple[Scalar, ...], int]:
    size = 0
    cells: list[Scalar] = []
    for cell in row:
        plain = cell is None or type(cell) is str or (type(cell) is int and cell in JSON_INTEGERS)
        value = cell if plain else to_scalar(cell)
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode("utf-8", "replace"))
        else:
            size += NUMBER_BYTES
        cells.append(value)
    return tuple(cells), size
