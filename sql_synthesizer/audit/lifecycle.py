"""What becomes of records later: retention, erasure of texts, and another key."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.chain import Position
from sql_synthesizer.audit.keyring import SECRET_BYTES, Key, Keyring
from sql_synthesizer.audit.lines import open_regular, read_lines, segment_name, segments_by_writer
from sql_synthesizer.audit.manifest import Manifest, Writer, collect_writers, parse_entries
from sql_synthesizer.audit.record import Record, format_rfc3339, is_record
from sql_synthesizer.audit.verdict import VerificationState

DAY = 86_400
SPAN_DAYS = 7
"""Days of records that one run of retention removes at most, so that a mistake is noticed before all are gone."""
NEVER = "~"
"""Later than any time in RFC 3339."""
ERASED_TOGETHER = 100
"""Records that one entry of the manifest names."""


def retention_limit(state: VerificationState, days: float) -> str:
    """The time, in RFC 3339, before which records may go that are kept for ``days``; empty where nobody knows it.

    It goes by the stamp in ``state``, which no jump of the clock carries forward.
    """
    if state.stamp is None:
        return ""
    return format_rfc3339(int((min(state.stamp.believed, time.time()) - days * DAY) * 1e9))


def retire_segments(
    directory: Path, keyring: Keyring, state: VerificationState, limit: str, *, span: float | None = SPAN_DAYS
) -> list[str]:
    """Removes the segments whose records are all older than ``limit``, in RFC 3339; returns their names.

    Only what ``state`` says was verified is removed, from the front of each writer, and it is read once more before.
    Those that begin more than ``span`` days after the oldest one stay for the next run. Where the rest goes on is in
    the manifest. Raises OSError.
    """
    end = _span_end(directory, state, span)
    removed: list[str] = []
    for name, writer in collect_writers(parse_entries(Manifest(directory).lines())).items():
        for number in _verified_segments(name, writer, state):
            path = directory / segment_name(name, number)
            if number not in writer.retired:
                last = None if _first_time(path) >= end else _find_expired_end(path, writer, number, keyring, limit)
                if last is None:
                    break
                with Manifest(directory).locked(keyring) as manifest:
                    manifest.add("retired", writer=name, segment=number, sequence=last.sequence, last=last.mac.hex())
                removed.append(path.name)
            path.unlink(missing_ok=True)
    return removed


def _span_end(directory: Path, state: VerificationState, span: float | None) -> str:
    """The time ``span`` days after the first record of the oldest segment; later than any where there is no span."""
    if span is not None:
        writers = collect_writers(parse_entries(Manifest(directory).lines())).items()
        kept = ((name, n) for name, w in writers for n in _verified_segments(name, w, state) if n not in w.retired)
        oldest = min((_first_time(directory / segment_name(name, number)) for name, number in kept), default=NEVER)
        with suppress(ValueError):
            return format_rfc3339(int((datetime.fromisoformat(oldest).timestamp() + span * DAY) * 1e9))
    return NEVER


def _first_time(path: Path) -> str:
    """The time of a segment's first record."""
    with suppress(OSError, StopIteration), open_regular(path) as file:
        line = chain.parse_line(next(read_lines(file))[1])
        if line is not None and is_record(line.fields):
            return line.fields["time"]
    return NEVER


def _find_expired_end(path: Path, writer: Writer, number: int, keyring: Keyring, limit: str) -> Position | None:
    """Where a segment ends, if it is what was sealed and all of it is older than ``limit``."""
    entry, *later = writer.segments[number:]
    key, position = keyring.get(entry.seal), entry.preceding
    end = later[0].preceding if later else writer.ended and writer.ended.end
    if key is None or end is None:
        return None
    try:
        with open_regular(path) as file:
            for _, text, _ in read_lines(file):
                if position.sequence >= end.sequence:
                    break  # what a write that failed left behind comes again in the next segment
                line = chain.parse_line(text)
                if line is None or not line.continues(position.mac, key.chain):
                    return None
                if not is_record(line.fields) or line.fields["time"] >= limit:
                    return None
                position = Position(position.sequence + 1, line.mac)
    except OSError:
        return None
    return position if position == end else None


def erase_texts(directory: Path, keyring: Keyring, matches: Callable[[Record], bool]) -> int:
    """Takes the questions' texts out of the records for which ``matches`` is true; returns how many.

    The records stay, with a hash that no longer says anything, and so does the chain. Which texts were erased is in
    the manifest before it is done. Raises OSError.
    """
    count = 0
    for writer, paths in segments_by_writer(directory).items():
        for path in paths:
            with suppress(FileNotFoundError), open_regular(path, write=True) as file:
                if not (found := list(_find_texts(file, matches))):
                    continue
                with Manifest(directory).locked(keyring) as manifest:
                    for first in range(0, len(found), ERASED_TOGETHER):
                        records = [sequence for _, _, sequence in found[first : first + ERASED_TOGETHER]]
                        manifest.add("erased", writer=writer, records=records)
                for start, text, _ in found:
                    os.pwrite(file.fileno(), chain.erase_line_text(text), start)
                os.fsync(file.fileno())
                count += len(found)
    return count


def _find_texts(file: BinaryIO, matches: Callable[[Record], bool]) -> Iterator[tuple[int, bytes, int]]:
    """Of the records that match and still have a text: where each line begins, the line, and the record's number."""
    for start, text, _ in read_lines(file):
        line = chain.parse_line(text)
        if line is not None and line.text is not None and is_record(line.fields) and matches(line.fields):
            yield start, text, line.fields["sequence"]


def rotate_key(directory: Path, keyring: Keyring) -> Key:
    """Makes another key; running services take it up within seconds. Old keys stay for verifying. Raises OSError."""
    key = keyring.add(os.urandom(SECRET_BYTES))
    with Manifest(directory).locked(keyring):  # which adds a key that is new to the manifest
        return key


def _verified_segments(name: str, writer: Writer, state: VerificationState) -> range:
    """The numbers of the segments that were read to their end and found sound, and that are not written any more."""
    if name in state.places:
        return range(min(state.places[name].segment, len(writer.segments) - 1))
    done = writer.ended is not None and writer.ended.number <= state.manifest
    return range(len(writer.segments) if done else 0)
