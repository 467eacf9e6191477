"""Reading the audit record back: every writer's files, merged by time."""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.lines import contains_all, open_regular, read_lines, segments_by_writer
from sql_synthesizer.audit.record import Record, is_record
from sql_synthesizer.telemetry import vocabulary

NESTING = 200
"""Brackets of a line that cannot be nested too deeply."""

ReportDamage = Callable[[Path, int, str], None]
"""Gets the file, the byte at which a line begins, and its fault: ``torn`` at a file's end, else ``damaged``."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records match: those with all values that are given, and ``since`` <= time < ``until``.

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

    def make_predicate(self) -> Callable[[Record], bool]:
        """A function that says of a record whether it matches."""
        fields, hashes = self.fields, self.hashes
        start, end = _format_bound(self.since, ""), _format_bound(self.until, "~")

        def matches(record: Record) -> bool:
            if not start <= record["time"] < end or any(record.get(name) != value for name, value in fields.items()):
                return False
            return not hashes or any(text in str(record.get("details")) for text in hashes)

        return matches


def read_records(directory: Path, *, report: ReportDamage | None = None) -> Iterator[Record]:
    """Every record of the directory, oldest first; those of one writer in their sequence.

    A line that a crash left unfinished and lines that are no records are skipped and reported, by default to the log.
    """
    return filter_records(directory, RecordFilter(), report=report)


def count_events(directory: Path, writer: str) -> Counter[str]:
    """How many events of each type a writer has recorded, as the counters call them."""
    found: Counter[str] = Counter()
    for _, record in _read_writer(writer, segments_by_writer(directory).get(writer, ()), (), log_bad_line):
        if record is not None:
            details = record.get("details") or {}
            foreign = details.get(vocabulary.FOREIGN_EVENT) if isinstance(details, dict) else None
            found[str(foreign or record.get("event_type"))] += int(record.get("count", 1))
    return found


def filter_records(directory: Path, criteria: RecordFilter, *, report: ReportDamage | None = None) -> Iterator[Record]:
    """The records that match, in the order of ``read_records``; however many there are, few are in memory at a time."""
    return filter(criteria.make_predicate(), _merge_writers(directory, criteria.needles, report or log_bad_line))


def _merge_writers(directory: Path, needles: tuple[bytes, ...], report: ReportDamage) -> Iterator[Record]:
    """The writers' records merged by time."""
    writers = segments_by_writer(directory).items()
    streams = [_read_writer(writer, paths, needles, report) for writer, paths in writers]
    return (record for _, record in heapq.merge(*streams, key=itemgetter(0)) if record is not None)


def _read_writer(
    writer: str, paths: Iterable[Path], needles: tuple[bytes, ...], report: ReportDamage
) -> Iterator[tuple[str, Record | None]]:
    """Times and records of one writer; a line that a failed write left behind and a later one repeated counts once."""
    # Writers may be many: the first file of one is opened when the merge has come to its start.
    yield writer_start(writer), None
    last = 0
    for path in paths:
        with suppress(FileNotFoundError), open_regular(path) as file:  # retention may have removed it
            for start, text, fault in read_lines(file):
                if not fault and not contains_all(text, needles):
                    continue
                record = None if fault else parse_record(text)
                if record is None:
                    report(path, start, fault or "damaged")
                elif record["sequence"] > last:
                    last = record["sequence"]
                    yield record["time"], record


def parse_record(text: bytes) -> Record | None:
    """The record of a line, with its question put back; None when it is none."""
    line = chain.parse_line(text)
    try:
        fields = orjson.loads(text) if line is None else line.full_fields()
        if text.count(b"[") + text.count(b"{") > NESTING:
            orjson.dumps(fields)  # raises where it is nested deeper than can be written again
    except (orjson.JSONDecodeError, TypeError):
        return None
    # A sealed line says nothing beside what is sealed, and its question; one without a MAC is from before the chain.
    return fields if is_record(fields) and (line is not None or "mac" not in fields) else None


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
