"""What a kill has left between the counters and the audit record: it is counted once the process is gone.

A process counts what happens within a fifth of a second, and records it before it answers. When it is killed in
between, its counters lack events that are on record, or have some whose record was not durable yet. Whoever notices its
end keeps how many it had counted, under the lock of the metric files; the exporter compares that with what it recorded.
"""

from __future__ import annotations

import json
import logging
import os
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from prometheus_client.mmap_dict import MmapedDict

from sql_synthesizer.audit.reading import count_events
from sql_synthesizer.files import draft_file
from sql_synthesizer.monitoring import catalog

EVENTS = catalog.PREFIX + "security_events_total"
UNCOUNTED, UNRECORDED = "uncounted_events_total", "unrecorded_events_total"

_logger = logging.getLogger(__name__)


def note_writer(place: Path | None, writer: str) -> Callable[[], None]:
    """Notes how this process is called in the audit record; what it returns forgets it, when all was counted."""
    if place is None:
        return lambda: None
    file = place / f"writer_{os.getpid()}"
    with suppress(OSError):  # the directory is gone; whoever makes it again has this process begin anew
        file.write_text(writer, encoding="ascii")
    return lambda: file.unlink(missing_ok=True)


def note_counted(place: Path, pid: int) -> None:
    """Keeps what a process had counted that was ended before it forgot its note; called with the directory's lock."""
    note, file = place / f"writer_{pid}", place / f"counter_{pid}.db"
    try:
        writer = note.read_text(encoding="ascii")
    except OSError:
        return
    counted: Counter[str] = Counter()
    with suppress(OSError, ValueError, RuntimeError, struct.error):
        for key, value, *_ in [*MmapedDict.read_all_values_from_file(file)]:  # type: ignore[no-untyped-call]
            _, name, labels, _ = json.loads(key)
            if name == EVENTS and value:
                counted[labels["event_type"]] += value
    with draft_file(place / f"killed_{writer}.json", durable=False) as draft:
        draft.write_text(json.dumps(counted), encoding="ascii")
    note.unlink(missing_ok=True)


def ended_processes(place: Path) -> list[int]:
    """Processes that have a note, and are gone."""
    noted = [int(file.name.partition("_")[2]) for file in place.glob("writer_*")]
    return [pid for pid in noted if not psutil.pid_exists(pid)]


def count_gaps(place: Path, audit: Path, count: Callable[[str, str, float], None]) -> None:
    """Compares what killed processes had counted with their record, once; ``count`` gets metric, type and number."""
    for file in sorted(place.glob("killed_*.json")):
        writer = file.stem.partition("_")[2]
        try:
            counted: dict[str, float] = json.loads(file.read_text(encoding="ascii"))
            recorded = count_events(audit, writer)
        except (OSError, ValueError) as error:
            _logger.warning("what %s has left uncounted is not known: %s", writer, type(error).__name__)
            counted, recorded = {}, Counter()
        file.unlink(missing_ok=True)
        for name in sorted({*counted, *recorded}):
            gap = recorded[name] - counted.get(name, 0.0)
            if gap:
                count(UNCOUNTED if gap > 0 else UNRECORDED, name, abs(gap))
