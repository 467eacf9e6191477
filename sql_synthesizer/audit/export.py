"""The audit record for other programs: JSON lines as recorded, a table for a spreadsheet, OCSF for a SIEM."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

import orjson

from sql_synthesizer.audit.ocsf import ocsf_event
from sql_synthesizer.audit.record import Record
from sql_synthesizer.model import Scalar

COLUMNS = tuple(
    """time event_type owasp severity actor role address trace_id question_id count writer sequence mac
    details""".split()
)
"""The columns of the table; ``details`` are JSON."""


def _json_lines(records: Iterable[object]) -> Iterator[bytes]:
    return (orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)


FORMATS: Mapping[str, Callable[[Iterable[Record]], Iterator[bytes]]] = {
    "jsonl": _json_lines,
    "ocsf": lambda records: _json_lines(map(ocsf_event, records)),
}
"""Format -> what makes its lines, one record at a time."""


def table_rows(records: Iterable[Record]) -> Iterator[Sequence[Scalar]]:
    """``COLUMNS``, then a row for each record."""
    return chain([COLUMNS], map(_table_row, records))


def _table_row(record: Record) -> list[Scalar]:
    cells = [record.get(name, "") for name in COLUMNS]
    return [cell if isinstance(cell, str | int | float) else orjson.dumps(cell).decode() for cell in cells]
