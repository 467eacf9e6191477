"""The figure of a run, as a table, as JSON, and read again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File

from sql_synthesizer_proof.coverage.path import KINDS, SIGNALS, Path, Result
from sql_synthesizer_proof.mixin.markdown import format_table

GOAL = 0.95
"""Share of all paths that has to be covered, the excused ones among them."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How many of the paths are covered; ``excused`` are not among the ``counted``."""

    counted: int
    covered: int
    excused: int

    @property
    def share(self) -> float:
        """Of those that count, 0 to 1."""
        return self.covered / self.counted if self.counted else 0.0

    @property
    def share_of_all(self) -> float:
        """Of all, with those that are excused counted as not covered."""
        return self.covered / (self.counted + self.excused) if self.counted else 0.0

    def __str__(self) -> str:
        return (
            f"{self.covered} of {self.counted} paths are covered: {self.share:.1%}; "
            f"{self.share_of_all:.1%} with the {self.excused} excused ones counted as not covered"
        )


def sum_up(results: Iterable[Result]) -> Figures:
    """The figure of a run."""
    rows = list(results)
    counted = [row for row in rows if not row.excused]
    return Figures(len(counted), sum(row.covered for row in counted), len(rows) - len(counted))


def find_gaps(results: Iterable[Result]) -> list[Result]:
    """The paths that count and are not covered."""
    return [row for row in results if not row.excused and not row.covered]


def table_rows(results: Sequence[Result]) -> Iterator[tuple[str, ...]]:
    """For each kind, and for all: paths, how many are excused, the share with each signal, and the share covered."""
    for kind in (*KINDS, "all"):
        rows = [row for row in results if kind in (row.path.kind, "all")]
        counted = [row for row in rows if not row.excused]
        if counted:
            shares = (_format_share([name in row.seen for row in counted if name in row.owed]) for name in SIGNALS)
            covered = _format_share([row.covered for row in counted])
            yield kind, str(len(rows)), str(len(rows) - len(counted)), *shares, covered


def _format_share(held: Sequence[bool]) -> str:
    return f"{sum(held) / len(held):.1%}" if held else "-"


def as_text(results: Sequence[Result]) -> str:
    """A table by kind and signal, the gaps by name, and the figure."""
    line = "{:<12}{:>7}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}".format
    lines = [line("kind", "paths", "excused", *SIGNALS, "covered"), *(line(*row) for row in table_rows(results))]
    return "\n".join([*lines, *map(_format_gap, find_gaps(results)), str(sum_up(results))])


def _format_gap(row: Result) -> str:
    return f"gap: {row.path}: {row.fault or 'no ' + ', '.join(row.missing)}  {row.trace_id}".rstrip()


def as_json(results: Sequence[Result], about: Mapping[str, object]) -> str:
    """Every path with what it owes and what was seen of it, a line each."""
    rows = (
        json.dumps(
            {"path": str(row.path), "owed": " ".join(row.owed), "seen": " ".join(n for n in SIGNALS if n in row.seen)}
            | {name: value for name, value in (("fault", row.fault), ("excused", row.excused)) if value}
        )
        for row in results
    )
    return f'{{\n"about": {json.dumps(about)},\n"paths": [\n' + ",\n".join(rows) + "\n]\n}\n"


def read_report(file: File) -> list[Result]:
    """A run that was kept as JSON."""
    return [
        Result(
            Path(*row["path"].split(" / ")),
            tuple(row["owed"].split()),
            set(row["seen"].split()),
            fault=row.get("fault", ""),
            excused=row.get("excused", ""),
        )
        for row in json.loads(file.read_text(encoding="utf-8"))["paths"]
    ]


# --- the page --------------------------------------------------------------------------------

PAGE = """# Coverage of the critical paths

<!-- Written by `sql-synthesizer coverage --docs docs`; do not edit. -->

Whatever a caller, a job, a program or an operator can do, and however it ends, has to be found afterwards: in a metric,
in a span, in a line of the log and in the audit record, under one trace id. `sql-synthesizer coverage` drives each such
path for real on private instances of the service, and looks for what it left.

**{figures}.**

The paths are derived from the service itself: every place where a question comes in by every stage and every error that
the rooms of the stage raise; every route by what its audience and its form allow; every event, operation and level with
the values of its labels; every change of a job; every command of the command line. A new error, route or event is a
gap until it is driven. Which signals a path owes, and why it owes no others, is said in one place,
`sql_synthesizer_proof/coverage/owed.py`. A path that nobody can go leaves the figure by a line with a reason in
`excused.yml` beside it. The tests drive the same tenth of the paths each time, and fail on any gap.

{paths}
Gaps: {gaps}.
"""
REMOVED = """
## Instruments removed

A figure that nothing can lower says nothing. `sql-synthesizer coverage --mutate` takes away every call that reports
something, every listener and every feed of a metric, one at a time, and drives the paths again that it concerns:
{removed} instruments, of which {found} are found gone.

{table}"""


def format_page(results: Sequence[Result], removed: Sequence[tuple[str, str]]) -> str:
    """The page of the documents about a run, and about a run without each instrument."""
    gaps = ", ".join(f"`{row.path}`" for row in find_gaps(results)) or "none"
    rows = [(f"`{name}`", f"`{path}`" if path else "**nothing**") for name, path in removed]
    paths = format_table(["kind", "paths", "excused", *SIGNALS, "covered"], list(table_rows(results)))
    page = PAGE.format(figures=sum_up(results), paths=paths, gaps=gaps)
    found, table = sum(bool(path) for _, path in removed), format_table(["without", "is told by"], rows)
    return page + REMOVED.format(removed=len(removed), found=found, table=table) if removed else page
