"""Exemplars in multi-process mode: a file beside each process's metric files names the trace behind a bucket.

The client library's mapped files have no room for exemplars. Here the newest exemplar of each series is held in
memory and written out at most once a second.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import values
from prometheus_client.samples import Exemplar

from sql_synthesizer.files import write_file

LIMIT = 4_096
"""Series of one process that may carry an exemplar."""
FLUSH_INTERVAL = 1.0
MAX_AGE = 600.0
"""Seconds after which an exemplar is no longer exported."""

SeriesKey = tuple[str, frozenset[tuple[str, str]]]


class ExemplarFile:
    """The newest exemplar of each series of this process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pid = os.getpid()
        self._kept: dict[str, tuple[dict[str, str], float, float]] = {}
        self._changed = False
        self._written_at = 0.0

    def put(self, key: str, exemplar: Exemplar) -> None:
        """Stores ``exemplar`` for the series whose key in the metric file is ``key``."""
        if key in self._kept or len(self._kept) < LIMIT:
            self._kept[key] = (dict(exemplar.labels), exemplar.value, float(exemplar.timestamp or time.time()))
            self._changed = True

    def flush(self, *, now: bool = False) -> None:
        """Writes the file if there is something new and a second has passed, or at once if ``now``."""
        if self._pid != os.getpid():  # forked: what is held is the parent's
            self._pid, self._kept, self._changed = os.getpid(), {}, False
        at = time.monotonic()
        if self._changed and (now or at - self._written_at >= FLUSH_INTERVAL):
            self._changed, self._written_at = False, at
            write_file(exemplar_path(self._directory, self._pid), [orjson.dumps(dict(self._kept))], durable=False)


def exemplar_path(directory: Path, pid: int) -> Path:
    """The file of the exemplars of process ``pid``."""
    return directory / f"exemplars_{pid}.json"


def install_exemplars(directory: Path) -> ExemplarFile:
    """Makes the client library store the exemplars of this process in the returned file."""
    file = ExemplarFile(directory)

    class Value(values.ValueClass):  # type: ignore[misc]  # the library chooses the class at run time
        def set_exemplar(self, exemplar: Exemplar) -> None:
            file.put(self._key, exemplar)

    values.ValueClass = Value
    return file


def read_exemplars(directory: Path) -> dict[SeriesKey, Exemplar]:
    """The newest exemplar of each series over all processes; unreadable files are skipped."""
    newest: dict[SeriesKey, Exemplar] = {}
    oldest = time.time() - MAX_AGE
    for file in directory.glob("exemplars_*.json"):
        try:
            entries = orjson.loads(file.read_bytes()).items()
        except (OSError, ValueError):
            continue
        for key, (labels, value, timestamp) in entries:
            series = _parse_series(key)
            held = newest.get(series)
            if timestamp > max(oldest, float(held.timestamp or 0) if held else 0.0):
                newest[series] = Exemplar(labels, value, timestamp)
    return newest


def _parse_series(key: str) -> SeriesKey:
    parts: list[Any] = json.loads(key)
    return parts[1], frozenset(parts[2].items())
