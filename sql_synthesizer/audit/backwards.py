"""Reading the audit record from its end: the newest records first, without reading all that is older."""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, count, islice
from pathlib import Path
from typing import Any

from sql_synthesizer.audit.files import open_regular
from sql_synthesizer.audit.reading import (
    LINE_LIMIT,
    Record,
    ReportDamage,
    Wanted,
    log_bad_line,
    parse_record,
    segments_by_writer,
    writer_start,
)
from sql_synthesizer.audit.record import format_rfc3339

BLOCK = 1 << 17
"""Bytes that are read at once; most lines have less than 1 % of that."""
PROBE = 1 << 14
"""Bytes in which a whole line is looked for, to find where in a file to begin."""
SKEW = 10_000_000
"""Microseconds by which the records of a writer may stand out of order: what batched mode holds back at most."""
HELD = 5_000
"""Records that are held until nothing newer can come."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class Reach:
    """How many bytes one search may read, and for how many seconds.

    Afterwards ``stopped`` is the moment from which on all was looked at, None when everything was.
    """

    bytes: float = float("inf")
    seconds: float = float("inf")
    stopped: datetime | None = None


def search_records(
    directory: Path, *, limit: int = 100, report: ReportDamage | None = None, **wanted: Any
) -> list[Record]:
    """The newest ``limit`` records that match the fields of ``Wanted`` given by name, oldest first."""
    found = islice(newest_first(directory, Wanted(**wanted), report=report), max(0, limit))
    return list(found)[::-1]


def newest_first(
    directory: Path, wanted: Wanted, *, reach: Reach | None = None, report: ReportDamage | None = None
) -> Iterator[Record]:
    """The wanted records by descending time, read as far as the caller goes on and ``reach`` allows."""
    reach = reach or Reach()
    fits, deadline, number = wanted.make_filter(), time.monotonic() + reach.seconds, count()
    since = None if wanted.since is None else _to_micros(wanted.since) - SKEW
    # Whoever goes on from where a search stopped comes further each time.
    least = _to_micros(wanted.until or datetime.now(UTC)) - SKEW - 1
    held: list[tuple[int, int, Record]] = []
    lowest = _to_micros(datetime.now(UTC)) + SKEW
    for key, record in _merge_streams(directory, wanted, reach, report or log_bad_line):
        lowest = min(lowest, key)
        while held and (-held[0][0] > key + SKEW or len(held) > HELD):
            yield heapq.heappop(held)[2]
        if since is not None and key < since:
            break
        if key < least and (reach.bytes <= 0 or time.monotonic() >= deadline):
            # A later block may hold newer times than an earlier one: what was told already is not told again.
            reach.stopped = _EPOCH + (lowest + SKEW + 1) * _MICROSECOND
            return
        if record is not None and fits(record):
            own = _record_micros(record)
            heapq.heappush(held, (-(key if own is None else own), next(number), record))
    while held:
        yield heapq.heappop(held)[2]


def find_record(directory: Path, writer: str, sequence: int) -> Record | None:
    """The record with this number of this writer."""
    for path in reversed(segments_by_writer(directory).get(writer, [])):
        reach = Reach()
        end = _find_offset(path, reach, lambda record: bool(record["sequence"] > sequence))
        for _, record in _read_backwards(path, end, (), reach, _ignore_fault):
            if record is not None and record["sequence"] <= sequence:
                if record["sequence"] == sequence:
                    return record
                break
    return None


def _merge_streams(
    directory: Path, wanted: Wanted, reach: Reach, report: ReportDamage
) -> Iterator[tuple[int, Record | None]]:
    """Microseconds and a record, or None where a writer was read so far without finding one; newest first."""
    until = None if wanted.until is None else _to_micros(wanted.until) + SKEW
    last = "~" if until is None else format_rfc3339(until * 1000)
    streams = [
        _writer_stream(paths, wanted.needles, until, reach, report)
        for writer, paths in sorted(segments_by_writer(directory).items(), reverse=True)
        if writer_start(writer) < last
    ]
    return heapq.merge(*streams, key=lambda item: item[0], reverse=True)


def _writer_stream(
    paths: list[Path], needles: tuple[bytes, ...], until: int | None, reach: Reach, report: ReportDamage
) -> Iterator[tuple[int, Record | None]]:
    """One writer, opened when the merge has come to its end; a line that a later segment repeats counts once."""
    below: int | None = None
    for path in reversed(paths):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        # Unlike the time of modification, nobody can set that of the last change of a file.
        newest, end, first = status.st_ctime_ns // 1000 + SKEW, status.st_size, below
        yield (newest if until is None else min(newest, until)), None
        if until is not None and newest > until:
            newest, end = until, _find_offset(path, reach, _later_than(until))
        for key, record in _read_backwards(path, end, needles, reach, report):
            if record is not None:
                if below is not None and record["sequence"] >= below:
                    continue
                first = record["sequence"]
            yield newest if key is None else key, record
        below = first


def _read_backwards(
    path: Path, end: int, needles: tuple[bytes, ...], reach: Reach, report: ReportDamage
) -> Iterator[tuple[int | None, Record | None]]:
    """The records before a byte at which a line begins, last first, and after each block its oldest time."""
    carry = b""
    key: int | None = None
    while end:
        start = max(0, end - BLOCK)
        data = _read_bytes(path, start, end, reach) + carry
        cut = data.find(b"\n") + 1 if start else 0
        if start and (not cut or cut == len(data)):
            carry, end = data if len(data) <= LINE_LIMIT else b"\n", start
            continue
        carry, position = data[:cut], start + len(data)
        lines = data[cut:].split(b"\n")
        if torn := lines.pop():
            position -= len(torn)
            report(path, position, "torn")
        found, oldest = [], parse_record(lines[0]) if lines else None
        bound = (_record_micros(oldest) if oldest else None) or key
        if lines and all(needle in data for needle in needles):
            found = _parse_lines(path, position, lines, needles, report)
        # A record may be older than the one before it, so a time counts for all that follow in the block.
        bounds = list(accumulate((_record_micros(record) or 0 for record in found), max, initial=bound or 0))
        for record, newest in zip(reversed(found), reversed(bounds), strict=False):
            yield newest or None, record
        key = bound
        yield key, None
        end = start


def _parse_lines(
    path: Path, end: int, lines: list[bytes], needles: tuple[bytes, ...], report: ReportDamage
) -> list[Record]:
    """The records of whole lines, the last of which ends at a byte, in their order in the file."""
    found: list[Record] = []
    for line in reversed(lines):
        end -= len(line) + 1
        if all(needle in line for needle in needles):
            record = parse_record(line)
            if record is None:
                report(path, end, "damaged")
            else:
                found.append(record)
    return found[::-1]


def _find_offset(path: Path, reach: Reach, is_after: Callable[[Record], bool]) -> int:
    """A byte at which a line begins, such that ``is_after`` holds from there on, and within ``BLOCK`` before not."""
    try:
        high = end = path.stat().st_size
    except FileNotFoundError:
        return 0
    low = 0
    while high - low > BLOCK:
        middle = (low + high) // 2
        begun, newline, rest = _read_bytes(path, middle, middle + PROBE, reach).partition(b"\n")
        line, ended, _ = rest.partition(b"\n")
        record = parse_record(line) if newline and ended else None
        if record is None:
            high = middle
        elif is_after(record):
            high, end = middle, middle + len(begun) + 1
        else:
            low = middle
    return end


def _later_than(limit: int) -> Callable[[Record], bool]:
    return lambda record: (_record_micros(record) or 0) > limit


def _read_bytes(path: Path, start: int, end: int, reach: Reach) -> bytes:
    """Bytes of a file, which is not kept open: writers may be many. Empty when retention has removed it."""
    reach.bytes -= end - start
    try:
        with open_regular(path) as file:
            return os.pread(file.fileno(), end - start, start)
    except FileNotFoundError:
        return b""


def _record_micros(record: Record) -> int | None:
    """The record's time in microseconds since the epoch; None when it tells none."""
    try:
        return _to_micros(datetime.fromisoformat(record["time"]))
    except (ValueError, TypeError):
        return None


def _to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _ignore_fault(path: Path, position: int, fault: str) -> None:
    """What is damaged is told by others."""
