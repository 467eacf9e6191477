"""The directory of metric files that the processes of a service share; the part that the supervisor imports."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sql_synthesizer.files import hold_lock

PATTERNS = ("*.db", "exemplars_*", "*.part", "*.merged", "*.damaged", "ended_*", "writer_*", "killed_*")
"""Files of a run."""
LOCK_WAIT = 5.0
"""Seconds to wait for the lock before giving up."""


def prepare_directory(place: Path) -> None:
    """Creates the directory, or removes the files of an earlier run; called before any process uses it."""
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with lock_directory(place):
        for pattern in PATTERNS:
            for file in place.glob(pattern):
                file.unlink(missing_ok=True)


@contextmanager
def lock_directory(place: Path) -> Iterator[None]:
    """Holds the directory's lock. Raises TimeoutError when another process holds it for more than ``LOCK_WAIT``."""
    with (place / "lock").open("ab") as file, hold_lock(file, str(place), wait=LOCK_WAIT):
        yield
