"""Reading the audit record back: every writer's files, merged by time."""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.chain import restore_text
from sql_synthesizer.audit.files import SUFFIX, list_segments, open_regular

LINE_LIMIT = 1_000_000
"""Bytes of a line at most; what is longer is damaged."""

NESTING = 200
"""Brackets of a line that cannot be nested too deeply."""

Record = dict[str, Any]
ReportDamage = Callable[[Path, int, str], None]
"""Told the file, the byte where it happens and what is wrong: ``torn`` at a file's end, else ``damaged``."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records are looked for: those that match everything given, and ``since`` <= time < ``until``.

    Of ``hashes``, one has to stand in the record's details.
    """

    event_type: str | None = None
    severity: str | None = None
    actor: str | None = None
    trace_id: str | None = None
    question_id: str | None = None
    hashes: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def fields(self) -> dict[str, str]:
        """Name -> value of the fields that have to be equal."""
        names = ("event_type", "severity", "actor", "trace_id", "question_id")
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    @property
    def needles(self) -> tuple[bytes, ...]:
        """What every line that matches contains."""
        return tuple(orjson.dumps(value) for value in self.fields.values())

    def make_filter(self) -> Callable[[Record], bool]:
        """Tells of a record whether it is wanted."""
        fields, hashes = self.fields, self.hashes
        start, end = _format_bound(self.since, ""), _format_bound(self.until, "~")

        def fits(record: Record) -> bool:
            if not start <= record["time"] < end or any(record.get(name) != value for name, value in fields.items()):
                return False
            return not hashes or any(text in str(record.get("details")) for text in hashes)

        return fits


def read_records(directory: Path, *, report: ReportDamage | None = None) -> Iterator[Record]:
    """Every record of the directory, oldest first; those of one writer in their sequence.

    A line that a crash left unfinished and lines that are no records are skipped and reported, by default to the log.
    """
    return matching(directory, Wanted(), report=report)


def matching(directory: Path, wanted: Wanted, *, report: ReportDamage | None = None) -> Iterator[Record]:
    """The wanted records, in the order of ``read_records``; however many there are, few are held at a time."""
    return filter(wanted.make_filter(), _merge_writers(directory, wanted.needles, report or log_bad_line))


def segments_by_writer(directory: Path) -> dict[str, list[Path]]:
    """Writer -> its segments in order; writers in the order they started."""
    found: dict[str, list[Path]] = {}
    for path in list_segments(directory):
        found.setdefault(path.name.removesuffix(SUFFIX).rpartition("-")[0], []).append(path)
    return found


def _merge_writers(directory: Path, needles: tuple[bytes, ...], report: ReportDamage) -> Iterator[Record]:
    """Merges writers by time; a writer's first file is opened when the merge has come to its start."""
    waiting = deque((writer_start(writer), paths) for writer, paths in segments_by_writer(directory).items())
    heap: list[tuple[str, int, Record, Iterator[Record]]] = []
    opened = 0
    while heap or waiting:
        while waiting and (not heap or waiting[0][0] <= heap[0][0]):
            opened += 1
            _push_next(heap, opened, _read_writer(waiting.popleft()[1], needles, report))
        if heap:
            _, number, record, rest = heapq.heappop(heap)
            yield record
            _push_next(heap, number, rest)


def _push_next(heap: list[tuple[str, int, Record, Iterator[Record]]], number: int, records: Iterator[Record]) -> None:
    record = next(records, None)
    if record is not None:
        heapq.heappush(heap, (record["time"], number, record, records))


def _read_writer(paths: Iterable[Path], needles: tuple[bytes, ...], report: ReportDamage) -> Iterator[Record]:
    """The records of one writer; a line that a failed write left behind and a later one repeated counts once."""
    last = 0
    for path in paths:
        for record in _read_segment(path, needles, report):
            if record["sequence"] > last:
                last = record["sequence"]
                yield record


def _read_segment(path: Path, needles: tuple[bytes, ...], report: ReportDamage) -> Iterator[Record]:
    position = 0
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return  # retention has removed it
    with file:
        while text := file.readline(LINE_LIMIT):
            if not text.endswith(b"\n"):
                report(path, position, "torn" if len(text) < LINE_LIMIT else "damaged")
            elif all(needle in text for needle in needles):
                record = parse_record(text)
                if record is None:
                    report(path, position, "damaged")
                else:
                    yield record
            position += len(text)


def parse_record(text: bytes) -> Record | None:
    """The record of a line, with its question put back; None when it is none."""
    try:
        record = _parse_fields(text)
        if text.count(b"[") + text.count(b"{") > NESTING:
            orjson.dumps(record)  # raises where it is nested deeper than can be written again
        complete = isinstance(record["time"], str) and isinstance(record["sequence"], int)
        return restore_text(record) if complete else None
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None


def _parse_fields(text: bytes) -> Record:
    """What a line says; a sealed line says nothing beside what is sealed, and its question."""
    line = text if text.endswith(b"\n") else text + b"\n"
    if (sealed := chain.parse_line(line)) is not None:
        return sealed.fields
    fields: Record = orjson.loads(text)
    if "mac" in fields:
        raise KeyError("mac")
    return fields


def writer_start(writer: str) -> str:
    """A writer's start as records write times, from its name; an unknown name counts as oldest."""
    try:
        started = datetime.strptime(writer.partition("-")[0], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - the name says UTC
    except ValueError:
        return ""
    return started.isoformat(timespec="seconds")


def _format_bound(moment: datetime | None, default: str) -> str:
    if moment is None:
        return default
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def log_bad_line(path: Path, position: int, fault: str) -> None:
    """Reports to the log."""
    _logger.warning("audit file %s has a %s line at byte %d; it was skipped", path, fault, position)
