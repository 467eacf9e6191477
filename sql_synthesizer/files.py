"""Files that several processes use: locks with a deadline, and files that appear whole under their name."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

LOCK_POLL = 0.002
"""Seconds between two attempts to take a lock."""


def take_lock(file: int | IO[Any], name: str, *, shared: bool = False, wait: float = 0.0) -> None:
    """Locks an open file for as long as it stays open: for this process alone, or ``shared`` with other readers.

    Raises TimeoutError, which says who cannot have which lock, when it is not free within ``wait`` seconds.
    """
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                what = f"process {os.getpid()} cannot lock {name}: another process held it for {wait:g} s"
                raise TimeoutError(errno.EAGAIN, what) from None
            time.sleep(LOCK_POLL)
        else:
            return


@contextmanager
def hold_lock(file: int | IO[Any], name: str, *, shared: bool = False, wait: float = 0.0) -> Iterator[None]:
    """Holds the lock of an open file while the block runs, as ``take_lock`` does. Raises TimeoutError."""
    take_lock(file, name, shared=shared, wait=wait)
    try:
        yield
    finally:
        # A child that was forked meanwhile has a copy of the descriptor: closing ours would leave the file locked.
        fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def draft_file(path: Path, *, replace: bool = True, durable: bool = True) -> Iterator[Path]:
    """An empty file for its owner only, which takes the name ``path`` when the block ends without an exception.

    A ``durable`` file and its name survive a crash of the machine. Without ``replace`` an existing file stays, and
    FileExistsError is raised: the first of several processes wins. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".part")
    os.close(descriptor)
    draft = Path(name)
    try:
        yield draft
        if durable:
            sync_path(draft)
        if replace:
            draft.replace(path)
        else:
            os.link(draft, path)
        if durable:
            sync_path(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_file(path: Path, parts: Iterable[bytes], *, replace: bool = True, durable: bool = True) -> None:
    """Writes a whole file, as ``draft_file`` does. Raises FileExistsError, OSError."""
    with draft_file(path, replace=replace, durable=durable) as draft, draft.open("wb") as file:
        file.writelines(parts)


def sync_path(path: Path) -> None:
    """Makes what is in a file, or the names in a directory, durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
