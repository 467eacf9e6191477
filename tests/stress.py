"""Do tests pass while the machine is busy? ``python -m tests.stress NODE... [--times 50]``.

A loop keeps each core busy; each test is run that many times, one process after another. Ends with 1 when one failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import click

from tests.house import ROOT

BUSY = [sys.executable, "-c", "while True: pass"]


@contextmanager
def busy_loop() -> Iterator[None]:
    """A process that leaves no core idle."""
    process = subprocess.Popen(BUSY)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def run_once(node: str) -> str:
    """What a failed test printed; nothing when it passed. A test that was skipped has failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", node]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"CI": "1"}, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ""


@click.command(help=__doc__)
@click.argument("nodes", nargs=-1, required=True)
@click.option("--times", default=50, help="How often each test is run.")
def main(nodes: tuple[str, ...], times: int) -> None:
    failed = False
    with ExitStack() as stack:
        for _ in range(os.cpu_count() or 1):
            stack.enter_context(busy_loop())
        for node in nodes:
            said = [text for text in (run_once(node) for _ in range(times)) if text]
            failed |= bool(said)
            click.echo(f"{times - len(said)} of {times}  {node}")
            click.echo("".join(said[:3]), nl=False)
    sys.exit(failed)


if __name__ == "__main__":
    main()
