"""What the benchmarks said at each commit, a line of JSON each, and where they took a step.

Kept are ratios between arms that ran side by side, the median of several rounds: absolute times are those of a machine.
A step is told by ranks over the last commits (Mann-Whitney), as one outlier moves no rank far.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TypedDict

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring.regression.steps import LEAST_POINTS, find_split

ROOT = Path(__file__).parents[1]
FILE = ROOT / "docs" / "benchmarks.jsonl"
KEPT = ("question",)
"""Benchmarks whose ratios are kept."""
SCORE = 3.5
"""Standard deviations of the ranks from which on a difference is a step."""
LEAST_CHANGE = 0.05
LOOKED_AT = 60
"""Commits that are looked at, the newest."""


class Kept(TypedDict):
    """One commit. ``ratios`` are by benchmark, arm and base."""

    commit: str
    at: str
    ratios: dict[str, float]


@dataclass(frozen=True, slots=True)
class BenchmarkStep:
    """A ratio that is another one since a commit."""

    name: str
    commit: str
    before: float
    after: float
    score: float


def measure(rounds: int) -> Kept:
    """Runs the benchmarks at this commit. Raises ConfigurationError outside of a checkout."""
    if not (ROOT / "benchmarks").is_dir():
        raise ConfigurationError("The benchmarks are not here.", hint="Run this in a checkout of the repository.")
    ratios: dict[str, float] = {}
    for name in KEPT:
        with tempfile.TemporaryDirectory(prefix="bench-") as directory:
            file = Path(directory) / "tables.jsonl"
            command = [sys.executable, "-m", f"benchmarks.{name}", "--rounds", str(rounds), "--json", str(file)]
            subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)  # noqa: S603
            for table in map(json.loads, file.read_text(encoding="utf-8").splitlines()):
                ratios |= _ratios_of(table)
    return {"commit": _commit(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "ratios": ratios}


def keep(kept: Kept, file: Path = FILE) -> None:
    """Appends a line, in the place of an earlier one of the same commit."""
    others = [one for one in read(file) if one["commit"] != kept["commit"]]
    file.write_text("".join(json.dumps(one) + "\n" for one in [*others, kept]), encoding="utf-8")


def read(file: Path = FILE) -> list[Kept]:
    """All commits, oldest first."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def find_steps(history: Sequence[Kept]) -> list[BenchmarkStep]:
    """The ratios that took a step within the newest commits, for the better or the worse."""
    found = []
    for name in sorted({name for kept in history for name in kept["ratios"]}):
        known = [(kept["commit"], kept["ratios"][name]) for kept in history if name in kept["ratios"]][-LOOKED_AT:]
        if len(known) < 2 * LEAST_POINTS:
            continue
        values = [value for _, value in known]
        split, score = find_split(values)
        before, after = median(values[:split]), median(values[split:])
        if score >= SCORE and abs(after - before) >= LEAST_CHANGE * before:
            found.append(BenchmarkStep(name, known[split][0], before, after, score))
    return found


def _ratios_of(table: Mapping[str, object]) -> dict[str, float]:
    rows = table["rows"]
    assert isinstance(rows, list)  # noqa: S101 - for mypy: the harness writes it
    return {
        f"{table['title']}: {row['arm']} / {table['base']}": round(row["ratio"], 4)
        for row in rows
        if row["ratio"] is not None and row["arm"] != table["base"]
    }


def _commit() -> str:
    command = ["git", "rev-parse", "--short=12", "HEAD"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603
