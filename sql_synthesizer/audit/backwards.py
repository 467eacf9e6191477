"""Reading the audit record from its end: the newest records first, without reading all that is older.

Each writer's segments are read backwards, and the writers merged by time, as ``reading.py`` does forwards. But a file
is in the order of its numbers, and an event has its time before its number: in a file times are only almost in order.
So the merge goes by the newest time that each writer may still have, and a record waits until that of all is ``SKEW``
older than its own.
"""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from itertools import accumulate, count, islice
from pathlib import Path

from sql_synthesizer.audit.lines import BLOCK, contains_all, open_regular, read_blocks, read_lines, segments_by_writer
from sql_synthesizer.audit.reading import RecordFilter, ReportDamage, log_bad_line, parse_record, writer_start
from sql_synthesizer.audit.record import Record, format_rfc3339

PROBE = 1 << 14
"""Bytes in which a whole line is looked for, to find where in a file to begin."""
SKEW = 10_000_000
"""Microseconds by which the records of a writer may stand out of order: what batched mode holds back at most."""
BUFFER_RECORDS = 5_000
"""Records that wait until nothing newer can come; beyond, an edited file could use up the memory."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class ReadBudget:
    """How many bytes one search may read, and for how many seconds.

    Afterwards ``stopped`` is the moment from which on all was looked at, None when everything was.
    """

    bytes: float = float("inf")
    seconds: float = float("inf")
    stopped: datetime | None = None


def search_records(
    directory: Path, criteria: RecordFilter, *, limit: int = 100, report: ReportDamage | None = None
) -> list[Record]:
    """The newest ``limit`` records that match, oldest first."""
    return list(islice(newest_first(directory, criteria, report=report), max(0, limit)))[::-1]


def newest_first(
    directory: Path, criteria: RecordFilter, *, budget: ReadBudget | None = None, report: ReportDamage | None = None
) -> Iterator[Record]:
    """The records that match by descending time, read as far as the caller goes on and ``budget`` allows."""
    budget = budget or ReadBudget()
    matches, deadline, number = criteria.make_predicate(), time.monotonic() + budget.seconds, count()
    since = None if criteria.since is None else _to_micros(criteria.since) - SKEW
    # Whoever goes on from where a search stopped comes further each time.
    least = _to_micros(criteria.until or datetime.now(UTC)) - SKEW - 1
    buffer: list[tuple[int, int, Record]] = []
    lowest = _to_micros(datetime.now(UTC)) + SKEW
    for key, record in _merge_streams(directory, criteria, budget, report or log_bad_line):
        lowest = min(lowest, key)
        while buffer and (-buffer[0][0] > key + SKEW or len(buffer) > BUFFER_RECORDS):
            yield heapq.heappop(buffer)[2]
        if since is not None and key < since:
            break
        if key < least and (budget.bytes <= 0 or time.monotonic() >= deadline):
            # A later block may hold newer times than an earlier one: what has left already must not come again.
            budget.stopped = _EPOCH + (lowest + SKEW + 1) * _MICROSECOND
            return
        if record is not None and matches(record):
            own = _record_micros(record)
            heapq.heappush(buffer, (-(key if own is None else own), next(number), record))
    while buffer:
        yield heapq.heappop(buffer)[2]


def find_record(directory: Path, writer: str, sequence: int) -> Record | None:
    """The record with this number of this writer."""
    for path in reversed(segments_by_writer(directory).get(writer, [])):
        budget = ReadBudget()
        end = _find_offset(path, budget, lambda record: record["sequence"] > sequence)
        for _, record in _read_backwards(path, end, (), budget, lambda *_: None):
            if record is not None and record["sequence"] <= sequence:
                if record["sequence"] == sequence:
                    return record
                break
    return None


def _merge_streams(
    directory: Path, criteria: RecordFilter, budget: ReadBudget, report: ReportDamage
) -> Iterator[tuple[int, Record | None]]:
    """Microseconds and a record, or None where a writer was read so far without finding one; newest first."""
    until = None if criteria.until is None else _to_micros(criteria.until) + SKEW
    last = "~" if until is None else format_rfc3339(until * 1000)
    streams = [
        _writer_stream(paths, criteria.needles, until, budget, report)
        for writer, paths in sorted(segments_by_writer(directory).items(), reverse=True)
        if writer_start(writer) < last
    ]
    return heapq.merge(*streams, key=lambda item: item[0], reverse=True)


def _writer_stream(
    paths: list[Path], needles: tuple[bytes, ...], until: int | None, budget: ReadBudget, report: ReportDamage
) -> Iterator[tuple[int, Record | None]]:
    """One writer, opened when the merge has come to its end; a line that a later segment repeats counts once."""
    below: int | None = None
    for path in reversed(paths):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        # No record is newer than its file, so a file is opened when the merge has come to its last change: unlike the
        # time of modification, nobody can set that one.
        newest, end, first = status.st_ctime_ns // 1000 + SKEW, status.st_size, below
        yield (newest if until is None else min(newest, until)), None
        if until is not None and newest > until:
            newest, end = until, _find_offset(path, budget, _later_than(until))
        for key, record in _read_backwards(path, end, needles, budget, report):
            if record is not None:
                if below is not None and record["sequence"] >= below:
                    continue
                first = record["sequence"]
            yield newest if key is None else key, record
        below = first


def _read_backwards(
    path: Path, end: int, needles: tuple[bytes, ...], budget: ReadBudget, report: ReportDamage
) -> Iterator[tuple[int | None, Record | None]]:
    """The records before a byte at which a line begins, last first, and after each block its oldest time."""
    key: int | None = None
    for start, data in read_blocks(lambda first, last: _read_bytes(path, first, last, budget), end):
        listed = contains_all(data, needles) or not data.endswith(b"\n")
        lines = list(read_lines(BytesIO(data), start)) if listed else []
        if lines and lines[-1][2] == "torn":
            report(path, lines.pop()[0], "torn")
        oldest = parse_record(data[: data.find(b"\n") + 1])
        bound = (_record_micros(oldest) if oldest else None) or key
        found: list[Record] = []
        for begin, text, _ in reversed(lines):
            if contains_all(text, needles):
                if record := parse_record(text):
                    found.append(record)
                else:
                    report(path, begin, "damaged")
        # A record may be older than the one before it, so a time counts for all that follow in the block.
        bounds = list(accumulate((_record_micros(record) or 0 for record in reversed(found)), max, initial=bound or 0))
        for record, newest in zip(found, reversed(bounds), strict=False):
            yield newest or None, record
        key = bound
        yield key, None


def _find_offset(path: Path, budget: ReadBudget, is_after: Callable[[Record], bool]) -> int:
    """A byte at which a line begins, such that ``is_after`` holds from there on, and within ``BLOCK`` before not."""
    # Old pages are found by halving, so that they cost no more than the newest.
    try:
        high = end = path.stat().st_size
    except FileNotFoundError:
        return 0
    low = 0
    while high - low > BLOCK:
        middle = (low + high) // 2
        begun, newline, rest = _read_bytes(path, middle, middle + PROBE, budget).partition(b"\n")
        line, ended, _ = rest.partition(b"\n")
        record = parse_record(line + ended) if newline and ended else None
        if record is None:
            high = middle
        elif is_after(record):
            high, end = middle, middle + len(begun) + 1
        else:
            low = middle
    return end


def _later_than(limit: int) -> Callable[[Record], bool]:
    return lambda record: (_record_micros(record) or 0) > limit


def _read_bytes(path: Path, start: int, end: int, budget: ReadBudget) -> bytes:
    """Bytes of a file, which does not stay open: writers may be many. Empty when retention has removed it."""
    budget.bytes -= end - start
    try:
        with open_regular(path) as file:
            return os.pread(file.fileno(), end - start, start)
    except FileNotFoundError:
        return b""


def _record_micros(record: Record) -> int | None:
    """The record's time in microseconds since the epoch; None when that is no time."""
    try:
        return _to_micros(datetime.fromisoformat(record["time"]))
    except (ValueError, TypeError):
        return None


def _to_micros(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
