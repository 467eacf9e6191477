"""What judging a statement costs, beside a parse of the same text by sqlglot.

Usage: python -m benchmarks.statement FILE [--rounds N]
FILE holds JSON lines with ``text``, ``kind`` and ``label`` (and ``dialect``); its benign statements are judged over
schemas made up from their own tables. Times are CPU of the process; each is the least of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import sqlglot

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.imagined import imagined_schema
from sql_synthesizer.model import Schema, Statement
from sql_synthesizer.model.dialects import DIALECTS

Case = tuple[str, Schema]


def cases(path: Path) -> list[Case]:
    """The benign statements of a file that the guard lets pass, with the schemas they are judged over."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [(x["text"], x.get("dialect") or "sqlite") for x in lines if (x["kind"], x["label"]) == ("sql", "benign")]
    found = [(text, imagined_schema(text, dialect)) for text, dialect in texts]
    return [case for case in found if _passes(*case)]


def _passes(text: str, schema: Schema) -> bool:
    try:
        StatementGuard().check(Statement(text, "analyst"), schema, max_rows=1000)
    except StatementRefused:
        return False
    return True


def parsed(case: Case) -> object:
    """sqlglot's tree alone."""
    return sqlglot.parse_one(case[0], dialect=DIALECTS[case[1].dialect].sqlglot)


def judged(guard: StatementGuard) -> Callable[[Case], object]:
    """A check of a case by this guard."""
    return lambda case: guard.check(Statement(case[0], "analyst"), case[1], max_rows=1000)


def spent(call: Callable[[Case], object], found: list[Case]) -> list[float]:
    """CPU milliseconds of each case."""
    taken = []
    for case in found:
        started = time.process_time()
        call(case)
        taken.append((time.process_time() - started) * 1000)
    return taken


def main() -> None:
    """Prints median and 95th percentile of each arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = cases(options.file)
    kept = StatementGuard()
    rounds: dict[str, list[list[float]]] = {"sqlglot parse": [], "judged anew": [], "remembered": []}
    for _ in range(options.rounds):
        rounds["sqlglot parse"].append(spent(parsed, found))
        rounds["judged anew"].append(spent(judged(StatementGuard()), found))
        spent(judged(kept), found[:1000])
        rounds["remembered"].append(spent(judged(kept), found[:1000]))
    print(f"{len(found)} statements")
    for name, taken in rounds.items():
        least = sorted(min(times) for times in zip(*taken, strict=True))
        p95 = least[int(0.95 * len(least))]
        print(f"{name:14}  p50 {statistics.median(least):.3f} ms  p95 {p95:.3f} ms  max {least[-1]:.3f} ms")


if __name__ == "__main__":
    main()
