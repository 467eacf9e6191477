"""Rows as a CSV file that a spreadsheet can open without running what is in it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence

from sql_synthesizer.model import Scalar

BOM = "\ufeff"
"""At the start of a file, it tells a spreadsheet that the text is UTF-8; without it accents are garbled."""

# A spreadsheet skips blanks and invisible characters before a formula, reads fullwidth and raised signs as plain ones,
# and splits a cell at the separator of its language, which is a semicolon in half of Europe.
_BLANKS = r"\s\x00-\x1f\x7f-\x9f\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
# From the beginning of the blanks and possessive, so that a million blanks are read once.
_SIGN = re.compile(rf"(?<![{_BLANKS}])[{_BLANKS}]*+(?=[=+\-@＝＋－＠﹦﹢﹣﹫⁼⁺⁻₌₊₋−])")
_BREAKS = frozenset("\t\r\n")


def csv_lines(rows: Iterable[Sequence[Scalar]]) -> Iterator[str]:
    """The lines of a CSV file (RFC 4180); what would run as a formula is preceded by an apostrophe."""
    writer = csv.writer(_Echo())
    for row in rows:
        yield writer.writerow([_escape_formula(cell) for cell in row])


class _Echo:
    """Gives back the line that a writer writes."""

    def write(self, text: str) -> str:
        return text


def _escape_formula(cell: Scalar) -> Scalar:
    return _SIGN.sub(_escape_sign, cell) if isinstance(cell, str) else cell


def _escape_sign(blanks: re.Match[str]) -> str:
    begins = not blanks.start() or blanks.string[blanks.start() - 1] == ";" or not _BREAKS.isdisjoint(blanks[0])
    return f"{blanks[0]}'" if begins else blanks[0]
