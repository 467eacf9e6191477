"""Reading the audit record back: every writer's files, merged by time."""

from __future__ import annotations

import heapq
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from sql_synthesizer.audit.chain import read_text
from sql_synthesizer.audit.manifest import SUFFIX

LINE_LIMIT = 1_000_000
"""Bytes of a line at most; what is longer is damaged."""

Record = dict[str, Any]
Report = Callable[[Path, int, str], None]
"""Told the file, the byte where it happens and what is wrong: ``torn`` at a file's end, else ``damaged``."""

_logger = logging.getLogger(__name__)


def read(directory: Path, *, report: Report | None = None) -> Iterator[Record]:
    """Every record of the directory, oldest first; those of one writer in their sequence.

    A line that a crash left unfinished and lines that are no records are skipped and reported, by default to the log.
    """
    return _merged(directory, (), report or _warn)


def search(
    directory: Path,
    *,
    event_type: str | None = None,
    actor: str | None = None,
    trace_id: str | None = None,
    question_id: str | None = None,
    hashes: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 100,
    report: Report | None = None,
) -> list[Record]:
    """The newest ``limit`` records that match everything given, oldest first; ``since`` <= time < ``until``.

    Of ``hashes``, one has to stand in the record's details.
    """
    wanted = {"event_type": event_type, "actor": actor, "trace_id": trace_id, "question_id": question_id}
    fields = {name: value for name, value in wanted.items() if value is not None}
    needles = tuple(orjson.dumps(value) for value in fields.values())
    start, end = _bound(since, ""), _bound(until, "~")
    found: deque[Record] = deque(maxlen=max(0, limit))
    for record in _merged(directory, needles, report or _warn):
        if not start <= record["time"] < end or any(record.get(name) != value for name, value in fields.items()):
            continue
        if not hashes or any(text in str(record["details"]) for text in hashes):
            found.append(record)
    return list(found)


def writers(directory: Path) -> dict[str, list[Path]]:
    """Writer -> its segments in order; writers in the order they started."""
    found: dict[str, list[Path]] = {}
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        found.setdefault(path.name.removesuffix(SUFFIX).rpartition("-")[0], []).append(path)
    return found


def _merged(directory: Path, needles: tuple[bytes, ...], report: Report) -> Iterator[Record]:
    """Merges writers by time; a writer's first file is opened when the merge has come to its start."""
    waiting = deque((_started(writer), paths) for writer, paths in writers(directory).items())
    heap: list[tuple[str, int, Record, Iterator[Record]]] = []
    opened = 0
    while heap or waiting:
        while waiting and (not heap or waiting[0][0] <= heap[0][0]):
            opened += 1
            _push(heap, opened, _records(waiting.popleft()[1], needles, report))
        if heap:
            _, number, record, rest = heapq.heappop(heap)
            yield record
            _push(heap, number, rest)


def _push(heap: list[tuple[str, int, Record, Iterator[Record]]], number: int, records: Iterator[Record]) -> None:
    record = next(records, None)
    if record is not None:
        heapq.heappush(heap, (record["time"], number, record, records))


def _records(paths: Iterable[Path], needles: tuple[bytes, ...], report: Report) -> Iterator[Record]:
    """The records of one writer; a line that a failed write left behind and a later one repeated counts once."""
    last = 0
    for path in paths:
        for record in _lines(path, needles, report):
            if record["sequence"] > last:
                last = record["sequence"]
                yield record


def _lines(path: Path, needles: tuple[bytes, ...], report: Report) -> Iterator[Record]:
    position = 0
    with path.open("rb") as file:
        while text := file.readline(LINE_LIMIT):
            if not text.endswith(b"\n"):
                report(path, position, "torn" if len(text) < LINE_LIMIT else "damaged")
            elif all(needle in text for needle in needles):
                record = _record(text)
                if record is None:
                    report(path, position, "damaged")
                else:
                    yield record
            position += len(text)


def _record(text: bytes) -> Record | None:
    try:
        record = orjson.loads(text)
        complete = isinstance(record["time"], str) and isinstance(record["sequence"], int)
        return read_text(record) if complete else None
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return None


def _started(writer: str) -> str:
    """A writer's start as records write times, from its name; an unknown name counts as oldest."""
    try:
        started = datetime.strptime(writer.partition("-")[0], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007 - the name says UTC
    except ValueError:
        return ""
    return started.isoformat(timespec="seconds")


def _bound(moment: datetime | None, default: str) -> str:
    if moment is None:
        return default
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _warn(path: Path, position: int, fault: str) -> None:
    _logger.warning("audit file %s has a %s line at byte %d; it was skipped", path, fault, position)
