"""The files of one writer: segments of sealed lines, each durable when ``write`` returns."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.chain import Position
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.lines import segment_name
from sql_synthesizer.audit.manifest import Appender, Manifest
from sql_synthesizer.audit.repair import end_crashed_writers
from sql_synthesizer.files import sync_path, take_lock


class RecordBody(NamedTuple):
    """A record that is not sealed yet, and the text that stands behind its MAC."""

    json: bytes
    text: bytes = b""


class Segments:
    """Appends to ``directory/<writer>-<number>.jsonl``; the next number follows after ``limit`` bytes.

    Every segment is in the manifest, and locked for as long as its writer lives.
    """

    def __init__(self, directory: Path, limit: int, keyring: Keyring) -> None:
        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.writer = f"{started}-{os.getpid()}-{secrets.token_hex(4)}"
        self.directory = directory
        self.position = Position(0, chain.ORIGIN)
        self.manifest = Manifest(directory)
        self._keyring = keyring
        self._key: Key = keyring.current
        self._limit = limit
        self._number = 0
        self._path = directory
        self._descriptor: int | None = None
        self._inode = 0
        self._size = 0

    def write(self, bodies: Sequence[RecordBody]) -> None:
        """Appends sealed records and waits until the device has them.

        Raises OSError; then none of them counts as written, and the next call starts from the last good line.
        """
        descriptor = self._prepare_segment()
        lines: list[bytes] = []
        own = self.position.mac
        for body in bodies:
            text, own = chain.seal_line(own, body.json, self._key.chain, body.text)
            lines.append(text)
        data = b"".join(lines)
        try:
            _write_all(descriptor, data)
        except OSError:
            self._undo_write(descriptor)
            raise
        try:
            os.fdatasync(descriptor)
        except OSError:
            # Linux reports a failed write-back once and may drop the pages: a second sync would prove nothing.
            self._undo_write(descriptor)
            self._close_segment()
            raise
        self._size += len(data)
        self.position = Position(self.position.sequence + len(bodies), own)

    def probe(self) -> None:
        """Writes and removes a small file. Raises OSError, also when the key is not the record's."""
        make_directory(self.directory)
        self.manifest.check_key(self._keyring)
        path = self.directory / f".{self.writer}.probe"
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW, 0o600)
        try:
            _write_all(descriptor, b"\n")
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
            path.unlink()

    def check_place(self) -> None:
        """Raises OSError when what was written is gone, or the key file no longer has the key of the record.

        After a loss the next write begins another segment, which ``verify`` shows to follow what is gone.
        """
        self.manifest.check_key(self._keyring)
        if self._descriptor is not None:
            self._check_segment(self._descriptor)

    def close(self) -> None:
        """Lets go of the files, and says in the manifest where this writer has ended."""
        self._close_segment()
        if self._number:
            with suppress(OSError), self.manifest.locked(self._keyring) as manifest:
                sequence, own = self.position
                manifest.add("ended", writer=self.writer, sequence=sequence, last=own.hex(), how="closed")

    def abandon(self) -> None:
        """Leaves the files to the process that this one was forked from."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _close_segment(self) -> None:
        """Lets go of the current segment; the next write starts another."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            with suppress(OSError):
                os.fsync(descriptor)
            os.close(descriptor)
        self._size = 0

    def _prepare_segment(self) -> int:
        """The current segment, or the next when this one is full or another key is to seal; never neither."""
        if self._descriptor is None:
            return self._open_segment()
        before = self._check_segment(self._descriptor)
        if self._size < self._limit and self._key.id == self._keyring.current.id:
            return before
        descriptor = self._open_segment()
        os.close(before)
        return descriptor

    def _open_segment(self) -> int:
        make_directory(self.directory)
        with self.manifest.locked(self._keyring) as manifest:
            if self._number == 0:
                end_crashed_writers(self.directory, manifest, self._keyring)
            self._key = self._keyring.current
            return self._register_segment(manifest)

    def _register_segment(self, manifest: Appender) -> int:
        path = self.directory / segment_name(self.writer, self._number)
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            take_lock(descriptor, path.name)
            sync_path(self.directory)
            sequence, before = self.position
            about = {"writer": self.writer, "segment": self._number, "after": sequence, "seal": self._key.id}
            own = manifest.add("segment", **about, follows=before.hex())
        except BaseException:  # also a worker that has to exit: the next write takes the same name
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        if self._number == 0:
            self.position = Position(0, own)
        self._number += 1
        self._path, self._descriptor = path, descriptor
        self._inode, self._size = os.fstat(descriptor).st_ino, 0
        return descriptor

    def _check_segment(self, descriptor: int) -> int:
        """``descriptor``, if its file is still the one at its path and ends where the last write ended."""
        with suppress(OSError):
            found = self._path.stat()
            if (found.st_ino, found.st_size) == (self._inode, self._size):
                return descriptor
        self._close_segment()
        raise OSError(errno.ESTALE, "the audit segment was changed by somebody else")

    def _undo_write(self, descriptor: int) -> None:
        """Takes back what a failed write left behind, or leaves the segment when that fails too."""
        try:
            os.ftruncate(descriptor, self._size)
        except OSError:
            self._close_segment()


def make_directory(path: Path) -> None:
    """Makes ``path``, readable by its owner only, where it does not exist yet. Raises OSError."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        sync_path(path.parent)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
