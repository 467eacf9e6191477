"""What a supervisor that was killed has left: its processes end with it, and those that hang by the next start."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

import click
import psutil

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import draft_file

PATIENCE = 5.0
"""Seconds in which processes that are left may end by themselves."""
GONE_WITHIN = 5.0


def note_sessions(path: Path, pids: list[int]) -> None:
    """Writes down which processes a supervisor has started, each the leader of a session. Raises OSError."""
    found = {}
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            found[pid] = psutil.Process(pid).create_time()
    with draft_file(path, durable=False) as draft:
        draft.write_text(json.dumps(found), encoding="ascii")


def end_leftovers(path: Path) -> None:
    """Ends what is left of the sessions that were written down, and forgets them. Raises ConfigurationError."""
    try:
        noted = {int(pid): float(begun) for pid, begun in json.loads(path.read_text(encoding="ascii")).items()}
    except FileNotFoundError:
        return
    except (OSError, ValueError, AttributeError):
        noted = {}
    left = [process for process in psutil.process_iter() if _is_left(process, noted)]
    _, left = psutil.wait_procs(left, PATIENCE if left else 0)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _, alive = psutil.wait_procs(left, GONE_WITHIN if left else 0)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise ConfigurationError(
            f"Processes of an earlier service do not end: {pids}.", hint="End them, then start the service again."
        )
    if left:
        click.echo(f"Ended {len(left)} processes that an earlier service had left.", err=True)
    path.unlink(missing_ok=True)


def _is_left(process: psutil.Process, noted: dict[int, float]) -> bool:
    """Whether it is in one of the sessions, and not in another that has the number since."""
    try:
        leader = os.getsid(process.pid)
        begun = noted.get(leader)
        if begun is None or process.create_time() < begun:
            return False
        return not psutil.pid_exists(leader) or psutil.Process(leader).create_time() == begun
    except (psutil.Error, ProcessLookupError, PermissionError):
        return False
