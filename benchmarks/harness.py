"""Side-by-side measurements: arms in turns, paired ratios, and instruction counts that no neighbour disturbs.

CPU time is that of the whole process, so a background thread is charged to the arm that feeds it. The order of
the arms rotates each round, and each ratio compares two arms of the same round.
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

Arm = Callable[[int], None]
"""Does the work so many times."""


@dataclass(frozen=True)
class Row:
    """One arm: the median of its rounds with quartiles, and its ratio to the base (median of paired ratios)."""

    arm: str
    median: float
    low: float
    high: float
    ratio: float | None = None
    ratio_low: float | None = None
    ratio_high: float | None = None


def turns(arms: Sequence[str], rounds: int) -> Iterator[str]:
    """The arms of every round, each round starting with another one."""
    for number in range(rounds):
        start = number % len(arms)
        yield from (*arms[start:], *arms[:start])


def cpu_microseconds(arms: Mapping[str, Arm], n: int, rounds: int) -> dict[str, list[float]]:
    """CPU microseconds of one call in every round, after a warm-up."""
    for arm in arms.values():
        arm(max(1, n // 5))
    found: dict[str, list[float]] = {name: [] for name in arms}
    for name in turns(list(arms), rounds):
        gc.collect()
        start = time.process_time_ns()
        arms[name](n)
        found[name].append((time.process_time_ns() - start) / n / 1000)
    return found


def lazily(factory: Callable[[], Arm]) -> Arm:
    """An arm that is built when it is first called."""
    built = cache(factory)

    def work(n: int) -> None:
        built()(n)

    return work


def apart(module: str, arms: Sequence[str], n: int, rounds: int) -> dict[str, list[float]]:
    """As ``cpu_microseconds``, with each arm of ``module.arms()`` in a process of its own, strictly in turns."""
    context = multiprocessing.get_context("spawn")
    ends = {}
    for arm in arms:
        ends[arm], far = context.Pipe()
        context.Process(target=_serve, args=(module, arm, far), daemon=True).start()
        far.close()  # so that a child's death ends the wait for its answer
        ends[arm].send(max(50, n // 2))
        ends[arm].recv()
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for arm in turns(arms, rounds):
        ends[arm].send(n)
        found[arm].append(ends[arm].recv() / n / 1000)
    for end in ends.values():
        end.close()
    return found


def _serve(module: str, arm: str, end: Connection) -> None:
    """The other side of ``apart``; log lines go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    work = importlib.import_module(module).arms()[arm]
    with suppress(EOFError):
        while True:
            n = end.recv()
            gc.collect()
            start = time.process_time_ns()
            work(n)
            end.send(time.process_time_ns() - start)


def rows(found: Mapping[str, Sequence[float]], base: str | None = None) -> list[Row]:
    """The summary of every arm."""
    table = []
    for name, values in found.items():
        ratios = [a / b for a, b in zip(values, found[base], strict=True)] if base else []
        table.append(Row(name, *_quartiles(values), *(_quartiles(ratios) if ratios else ())))
    return table


def markdown(title: str, unit: str, table: Sequence[Row], base: str | None = None) -> str:
    """The summary as a table for people."""
    lines = [f"### {title}", "", f"| arm | {unit} | quartiles | ratio to {base or '-'} | quartiles |"]
    lines.append("|---|---:|---:|---:|---:|")
    for row in table:
        ratio = "| - | - |" if row.ratio is None else f"| {row.ratio:.2f} | {row.ratio_low:.2f}-{row.ratio_high:.2f} |"
        lines.append(f"| {row.arm} | {row.median:.4g} | {row.low:.4g}-{row.high:.4g} {ratio}")
    return "\n".join(lines) + "\n"


def publish(title: str, unit: str, table: Sequence[Row], base: str | None = None, path: Path | None = None) -> None:
    """Prints the table; with ``path`` also appends it there as a line of JSON."""
    print(markdown(title, unit, table, base), flush=True)
    if path is not None:
        result = {"title": title, "unit": unit, "base": base, "rows": [asdict(row) for row in table]}
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(result) + "\n")


def instructions(module: str, arm: str, n: int) -> float | None:
    """Instructions of one call: cachegrind over n and 3n calls, divided difference. None without valgrind.

    ``module`` has a function ``arms()`` that returns the arms by name.
    """
    if shutil.which("valgrind") is None:
        return None
    return (_counted(module, arm, 3 * n) - _counted(module, arm, n)) / (2 * n)


def _counted(module: str, arm: str, n: int) -> int:
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, "-m", "benchmarks.harness", module, arm, str(n)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONHASHSEED": "0"}
    )
    counted = re.search(r"I\s+refs:\s+([\d,]+)", done.stderr)
    if done.returncode or counted is None:
        raise RuntimeError(done.stderr[-2000:])
    return int(counted[1].replace(",", ""))


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return median, low, high


def _run(module: str, arm: str, n: int) -> None:
    """What runs under valgrind."""
    work = importlib.import_module(module).arms()[arm]
    work(min(200, n))
    gc.collect()
    gc.disable()
    work(n)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    _run(sys.argv[1], sys.argv[2], int(sys.argv[3]))
