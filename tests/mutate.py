"""Do the tests notice a mistake in a room of the service? ``./run mutate ROOM...``, see ``docs/mutation.md``.

Each mutant is one change of one function, in a copy of the checkout, where the tests of its room run until one fails:
first those that run the changed lines, as was recorded before, the quickest at the head.
Ends with 1 when a mutant survives that ``survivors.yml`` does not list with a reason, or where that list is wrong.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import psutil

from tests.house import ROOT, SERVICE
from tests.mutants import Mutant, choose, mutants
from tests.support.mutation import Score, read_reasons
from tests.support.reach import Reach, order_tests, read_reach

SURVIVORS = ROOT / "tests" / "survivors.yml"
PAGE = ROOT / "docs" / "mutation.md"
EXTRA = 60.0
"""Seconds in which a test must end, beside four times what the slowest takes without a mutant: some never end."""
ENDING = 10.0
"""Seconds in which a test run that was interrupted may end its servers."""
TESTS = {
    "access": "test_access*.py test_statement_access.py properties/test_lockout.py test_jobs_worker.py",
    "audit": "test_audit*.py test_security_audit.py",
    "cache": "test_cache*.py",
    "database": "test_database*.py test_sql_comment.py test_deadline_*.py test_cancellation.py",
    "guard": "test_guard*.py test_statement_access.py test_eval.py properties/test_guard*.py "
    "properties/test_question*.py",
    "monitoring": "test_metrics*.py test_exposition*.py test_health.py test_logs.py test_tracing.py test_catalog.py "
    "test_contract.py test_two_applications.py test_processes.py test_http_server.py "
    "test_trace_*.py test_tail.py",
    "schema": "test_schema*.py test_marks*.py",
    "store": "test_store*.py test_jobs_store.py test_jobs_worker.py",
    "telemetry": "test_telemetry*.py test_metrics*.py test_tracing.py test_logs.py test_contract.py",
    "web": "test_webapp*.py test_refusals.py test_audit_page*.py test_admission.py test_framing.py "
    "test_slow_clients.py test_jobs_api.py test_trace_views.py",
}
"""Room -> the test files that concern it, the quick ones first."""


def find_tests(room: str) -> list[str]:
    """The paths of a room's test files."""
    found = [path for pattern in TESTS[room].split() for path in sorted((ROOT / "tests").glob(pattern))]
    return [str(path.relative_to(ROOT)) for path in found]


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of this checkout as it is now; the checkout itself is never changed, and may be worked on."""
    with TemporaryDirectory(prefix="mutants-") as place:
        ignored = shutil.ignore_patterns(".*", "__pycache__", "dist")
        yield Path(shutil.copytree(ROOT, Path(place) / "tree", ignore=ignored))


def end_run(process: subprocess.Popen[bytes]) -> None:
    """Interrupts a test run, and kills what is left of it and of the servers that it started."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    process.send_signal(signal.SIGINT)
    _, left = psutil.wait_procs(family, timeout=ENDING)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    process.wait()


def run_tests(tree: Path, arguments: list[str], limit: float | None = None) -> bool:
    """Whether all these tests pass, none is skipped, and each ends within ``limit`` seconds after the one before."""
    # What the first run compiles is kept, for it is older than any mutant; a mutant might be as old as the next one.
    keeps = {"PYTHONDONTWRITEBYTECODE": "1"} if limit else {}
    environment = os.environ | {"PYTHONPATH": str(tree), "CI": "1"} | keeps
    with (tree.parent / "log").open("wb") as log:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "tests.support.reach", *arguments]
        process = subprocess.Popen(command, cwd=tree, env=environment, stdout=log, stderr=log)
        said = -1  # bytes of the log, which grows with each test
        try:
            while said < (said := os.fstat(log.fileno()).st_size):
                with suppress(subprocess.TimeoutExpired):
                    return process.wait(limit) == 0
            return False
        finally:
            if process.poll() is None:
                end_run(process)


def record_reach(tree: Path, room: str, files: list[str]) -> dict[str, Reach]:
    """Which lines of the room each test runs; raises ClickException when one fails as things are."""
    path = tree.parent / "reach.json"
    if not run_tests(tree, ["--reach", str(path), "--reach-below", str(tree / SERVICE / room), *files]):
        said = (tree.parent / "log").read_text(encoding="utf-8", errors="replace")
        raise click.ClickException(f"the tests of {room} fail as they are:\n{said}")
    return read_reach(path)


def survives(tree: Path, mutant: Mutant, arguments: list[str], limit: float) -> bool:
    """Whether every test is content with the mutant; prints the verdict."""
    target = tree / SERVICE / mutant.path
    original = target.read_text(encoding="utf-8")
    target.write_text(mutant.source(original), encoding="utf-8")
    started = time.monotonic()
    try:
        lives = run_tests(tree, arguments, limit)
    finally:
        target.write_text(original, encoding="utf-8")
    click.echo(f"{'survived' if lives else 'killed':<9} {time.monotonic() - started:4.0f} s  {mutant.name}")
    if lives:
        click.echo(mutant.diff(original))
    return lives


def try_room(room: str, count: int, seed: int) -> Score:
    """Makes and tries mutants of a room."""
    files = find_tests(room)
    with copied_tree() as tree:
        made = mutants(room, tree)
        reach = record_reach(tree, room, files)
        limit = 4 * max(one.seconds for one in reach.values()) + EXTRA
        click.echo(f"{room}: {count} of {len(made)} mutants, {len(reach)} tests, {limit:.0f} s each at most")
        outcome = {}
        for mutant in choose(made, count, seed):
            first = tree.parent / "first.json"
            first.write_text(json.dumps(order_tests(reach, mutant.path.removeprefix(f"{room}/"), mutant.lines)))
            outcome[room, mutant.name] = survives(tree, mutant, ["--first", str(first), *files], limit)
    reasons = {change: reason for change, reason in read_reasons(SURVIVORS).items() if change[0] == room}
    return Score(outcome, reasons, {(room, one.name) for one in made})


def table_row(room: str, score: Score) -> str:
    """A room's line in the table of ``docs/mutation.md``."""
    told = [f"`{change}`: {score.reasons[name, change]}" for name, change in score.excused]
    told += [f"`{change}`: **no reason**" for _, change in score.survivors]
    return (
        f"| {room} | {len(score.outcome)} | {score.killed} | {'; '.join(told).replace('|', chr(92) + '|') or 'none'} |"
    )


def replace_row(page: str, room: str, row: str) -> str:
    """The page with another line for a room."""
    return re.sub(rf"^\| {room} \|.*$", lambda _: row, page, flags=re.MULTILINE)


@click.command(help=__doc__)
@click.argument("rooms", nargs=-1, required=True, type=click.Choice(list(TESTS)))
@click.option("--mutants", "count", default=20, show_default=True, help="How many mutants of each room.")
@click.option("--seed", default=1, show_default=True, help="Chooses them.")
@click.option("--write", is_flag=True, help="Writes the results into the table of docs/mutation.md.")
def main(rooms: tuple[str, ...], count: int, seed: int, write: bool) -> None:
    scores = {}
    for room in rooms:
        scores[room] = try_room(room, count, seed)
        scores[room].show(SURVIVORS)
        if write:
            row = table_row(room, scores[room])
            PAGE.write_text(replace_row(PAGE.read_text(encoding="utf-8"), room, row), encoding="utf-8")
    sys.exit(any(score.survivors or score.wrong for score in scores.values()))


if __name__ == "__main__":
    main()
