"""Rows as a CSV file that a spreadsheet can open without running what is in it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence

from sql_synthesizer.model import Scalar


def csv_lines(rows: Iterable[Sequence[Scalar]]) -> Iterator[str]:
    """The lines of a CSV file (RFC 4180); a cell that would run as a formula is preceded by an apostrophe."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([_escape_formula(cell) for cell in row])


class _Echo:
    """Gives back the line that a writer writes."""

    def write(self, text: str) -> str:
        return text


def _escape_formula(cell: Scalar) -> Scalar:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
