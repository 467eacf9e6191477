"""Keeping the record: retention, erasure of texts, and another key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.files import list_segments, open_regular
from sql_synthesizer.audit.keyring import SECRET_BYTES, Key, Keyring
from sql_synthesizer.audit.manifest import (
    Manifest,
    Writer,
    collect_writers,
    parse_entries,
    preceding_position,
    segment_name,
)
from sql_synthesizer.audit.reading import LINE_LIMIT
from sql_synthesizer.audit.record import format_rfc3339
from sql_synthesizer.audit.segment import Position
from sql_synthesizer.audit.verdict import State

Record = dict[str, object]
ERASED_TOGETHER = 100
"""Records that one entry of the manifest names."""


def retire_segments(directory: Path, keyring: Keyring, state: State, days: int) -> list[str]:
    """Removes the segments whose records are all older than ``days``; returns their names.

    Only what ``state`` says was verified is removed, from the front of each writer, and it is read once more before.
    The manifest keeps where the rest goes on. Raises OSError.
    """
    limit = format_rfc3339(time.time_ns() - days * 86_400_000_000_000)
    removed: list[str] = []
    for name, writer in collect_writers(parse_entries(Manifest(directory).lines())).items():
        for number in _verified_segments(name, writer, state):
            path = directory / segment_name(name, number)
            if number not in writer.retired:
                end = _find_expired_end(path, writer, number, keyring, limit)
                if end is None:
                    break
                with Manifest(directory).locked(keyring) as manifest:
                    about = {"writer": name, "segment": number, "sequence": end.sequence}
                    manifest.add("retired", **about, last=end.mac.hex())
                removed.append(path.name)
            path.unlink(missing_ok=True)
    return removed


def _find_expired_end(path: Path, writer: Writer, number: int, keyring: Keyring, limit: str) -> Position | None:
    """Where a segment ends, if it is what was sealed and all of it is older than ``limit``."""
    entry = writer.segments[number]
    key = keyring.get(entry.fields["seal"])
    place, end = Position(*preceding_position(entry)), _manifest_end(writer, number)
    try:
        with open_regular(path) as file:
            while key and place.sequence < end.sequence and (text := file.readline(LINE_LIMIT)):
                line = chain.parse_line(text)
                if line is None or not line.continues(place.mac, key.chain) or str(line.fields["time"]) >= limit:
                    return None
                place = Position(place.sequence + 1, line.mac)
    except OSError:
        return None
    return place if place == end else None


def _manifest_end(writer: Writer, number: int) -> Position:
    """Where the manifest says that a segment ends; a write that failed may have left more in it, which comes again."""
    if number + 1 < len(writer.segments):
        return Position(*preceding_position(writer.segments[number + 1]))
    if writer.ended is None:
        return Position(0, b"")
    return Position(writer.ended.fields["sequence"], bytes.fromhex(writer.ended.fields["last"]))


def erase_texts(directory: Path, keyring: Keyring, wanted: Callable[[Record], bool]) -> int:
    """Takes the questions' texts out of the records for which ``wanted`` is true; returns how many.

    The records stay, with a hash that no longer tells anything, and so does the chain. Which texts were erased is in
    the manifest before it is done. Raises OSError.
    """
    count = 0
    for path in list_segments(directory):
        with suppress(FileNotFoundError), open_regular(path, write=True) as file:
            found = list(_find_texts(file, wanted))
            if not found:
                continue
            with Manifest(directory).locked(keyring) as manifest:
                for start in range(0, len(found), ERASED_TOGETHER):
                    records = [line.fields["sequence"] for _, _, line in found[start : start + ERASED_TOGETHER]]
                    manifest.add("erased", writer=found[0][2].fields["writer"], records=records)
            for position, text, _ in found:
                os.pwrite(file.fileno(), chain.erase_line_text(text), position)
            os.fsync(file.fileno())
            count += len(found)
    return count


def _find_texts(file: BinaryIO, wanted: Callable[[Record], bool]) -> Iterator[tuple[int, bytes, chain.ChainLine]]:
    """Position, line and record of each text that is wanted and still there."""
    position = 0
    while text := file.readline(LINE_LIMIT):
        line = chain.parse_line(text)
        if line is not None and line.fields.get("text") is not None and wanted(line.fields):
            yield position, text, line
        position += len(text)


def rotate_key(directory: Path, keyring: Keyring) -> Key:
    """Makes another key; running services take it up within seconds. Old keys stay for verifying. Raises OSError."""
    key = keyring.add(os.urandom(SECRET_BYTES))
    with Manifest(directory).locked(keyring):  # which tells the manifest of a key that is new to it
        return key


def _verified_segments(name: str, writer: Writer, state: State) -> range:
    """The numbers of the segments that were read to their end and found sound, and that are not written any more."""
    if name in state.places:
        return range(min(state.places[name].segment, len(writer.segments) - 1))
    ended = writer.ended
    done = ended is not None and ended.fields["number"] <= state.manifest
    return range(len(writer.segments) if done else 0)
