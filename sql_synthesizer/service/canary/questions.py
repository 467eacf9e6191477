"""The file of canaries, and whether an answer is the known one."""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.model import Scalar

MOST = 16
"""Canaries of a file at most: each is a few series, and a question every few minutes."""
NAME = re.compile("[a-z][a-z0-9_]{0,31}")
FIELDS = {"question", "database", "sql", "rows"}
HINT = "It holds 'canaries:' with one entry a question; docs/canaries.md shows an example."
Row = Sequence[Scalar]


@dataclass(frozen=True, slots=True)
class Canary:
    """A question whose result is known: it is what ``sql`` returns at the time, or these ``rows``."""

    name: str
    question: str
    database: str
    sql: str = ""
    rows: tuple[tuple[Scalar, ...], ...] | None = None


def read_canaries(path: Path, databases: Sequence[str]) -> tuple[Canary, ...]:
    """The canaries of a file; one that names no database is of the first. Raises ConfigurationError."""
    import yaml  # noqa: PLC0415

    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))["canaries"].items()
    except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"The file of canaries {path} cannot be used: {type(error).__name__}.", hint=HINT
        ) from None
    faults = [f"{name}: {fault}" for name, entry in entries for fault in _find_faults(name, entry, databases)]
    if len(entries) > MOST:
        faults.append(f"there are more than {MOST}")
    if faults or not entries:
        told = "\n".join(f"  {fault}" for fault in faults) or "  it is empty"
        raise ConfigurationError(f"The file of canaries {path} cannot be used:\n{told}", hint=HINT)
    return tuple(_make_canary(name, {"database": databases[0], **entry}) for name, entry in entries)


def is_same(found: Iterable[Row], known: Iterable[Row]) -> bool:
    """Whether the rows are the same, without regard to their order or that of the columns."""
    return _count_rows(found) == _count_rows(known)


def _find_faults(name: object, entry: Any, databases: Sequence[str]) -> list[str]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return ["a name is of at most 32 lower-case letters, digits and _"]
    if not isinstance(entry, dict) or not isinstance(entry.get("question"), str):
        return ["an entry is a mapping with 'question'"]
    faults = [f"{field!r:.40} is no field of an entry" for field in entry if field not in FIELDS]
    if ("sql" in entry) == ("rows" in entry):
        faults.append("an entry has either 'sql' or 'rows'")
    if not isinstance(entry.get("sql", ""), str):
        faults.append("'sql' is a statement")
    rows = entry.get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        faults.append("'rows' is a list of lists")
    if entry.get("database", databases[0]) not in databases:
        faults.append("there is no database of this name")
    return faults


def _make_canary(name: str, entry: dict[str, Any]) -> Canary:
    rows = tuple(tuple(map(_as_scalar, row)) for row in entry["rows"]) if "rows" in entry else None
    return Canary(name, entry["question"], entry["database"], entry.get("sql", ""), rows)


def _as_scalar(value: Any) -> Scalar:
    """A cell as the service returns it: dates are text."""
    return value.isoformat() if isinstance(value, datetime.date) else value


def _count_rows(rows: Iterable[Row]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(sorted(map(_cell_text, row))) for row in rows)


def _cell_text(value: Scalar) -> str:
    """Equal for numbers that are, whatever type an engine computes them in."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.7g}"
    return str(value)
