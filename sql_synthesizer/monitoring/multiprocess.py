"""Metrics of several processes: each writes files of its own into one directory, a reader merges them.

The client library chooses this mode when ``PROMETHEUS_MULTIPROC_DIR`` is set before it is imported, so ``serve``
sets the variable for its children. Merging and compaction hold one file lock: without it a reader that lists the
files while those of an ended worker are compacted sees counters decrease.
"""

from __future__ import annotations

import logging
import struct
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector, CollectorRegistry

from sql_synthesizer.files import draft_file
from sql_synthesizer.monitoring import catalog, exemplars, gap
from sql_synthesizer.monitoring.clock import with_ages
from sql_synthesizer.monitoring.metric import Metric
from sql_synthesizer.monitoring.shared import lock_directory
from sql_synthesizer.settings import read_variable

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_DAMAGED = (ValueError, RuntimeError, struct.error)
_TORN = (OSError, *_DAMAGED)
"""What reading a file raises while its owner is just creating it, or when it is damaged."""

_logger = logging.getLogger(__name__)
_directory = read_variable(VARIABLE)
directory: Path | None = Path(_directory) if _directory and values.ValueClass._multiprocess else None  # noqa: SLF001
"""The shared directory of this process; None when its metrics are its own."""
exemplar_file = exemplars.install_exemplars(directory) if directory else None


def make_client(metric: Metric, registry: CollectorRegistry) -> Any:
    """The client library's object for a catalogue row."""
    name = catalog.PREFIX + metric.name
    if metric.kind == "counter":
        return Counter(name, metric.help, metric.label_names, unit=metric.unit, registry=registry)
    if metric.kind == "histogram":
        return Histogram(
            name, metric.help, metric.label_names, unit=metric.unit, buckets=metric.buckets, registry=registry
        )
    return Gauge(
        name, metric.help, metric.label_names, unit=metric.unit, multiprocess_mode=metric.mode, registry=registry
    )


def mark_dead(pid: int, place: Path) -> None:
    """Removes the gauges of an ended process, and adds its counters to the file of all that ended.

    The process must have ended, or count nothing any more. Never raises OSError: where the lock is not free in time,
    the files stay apart and the log says so.
    """
    try:
        with lock_directory(place):
            _finish_merges(place)
            gap.note_counted(place, pid)
            mark_process_dead(pid, str(place))  # type: ignore[no-untyped-call]
            exemplars.exemplar_path(place, pid).unlink(missing_ok=True)
            for kind in ("counter", "histogram"):
                file = place / f"{kind}_{pid}.db"
                if file.exists():
                    _merge_ended(file, place / f"{kind}_ended.db")
            _finish_merges(place)
    except OSError as error:
        _logger.warning("the metrics of process %s stay apart until the next start: %s", pid, error)


def adopt_counts(place: Path) -> None:
    """Lets the counters of a service that was killed go on, as those of processes that ended."""
    with lock_directory(place):
        for file in (*place.glob("gauge_*.db"), *place.glob("exemplars_*"), *place.glob("ended_*")):
            file.unlink(missing_ok=True)
        _finish_merges(place)
    names = {file.stem.partition("_")[2] for file in (*place.glob("*_*.db"), *place.glob("writer_*"))}
    for pid in sorted(int(name) for name in names if name.isdecimal()):
        mark_dead(pid, place)


def _merge_ended(file: Path, ended: Path) -> None:
    """Writes the sum of both beside them; a damaged one is set aside, or it would keep all later ones apart."""
    totals: dict[str, float] = defaultdict(float)
    for source in (ended, file) if ended.exists() else (file,):
        try:
            # The whole file is read before any of it is added: one that is damaged further on counts nothing.
            for key, value, _, _ in [*MmapedDict.read_all_values_from_file(source)]:  # type: ignore[no-untyped-call]
                totals[key] += value
        except _DAMAGED as error:
            _logger.warning("%s is damaged and set aside: %s", source.name, type(error).__name__)
            source.replace(source.with_suffix(".damaged"))
    with draft_file(file.with_suffix(".merged"), durable=False) as part:
        written = MmapedDict(str(part))  # type: ignore[no-untyped-call]
        for key, value in totals.items():
            written.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
        written.close()  # type: ignore[no-untyped-call]


def _finish_merges(place: Path) -> None:
    """Lets sums take the place of what they were made of: called by whoever has the lock, as the last may have died."""
    for draft in place.glob(".*.merged-*.part"):
        draft.unlink()
    for merged in place.glob("*.merged"):
        merged.with_suffix(".db").unlink(missing_ok=True)
        merged.replace(place / f"{merged.stem.partition('_')[0]}_ended.db")


class SharedCollector(Collector):
    """Everything that the processes of a directory have counted, merged, with units and exemplars."""

    def __init__(self, place: Path) -> None:
        self._directory = place

    def collect(self) -> Iterable[Family]:
        """The metric families by name, then the time. Raises TimeoutError when the lock is not free in time."""
        return with_ages(self._collect_shared())

    def _collect_shared(self) -> Iterable[Family]:
        with lock_directory(self._directory):
            _finish_merges(self._directory)
            families = _merge_with_retry(sorted(str(file) for file in self._directory.glob("*.db")))
            marks = exemplars.read_exemplars(self._directory)
        for family in sorted(families, key=lambda family: family.name):
            row = catalog.BY_NAME.get(family.name) or catalog.BY_NAME.get(family.name + "_total")
            family.unit = row.unit if row else ""
            if family.type == "histogram" and marks:
                family.samples = [
                    sample._replace(exemplar=marks.get((sample.name, frozenset(sample.labels.items()))))
                    for sample in family.samples
                ]
            yield family


def _merge_with_retry(files: list[str]) -> Iterable[Family]:
    for _ in range(3):
        try:
            return _merge_files(files)
        except _TORN:
            time.sleep(0.005)
    readable = [file for file in files if _is_readable(file)]
    _logger.warning("%d of %d metric files cannot be read and are left out", len(files) - len(readable), len(files))
    return _merge_files(readable)


def _merge_files(files: list[str]) -> Iterable[Family]:
    return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


def _is_readable(file: str) -> bool:
    try:
        _merge_files([file])
    except _TORN:
        return False
    return True
