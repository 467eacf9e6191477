"""The manifest: which keys, writers and segments there are, in a chain of its own that every process appends to."""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.chain import Position
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.lines import list_segments, open_regular, read_lines, read_tail
from sql_synthesizer.audit.record import format_rfc3339
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import hold_lock

NAME = "manifest.chain"
TAIL_BYTES = 4096
"""No entry is longer."""
LOCK_WAIT = 5.0
"""Seconds to wait for the lock: a process that has it for longer was stopped."""

Kind = Literal["key", "segment", "ended", "retired", "erased", "adopted"]
_FIELDS: dict[str, dict[str, type]] = {
    "key": {"new": str},
    "segment": {"writer": str, "segment": int, "after": int, "follows": bytes, "seal": str},
    "ended": {"writer": str, "sequence": int, "last": bytes},
    "retired": {"writer": str, "segment": int, "sequence": int, "last": bytes},
    "erased": {"writer": str, "records": list},
    "adopted": {"file": str, "hash": str},
}
"""Kind of entry -> its fields beside number, kind and key; bytes are MACs, lists are of numbers."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, sealed with ``key``; fields that its kind does not have are empty.

    Kinds: another key that seals from now on; a segment, and the record it follows; the last record of a writer that
    ended, or of a segment that retention removed; records whose text was erased; a file from before the manifest.
    """

    line: chain.ChainLine
    number: int
    kind: str
    key: str
    new: str = ""
    writer: str = ""
    segment: int = 0
    after: int = 0
    follows: bytes = b""
    seal: str = ""
    sequence: int = 0
    last: bytes = b""
    records: Sequence[int] = ()
    file: str = ""
    hash: str = ""

    @property
    def next_key(self) -> str:
        """The id of the key that seals after this entry."""
        return self.new or self.key

    @property
    def preceding(self) -> Position:
        """The record that a segment follows; before a writer's first its entry stands for one."""
        # So the chain of a writer hangs on its entry: the segments of one cannot be put in the place of another's.
        return Position(self.after, self.follows if self.segment else self.line.mac)

    @property
    def end(self) -> Position:
        """The last record of what has ended."""
        return Position(self.sequence, self.last)


@dataclass(slots=True)
class Writer:
    """What the manifest says of one writer: its segments in order, those that retention removed, and its end.

    ``erased`` are the numbers of records whose text was erased.
    """

    segments: list[Entry] = field(default_factory=list)
    retired: dict[int, Entry] = field(default_factory=dict)
    erased: set[int] = field(default_factory=set)
    ended: Entry | None = None


class Manifest:
    """The file of the entries; each is durable when ``Appender.add`` returns."""

    # A chain has one end, so processes append in turn, under a lock: two at once would follow the same entry. It is
    # never compacted: checkpoints that left the machine name entries by number and MAC, and if entries could be taken
    # out to save space, so could those of a writer whose files somebody removed.

    def __init__(self, directory: Path) -> None:
        self.path = directory / NAME

    @contextmanager
    def locked(self, keyring: Keyring) -> Iterator[Appender]:
        """The right to append with the newest key while the block runs; starts the manifest where there is none.

        Raises OSError; TimeoutError when another process has the lock for longer than ``LOCK_WAIT``.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        with os.fdopen(descriptor, "rb"), hold_lock(descriptor, "the manifest of the audit record", wait=LOCK_WAIT):
            with suppress(ConfigurationError):  # the keys that were read before are as good as they were
                keyring.reload()
            appender = Appender(descriptor, keyring.current)
            if appender.number == 0:
                self._write_first_entries(appender, keyring.current)
            elif appender.newest != keyring.current.id:
                appender.introduce(_find_key(keyring, appender.newest), keyring.current)
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
            _find_key(keyring, last.next_key)

    def last(self) -> Entry | None:
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
                return [text for _, text, fault in read_lines(file) if fault != "torn"]
        except FileNotFoundError:
            return []


class Appender:
    """The manifest while it is locked."""

    def __init__(self, descriptor: int, key: Key) -> None:
        self._descriptor = descriptor
        self._key = key
        last, end = _read_last_entry(descriptor)
        os.ftruncate(descriptor, end)
        self._size = end
        self.number = last.number if last else 0
        self.newest = last.next_key if last else ""
        self._mac = last.line.mac if last else chain.ORIGIN

    def introduce(self, before: Key, key: Key) -> None:
        """Says, sealed with the key before, that another seals from now on. Raises OSError."""
        self._key = before
        self.add("key", new=key.id)
        self._key = key

    def add(self, kind: Kind, **fields: object) -> bytes:
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


def _find_key(keyring: Keyring, key_id: str) -> Key:
    key = keyring.get(key_id)
    if key is None:
        raise OSError(errno.ENOKEY, "the audit key is not the one that the record is sealed with; put it back")
    return key


def parse_entry(text: bytes) -> Entry | None:
    """The entry of a line, whether its MAC is right or not; None when it has not the fields of its kind."""
    line = chain.parse_line(text)
    if line is None or line.text or line.erased:
        return None
    types = {"number": int, "kind": str, "key": str, **_FIELDS.get(str(line.fields.get("kind")), {})}
    try:
        return Entry(line, **{name: _parse_value(line.fields.get(name), type_) for name, type_ in types.items()})
    except (TypeError, ValueError):
        return None


def _parse_value(value: Any, type_: type) -> Any:
    """A field's value as its entry has it. Raises TypeError, ValueError."""
    if type_ is bytes:
        return bytes.fromhex(value)
    if type_ is list:
        return [_parse_value(item, int) for item in value]
    if not isinstance(value, type_):
        raise TypeError(value)
    return value


def parse_entries(lines: Iterable[bytes]) -> list[Entry]:
    """The entries among lines, whether they are sound or not."""
    return [entry for line in lines if (entry := parse_entry(line)) is not None]


def collect_writers(entries: Iterable[Entry]) -> dict[str, Writer]:
    """Writer -> what the entries say of it, in the order they started."""
    found: dict[str, Writer] = {}
    for entry in entries:
        if entry.kind == "segment":
            writer = found.setdefault(entry.writer, Writer())
            writer.segments.append(entry)
            writer.ended = None  # it was taken for dead between two segments
        elif entry.writer in found:
            writer = found[entry.writer]
            writer.erased.update(entry.records)
            if entry.kind == "retired":
                writer.retired[entry.segment] = entry
            elif entry.kind == "ended":
                writer.ended = entry
    return found


def file_hash(path: Path, key: Key) -> str:
    """Keyed hash of a whole file. Raises OSError."""
    digest = hashlib.blake2b(key=key.chain, digest_size=chain.MAC_BYTES)
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _read_last_entry(descriptor: int) -> tuple[Entry | None, int]:
    """The last whole entry, and where it ends."""
    lines = read_tail(descriptor, TAIL_BYTES)
    if lines and lines[-1][2] == "torn":
        lines.pop()
    if not lines:
        return None, 0
    start, text, fault = lines[-1]
    last = None if fault else parse_entry(text)
    if last is None:
        raise OSError(errno.EBADMSG, "the manifest of the audit record is damaged; verify it")
    return last, start + len(text)
