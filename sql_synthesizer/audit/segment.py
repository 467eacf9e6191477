"""The files of one writer: segments of whole lines, each durable when ``write`` returns."""

from __future__ import annotations

import errno
import os
import secrets
import time
from contextlib import suppress
from pathlib import Path

SUFFIX = ".jsonl"


class Segments:
    """Appends to ``directory/<writer>-<number>.jsonl``; the next number follows after ``limit`` bytes."""

    def __init__(self, directory: Path, limit: int) -> None:
        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.writer = f"{started}-{os.getpid()}-{secrets.token_hex(4)}"
        self.directory = directory
        self._limit = limit
        self._number = 0
        self._path = directory
        self._descriptor: int | None = None
        self._inode = 0
        self._size = 0

    def write(self, lines: bytes) -> None:
        """Appends ``lines`` and waits until the device has them.

        Raises OSError; then none of them counts as written, and the next call starts from the last good line.
        """
        if self._size >= self._limit:
            self.close()
        descriptor = self._open() if self._descriptor is None else self._checked(self._descriptor)
        try:
            _write(descriptor, lines)
        except OSError:
            self._repair(descriptor)
            raise
        try:
            os.fdatasync(descriptor)
        except OSError:
            # Linux reports a failed write-back once and may drop the pages: a second sync would prove nothing.
            self._repair(descriptor)
            self.close()
            raise
        self._size += len(lines)

    def probe(self) -> None:
        """Writes and removes a small file. Raises OSError."""
        make_directory(self.directory)
        path = self.directory / f".{self.writer}.probe"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            _write(descriptor, b"\n")
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()

    def close(self) -> None:
        """Lets go of the current segment; the next write starts another."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):
                if self._size == 0 and self._found() == (self._inode, 0):
                    self._path.unlink()
                os.fsync(descriptor)
            os.close(descriptor)
        self._size = 0

    def abandon(self) -> None:
        """Leaves the files to the process that this one was forked from."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> int:
        make_directory(self.directory)
        path = self.directory / f"{self.writer}-{self._number:06d}{SUFFIX}"
        self._number += 1
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        self._path, self._descriptor = path, descriptor
        self._inode, self._size = os.fstat(descriptor).st_ino, 0
        try:
            sync_directory(self.directory)
        except OSError:
            self.close()
            raise
        return descriptor

    def _checked(self, descriptor: int) -> int:
        """``descriptor``, if its file is still the one at its path and ends where the last write ended."""
        if self._found() == (self._inode, self._size):
            return descriptor
        self.close()
        raise OSError(errno.ESTALE, "the audit segment was changed by somebody else")

    def _found(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size

    def _repair(self, descriptor: int) -> None:
        """Takes back what a failed write left behind, or leaves the segment when that fails too."""
        try:
            os.ftruncate(descriptor, self._size)
        except OSError:
            self.close()


def make_directory(path: Path) -> None:
    """Makes ``path``, readable by its owner only, where it does not exist yet. Raises OSError."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
