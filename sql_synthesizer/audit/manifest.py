"""The manifest: which keys, writers and segments there are, in a chain of its own that every process appends to."""

from __future__ import annotations

import errno
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
from sql_synthesizer.audit.files import SUFFIX, list_segments, open_regular
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.record import format_rfc3339
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import hold_lock

NAME = "manifest.chain"
TAIL_BYTES = 4096
"""No entry is longer."""
LOCK_WAIT = 5.0
"""Seconds that the lock is waited for: whoever has it for longer was stopped."""


_FIELDS: dict[str, dict[str, type]] = {
    "key": {"new": str},
    "segment": {"writer": str, "segment": int, "after": int, "follows": str, "seal": str},
    "ended": {"writer": str, "sequence": int, "last": str},
    "retired": {"writer": str, "segment": int, "sequence": int, "last": str},
    "erased": {"writer": str, "records": list},
    "adopted": {"file": str, "hash": str},
}
"""Kind of entry -> its fields beside number, time, kind and key."""


@dataclass(slots=True)
class Writer:
    """What the manifest says of one writer: its segments in order, those removed by retention, and its end.

    ``erased`` are the numbers of records whose text was erased.
    """

    segments: list[chain.ChainLine] = field(default_factory=list)
    retired: dict[int, chain.ChainLine] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    ended: chain.ChainLine | None = None


