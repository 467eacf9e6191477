"""Keeping the record: retention, erasure of texts, and another key."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.keyring import SECRET_BYTES, Key, Keyring, derive
from sql_synthesizer.audit.manifest import SUFFIX, Manifest, Writer, parsed, segment_name, writers
from sql_synthesizer.audit.reading import LINE_LIMIT
from sql_synthesizer.audit.verdict import State

Record = dict[str, object]
ERASED_TOGETHER = 100
"""Records that one entry of the manifest names."""


def retire(directory: Path, keyring: Keyring, state: State, days: int) -> list[str]:
    """Removes the segments whose records are all older than ``days``; returns their names.

    Only what ``state`` says was verified is removed, from the front of each writer, and the manifest keeps where the
    rest goes on. Raises OSError.
    """
    limit = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="microseconds").replace("+00:00", "Z")
    removed: list[str] = []
    with Manifest(directory).locked(keyring.current) as manifest:
        for name, writer in writers(parsed(Manifest(directory).lines())).items():
            for number in _verified(name, writer, state):
                path = directory / segment_name(name, number)
                if number in writer.retired:
                    continue
                last = _last_record(path)
                if last is None or str(last.fields["time"]) >= limit:
                    break
                about = {"writer": name, "segment": number, "sequence": last.fields["sequence"]}
                manifest.add("retired", **about, last=last.fields["mac"])
                path.unlink()
                removed.append(path.name)
    return removed


def erase(directory: Path, keyring: Keyring, wanted: Callable[[Record], bool]) -> int:
    """Takes the questions' texts out of the records for which ``wanted`` is true; returns how many.

    The records stay, with a hash that no longer tells anything, and so does the chain. Which texts were erased is in
    the manifest before it is done. Raises OSError.
    """
    count = 0
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        with path.open("r+b") as file:
            found = list(_texts(file, wanted))
            if not found:
                continue
            with Manifest(directory).locked(keyring.current) as manifest:
                for start in range(0, len(found), ERASED_TOGETHER):
                    records = [line.fields["sequence"] for _, _, line in found[start : start + ERASED_TOGETHER]]
                    manifest.add("erased", writer=found[0][2].fields["writer"], records=records)
            for position, text, _ in found:
                os.pwrite(file.fileno(), chain.erased(text), position)
            os.fsync(file.fileno())
            count += len(found)
    return count


def _texts(file: BinaryIO, wanted: Callable[[Record], bool]) -> Iterator[tuple[int, bytes, chain.Line]]:
    """Position, line and record of each text that is wanted and still there."""
    position = 0
    while text := file.readline(LINE_LIMIT):
        line = chain.parse(text)
        if line is not None and line.fields.get("text") is not None and wanted(line.fields):
            yield position, text, line
        position += len(text)


def rotate_key(directory: Path, keyring: Keyring) -> Key:
    """Makes another key; running services take it up within seconds. Old keys stay for verifying. Raises OSError."""
    secret = os.urandom(SECRET_BYTES)
    with Manifest(directory).locked(keyring.current) as manifest:
        manifest.add("key", new=derive(secret).id)
        return keyring.add(secret)


def _verified(name: str, writer: Writer, state: State) -> range:
    """The numbers of the segments that were read to their end and found sound, and that are not written any more."""
    if name in state.places:
        return range(min(state.places[name].segment, len(writer.segments) - 1))
    ended = writer.ended
    done = ended is not None and ended.fields["number"] <= state.manifest
    return range(len(writer.segments) if done else 0)


def _last_record(path: Path) -> chain.Line | None:
    """The last record of a segment; None when it has none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LINE_LIMIT))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return None
    return next((line for text in reversed(lines) if (line := chain.parse(text)) is not None), None)
