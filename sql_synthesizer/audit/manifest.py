"""The manifest: which keys, writers and segments there are, in a chain of its own that every process appends to."""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.keyring import Key
from sql_synthesizer.audit.record import rfc3339

NAME = "manifest.chain"
SUFFIX = ".jsonl"
"""What the name of every segment ends with."""
TAIL_BYTES = 4096
"""No entry is longer."""


@dataclass(slots=True)
class Writer:
    """What the manifest says of one writer: its segments in order, those removed by retention, and its end.

    ``erased`` are the numbers of records whose text was erased.
    """

    segments: list[chain.Line] = field(default_factory=list)
    retired: dict[int, chain.Line] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    ended: chain.Line | None = None


class Manifest:
    """Appends entries under a lock that all processes of the directory share; an entry is durable when it returns.

    Kinds of entries: ``key`` (a key that may seal from now on), ``segment`` (a file of a writer, and the record it
    follows), ``ended`` (a writer, and its last record), ``retired`` (a segment that retention removed), ``erased``
    (records whose text was erased), ``adopted`` (a file that was there before the manifest).
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    @contextmanager
    def locked(self, key: Key) -> Iterator[Appender]:
        """The right to append while the block runs; starts the manifest where there is none. Raises OSError."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            appender = Appender(descriptor, key)
            if appender.number == 0:
                appender.add("key", new=key.id)
                for path in sorted(self.path.parent.glob(f"*{SUFFIX}")):
                    if path.stat().st_size:
                        appender.add("adopted", file=path.name, hash=file_hash(path, key))
            yield appender
        finally:
            os.close(descriptor)

    def tail(self) -> tuple[int, str]:
        """Number and MAC of the last entry; (0, "") when there is none. Raises OSError."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return 0, ""
        try:
            last, _ = _last(descriptor)
        finally:
            os.close(descriptor)
        return (last.fields["number"], last.fields["mac"]) if last else (0, "")

    def lines(self) -> list[bytes]:
        """The whole lines; what a crash left unfinished at the end is no entry. Raises OSError."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return []
        return text[: text.rfind(b"\n") + 1].splitlines(keepends=True)


class Appender:
    """The manifest while it is locked."""

    def __init__(self, descriptor: int, key: Key) -> None:
        self._descriptor = descriptor
        self._key = key
        last, end = _last(descriptor)
        os.ftruncate(descriptor, end)
        self._size = end
        self.number = last.fields["number"] if last else 0
        self._mac = last.mac if last else chain.ORIGIN

    def add(self, kind: str, **fields: Any) -> bytes:
        """Appends one entry and returns its MAC. Raises OSError; then nothing of it stays."""
        entry = {
            "number": self.number + 1,
            "time": rfc3339(time.time_ns()),
            "kind": kind,
            **fields,
            "key": self._key.id,
        }
        text, own = chain.seal(self._mac, orjson.dumps(entry), self._key.chain)
        try:
            written = os.write(self._descriptor, text)
            os.fsync(self._descriptor)
            if written != len(text):
                raise OSError(28, os.strerror(28))
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self.number, self._mac, self._size = self.number + 1, own, self._size + len(text)
        return own


def parsed(lines: list[bytes]) -> list[chain.Line]:
    """The entries that can be read, whether they are sound or not."""
    return [entry for line in lines if (entry := chain.parse(line)) is not None]


def writers(entries: list[chain.Line]) -> dict[str, Writer]:
    """Writer -> what the entries say of it, in the order they started."""
    found: dict[str, Writer] = {}
    for entry in entries:
        kind, name = entry.fields["kind"], entry.fields.get("writer", "")
        if kind == "segment":
            found.setdefault(name, Writer()).segments.append(entry)
        elif kind == "retired" and name in found:
            found[name].retired[entry.fields["segment"]] = entry
        elif kind == "erased" and name in found:
            found[name].erased.update(entry.fields["records"])
        elif kind == "ended" and name in found:
            found[name].ended = entry
    return found


def segment_name(writer: str, number: int) -> str:
    """The file of a writer's segment."""
    return f"{writer}-{number:06d}{SUFFIX}"


def file_hash(path: Path, key: Key) -> str:
    """Keyed hash of a whole file. Raises OSError."""
    digest = hashlib.blake2b(key=key.chain, digest_size=chain.MAC_BYTES)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _last(descriptor: int) -> tuple[chain.Line | None, int]:
    """The last whole entry, and where it ends."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    end = tail.rfind(b"\n") + 1
    begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
    return (chain.parse(tail[begin:end]) if end else None), start + end
