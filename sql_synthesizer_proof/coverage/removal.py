"""Drives paths without an instrument, and says which of them tell that it is gone."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path as Directory
from unittest.mock import patch

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.metric import Feed, Metric
from sql_synthesizer.monitoring.observer import MetricsObserver
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.telemetry.vocabulary import ReadingType
from sql_synthesizer_proof.coverage.calls import Calls
from sql_synthesizer_proof.coverage.excuses import read_excuses
from sql_synthesizer_proof.coverage.instance import Instance, random_text
from sql_synthesizer_proof.coverage.owed import owed_signals
from sql_synthesizer_proof.coverage.path import Path, Result
from sql_synthesizer_proof.coverage.run import drive_path, find_paths, group_paths, look_for
from sql_synthesizer_proof.coverage.setups import run_setup

AGAIN = 3
"""Paths that are driven again without an instrument, until one tells."""
LISTENERS = ("metrics", "logs", "traces", "audit")
WAIT = 1.0
"""Seconds in which a signal that is only late comes."""


Table = list[tuple[str, str]]
"""Instrument, and the path that found it gone; empty where none did."""


class Removal:
    """The instruments that are left to be tried, and by which path each was found."""

    def __init__(self, calls: Calls, home: Directory) -> None:
        self._calls = calls
        self._home = home
        self._found: dict[str, str] = {}

    def run(self) -> Table:
        """Tries all of them, on one instance after the other."""
        excuses = read_excuses(find_paths())
        chosen = [path for path in find_paths() if path not in excuses and _is_telling(path)]
        for setup, paths in group_paths(chosen).items():
            tell(f"{setup}: {len(paths)} paths")
            try:
                self._try_setup(setup, paths)
            except ConfigurationError as error:
                tell(f"{setup}: {error.message}")
        names = {*self._calls.known, *(f"listener {name}" for name in LISTENERS), *map(_feed_name, _feeds())}
        return [(name, self._found.get(name, "")) for name in names]

    def _try_setup(self, setup: str, paths: list[Path]) -> None:
        reaching: defaultdict[str, list[Path]] = defaultdict(list)
        with run_setup(setup, self._home / setup) as instance:
            results: list[Result] = []
            reached: dict[Path, set[str]] = {}
            for path in paths:
                self._calls.reached = reached[path] = set()
                results.append(Result(path, owed_signals(path).signals))
                drive_path(instance, results[-1])
            self._calls.reached = set()
            time.sleep(WAIT)  # spans and lines are written by threads of their own
            look_for(instance, results)
            for path in (row.path for row in results if row.covered):
                for site in reached[path]:
                    reaching[site].append(path)
                self._note_feeds(path, reaching)
            for name, reached_by in reaching.items():
                if name not in self._found:
                    self._try_one(instance, name, reached_by)
        self._try_levels(setup, paths)

    @staticmethod
    def _note_feeds(path: Path, reaching: defaultdict[str, list[Path]]) -> None:
        owed = owed_signals(path)
        fed = {name.removesuffix("_count") for name, _ in owed.metric or ()}
        for feed in _feeds():
            if feed[0].name in fed:
                reaching[_feed_name(feed)].append(path)
        for listener, signal in zip(LISTENERS, ("metric", "log", "span", "audit"), strict=True):
            if signal in owed.signals:
                reaching[f"listener {listener}"].append(path)

    def _try_one(self, instance: Instance, name: str, paths: list[Path]) -> None:
        for path in sorted(paths, key=lambda path: (not _is_about(path, name), path.draw))[:AGAIN]:
            with self._without(instance, name):
                result = _drive(instance, path, wait=WAIT)
            if not result.covered:
                self._found[name] = str(path)
                return

    @contextmanager
    def _without(self, instance: Instance, name: str) -> Iterator[None]:
        with ExitStack() as stack:
            if name.startswith("feed "):
                for observer in instance.metric_observers:
                    stack.enter_context(_without_feed(observer, name))
            elif name.startswith("listener "):
                for patched in _without_listener(instance, name.removeprefix("listener ")):
                    stack.enter_context(patched)
            else:
                self._calls.removed = name
            try:
                yield
            finally:
                self._calls.removed = ""

    def _try_levels(self, setup: str, paths: list[Path]) -> None:
        """Levels are asked for from the start on: each is left out of an instance of its own."""
        levels = [path for path in paths if path.kind == "level"]
        if not levels:
            return
        for site in sorted(self._calls.known):
            if ": read " in site and site not in self._found:
                self._calls.removed = site
                self._try_fresh(setup, site, levels)
                self._calls.removed = ""
        for row in _feeds():
            if isinstance(row[1].source, ReadingType):
                with patch.object(catalog, "METRICS", [*_without_row(row)]):
                    fresh = run_setup(setup, self._home / random_text())
                    instance = fresh.__enter__()
                self._find_gone(instance, _feed_name(row), levels)
                fresh.__exit__(None, None, None)

    def _try_fresh(self, setup: str, name: str, levels: list[Path]) -> None:
        with run_setup(setup, self._home / random_text()) as instance:
            self._find_gone(instance, name, levels)

    def _find_gone(self, instance: Instance, name: str, levels: list[Path]) -> None:
        gone = next((path for path in levels if not _drive(instance, path, 0.0).covered), None)
        if gone is not None:
            self._found[name] = str(gone)


def _without_row(row: tuple[Metric, Feed]) -> Iterator[Metric]:
    for metric in catalog.METRICS:
        feeds = tuple(feed for feed in metric.feeds if feed is not row[1])
        yield metric if metric is not row[0] else replace(metric, feeds=feeds)


def tell(text: str) -> None:
    """Says how far it is."""
    sys.stderr.write(f"{text}\n")


def _drive(instance: Instance, path: Path, wait: float = 3.0) -> Result:
    """Drives a path, and looks for what it left until that is there, for a while."""
    result = Result(path, owed_signals(path).signals)
    drive_path(instance, result)
    if not result.fault and "metric" not in result.missing:

        def look() -> bool:
            look_for(instance, [result])
            return result.covered

        becomes_true(look, wait, 0.1)
    return result


def _is_telling(path: Path) -> bool:
    """Whether it makes calls that others do not make: of routes, and of surfaces that are alike, some do."""
    if path.kind == "route":
        return path.outcome in ("ok", "authentication_failed")
    return path.kind != "question" or path.surface in ("query", "job", "agent")


def _is_about(path: Path, name: str) -> bool:
    """Whether the path is that of the thing itself, which tells soonest."""
    return path.kind in ("event", "operation", "level") and path.stage.split(" ")[0] in name


def _feeds() -> Iterator[tuple[Metric, Feed]]:
    for metric in catalog.METRICS:
        yield from ((metric, feed) for feed in metric.feeds)


def _feed_name(row: tuple[Metric, Feed]) -> str:
    metric, feed = row
    return f"feed {metric.name} of {feed.source.name}"


@contextmanager
def _without_feed(observer: MetricsObserver, name: str) -> Iterator[None]:
    """The observer does not know that the source feeds the metric."""
    metric, _, source = name.removeprefix("feed ").partition(" of ")
    feeds = observer._feeds  # noqa: SLF001 - there is no door for what nobody should do
    kept = [series for series in feeds[source] if series._metric.name != metric]  # noqa: SLF001
    with patch.dict(feeds, {source: kept}):
        yield


def _without_listener(instance: Instance, signal: str) -> Iterator[AbstractContextManager[object]]:
    for facade in instance.facades:
        if signal == "audit" and facade.recorder is not None:
            yield patch.object(facade, "recorder", None)
        for observer in facade.observers:
            if observer.signal == signal:
                yield patch.object(observer, "fold", lambda _: None)