class Manifest:
    """Appends entries under a lock that all processes of the directory share; an entry is durable when it returns.

    Kinds of entries: ``key`` (a key that may seal from now on), ``segment`` (a file of a writer, and the record it
    follows), ``ended`` (a writer, and its last record), ``retired`` (a segment that retention removed), ``erased``
    (records whose text was erased), ``adopted`` (a file that was there before the manifest).
    """

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    @contextmanager
    def locked(self, keyring: Keyring) -> Iterator[Appender]:
        """The right to append with the newest key while the block runs; starts the manifest where there is none.

        Raises OSError, also when another process keeps the lock.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        with os.fdopen(descriptor, "rb"), hold_lock(descriptor, "the manifest of the audit record", wait=LOCK_WAIT):
            with suppress(ConfigurationError):  # the keys that are held are as good as they were
                keyring.reload()
            appender = Appender(descriptor, keyring.current)
            if appender.number == 0:
                self._write_first_entries(appender, keyring.current)
            elif appender.newest != keyring.current.id:
                appender.introduce(_held(keyring, appender.newest), keyring.current)
            yield appender

    def _write_first_entries(self, appender: Appender, key: Key) -> None:
        """The first entries: the key, and the files that were there before there was a chain."""
        appender.add("key", new=key.id)
        for path in list_segments(self.path.parent):
            with open_regular(path) as file:
                first = file.readline(TAIL_BYTES * 16)
            if first and b'"mac"' not in first:
                appender.add("adopted", file=path.name, hash=file_hash(path, key))

    def check_key(self, keyring: Keyring) -> None:
        """Raises OSError when the key file does not have the key that seals the record."""
        last = self.last()
        if last is not None:
            _held(keyring, _newest_key_id(last))

    def tail(self) -> tuple[int, str]:
        """Number and MAC of the last entry; (0, "") when there is none. Raises OSError."""
        last = self.last()
        return (last.fields["number"], last.fields["mac"]) if last else (0, "")

    def last(self) -> chain.ChainLine | None:
        """The last entry; None when there is none. Raises OSError."""
        try:
            with open_regular(self.path) as file:
                return _read_last_entry(file.fileno())[0]
        except FileNotFoundError:
            return None

    def lines(self) -> list[bytes]:
        """The whole lines; what a crash left unfinished at the end is no entry. Raises OSError."""
        try:
            with open_regular(self.path) as file:
                text = file.read()
        except FileNotFoundError:
            return []
        return text[: text.rfind(b"\n") + 1].splitlines(keepends=True)


class Appender:
    """The manifest while it is locked."""

    def __init__(self, descriptor: int, key: Key) -> None:
        self._descriptor = descriptor
        self._key = key
        last, end = _read_last_entry(descriptor)
        os.ftruncate(descriptor, end)
        self._size = end
        self.number = last.fields["number"] if last else 0
        self.newest = _newest_key_id(last) if last else ""
        self._mac = last.mac if last else chain.ORIGIN

    def introduce(self, before: Key, key: Key) -> None:
        """Says, sealed with the key before, that another seals from now on. Raises OSError."""
        self._key = before
        self.add("key", new=key.id)
        self._key = key

    def add(self, kind: str, **fields: Any) -> bytes:
        """Appends one entry and returns its MAC. Raises OSError; then nothing of it stays."""
        entry = {
            "number": self.number + 1,
            "time": format_rfc3339(time.time_ns()),
            "kind": kind,
            **fields,
            "key": self._key.id,
        }
        text, own = chain.seal_line(self._mac, orjson.dumps(entry), self._key.chain)
        try:
            written = os.write(self._descriptor, text)
            os.fsync(self._descriptor)
            if written != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self.number, self._mac, self._size = self.number + 1, own, self._size + len(text)
        return own


def _newest_key_id(last: chain.ChainLine) -> str:
    """The key that seals after an entry."""
    return str(last.fields["new" if last.fields["kind"] == "key" else "key"])


def _held(keyring: Keyring, key_id: str) -> Key:
    key = keyring.get(key_id)
    if key is None:
        raise OSError(errno.ENOKEY, "the audit key is not the one that the record is sealed with; put it back")
    return key


def parse_entries(lines: list[bytes]) -> list[chain.ChainLine]:
    """The entries that can be read, whether they are sound or not."""
    return [entry for line in lines if (entry := chain.parse_line(line)) is not None and is_entry(entry)]


def is_entry(entry: chain.ChainLine) -> bool:
    """Whether a line has the fields of its kind of entry, each of its type."""
    wanted = {"number": int, "kind": str, "key": str, **_FIELDS.get(str(entry.fields.get("kind")), {})}
    return "text" not in entry.fields and all(
        isinstance(entry.fields.get(name), type_) for name, type_ in wanted.items()
    )


def collect_writers(entries: list[chain.ChainLine]) -> dict[str, Writer]:
    """Writer -> what the entries say of it, in the order they started."""
    found: dict[str, Writer] = {}
    for entry in entries:
        kind, name = entry.fields["kind"], entry.fields.get("writer", "")
        if kind == "segment":
            writer = found.setdefault(name, Writer())
            writer.segments.append(entry)
            writer.ended = None  # it was taken for dead between two segments
        elif kind == "retired" and name in found:
            found[name].retired[entry.fields["segment"]] = entry
        elif kind == "erased" and name in found:
            found[name].erased.update(entry.fields["records"])
        elif kind == "ended" and name in found:
            found[name].ended = entry
    return found


def preceding_position(entry: chain.ChainLine) -> tuple[int, bytes]:
    """Number and MAC of the record that a segment follows; before a writer's first its entry stands for one."""
    follows = entry.fields["follows"]
    return entry.fields["after"], bytes.fromhex(follows) if entry.fields["segment"] else entry.mac


def segment_name(writer: str, number: int) -> str:
    """The file of a writer's segment."""
    return f"{writer}-{number:06d}{SUFFIX}"


def file_hash(path: Path, key: Key) -> str:
    """Keyed hash of a whole file. Raises OSError."""
    digest = hashlib.blake2b(key=key.chain, digest_size=chain.MAC_BYTES)
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_last_entry(descriptor: int) -> tuple[chain.ChainLine | None, int]:
    """The last whole entry, and where it ends."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    end = tail.rfind(b"\n") + 1
    begin = tail.rfind(b"\n", 0, max(0, end - 1)) + 1
    last = chain.parse_line(tail[begin:end]) if end else None
    if end and (last is None or not is_entry(last)):
        raise OSError(errno.EBADMSG, "the manifest of the audit record is damaged; verify it")
    return last, start + end
