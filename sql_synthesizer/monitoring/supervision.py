"""What the supervisor and the web server's own process count: they have no telemetry, so they write to the files."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict, mmap_key

from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.own_metrics import PART
from sql_synthesizer.monitoring.shared import lock_directory

KILLED, LOST = "processes_killed_total", "metrics_directory_losses_total"
RELOADED = "config_last_reload_successful"

_logger = logging.getLogger(__name__)


def create_series(place: Path) -> None:
    """Lets all of it be there from the start, so that the first count is a change. Never raises OSError."""
    for part in PART.values:
        _write_value(place, KILLED, 0.0, {"part": part})
    _write_value(place, LOST, 0.0, {})
    _write_value(place, RELOADED, 1.0, {}, first=True)


def count(place: Path, name: str, **labels: str) -> None:
    """Adds one to a counter of the supervisor. Never raises OSError."""
    _write_value(place, name, 1.0, labels)


def note_reload(place: Path, *, taken: bool) -> None:
    """Says whether the last reload was taken in. Never raises OSError."""
    _write_value(place, RELOADED, float(taken), {})


def leave_mark(place: Path, pid: int) -> None:
    """Says that a worker has ended in order, by itself. Never raises OSError."""
    try:
        _mark(place, pid).touch()
    except OSError as error:
        _logger.warning("%s: %s", place, error.strerror)


def count_unmarked(place: Path, pid: int) -> None:
    """Counts a worker that ended without a mark: something killed it. Never raises OSError."""
    try:
        _mark(place, pid).unlink()
    except FileNotFoundError:
        count(place, KILLED, part="worker")
    except OSError as error:
        _logger.warning("%s: %s", place, error.strerror)


def _mark(place: Path, pid: int) -> Path:
    return place / f"ended_{pid}"


def _write_value(place: Path, name: str, value: float, labels: Mapping[str, str], *, first: bool = False) -> None:
    """Adds to a counter, or sets a gauge; one that is there already only if it is not the ``first`` value."""
    row = catalog.BY_NAME[catalog.PREFIX + name]
    sample = catalog.PREFIX + name
    key = mmap_key(sample.removesuffix("_total"), sample, list(labels), list(labels.values()), row.help)
    file = "counter_supervisor.db" if row.kind == "counter" else f"gauge_{row.mode}_supervisor.db"
    try:
        with lock_directory(place):
            values = MmapedDict(str(place / file))  # type: ignore[no-untyped-call]
            before, when = values.read_value(key)  # type: ignore[no-untyped-call]
            if not first or not when:
                after = before + value if row.kind == "counter" else value
                values.write_value(key, after, time.time())  # type: ignore[no-untyped-call]
            values.close()  # type: ignore[no-untyped-call]
    except OSError as error:
        _logger.warning("%s cannot be counted: %s", sample, error)
