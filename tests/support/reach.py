"""A plugin of pytest for mutation runs: which tests run which lines of a room, and which tests come first.

``--reach FILE`` records what each test takes and the lines below ``--reach-below`` that it runs in this process.
``--first FILE`` runs the tests that are named there before all others, in that order.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from types import FrameType
from typing import Any

import pytest


@dataclass(frozen=True)
class Reach:
    """What one test takes, in seconds, and the lines that it runs: of each file, below the room's folder."""

    seconds: float
    lines: dict[str, list[int]]


def read_reach(path: Path) -> dict[str, Reach]:
    """What was recorded, by the name of the test."""
    return {name: Reach(**reach) for name, reach in json.loads(path.read_text(encoding="utf-8")).items()}


def order_tests(reach: dict[str, Reach], path: str, lines: Collection[int]) -> list[str]:
    """The tests that run one of these lines, those of the quickest file first; a file's fixtures are made once."""
    reaching = {name: one.seconds for name, one in reach.items() if not set(lines).isdisjoint(one.lines.get(path, ()))}
    of_file = defaultdict(list)
    for name, seconds in reaching.items():
        of_file[name.partition("::")[0]].append(seconds)
    return sorted(reaching, key=lambda name: (fmean(of_file[name.partition("::")[0]]), reaching[name]))


class Recorder:
    """Notes each line that is run, in any thread that starts with or after the first test."""

    def __init__(self, path: Path, below: Path) -> None:
        self._path, self._below = path, f"{below}/"
        self._seen = defaultdict[str, set[int]](set)
        self._reached: dict[str, dict[str, Any]] = {}

    def trace_call(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(self._below):
            return None
        lines = self._seen[frame.f_code.co_filename.removeprefix(self._below)]
        lines.add(frame.f_lineno)

        def trace_line(frame: FrameType, event: str, argument: object) -> Any:
            lines.add(frame.f_lineno)
            return trace_line

        return trace_line

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._seen = defaultdict(set)
        self._reached[item.nodeid] = {"seconds": 0.0}
        threading.settrace(self.trace_call)
        sys.settrace(self.trace_call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._reached[item.nodeid]["lines"] = {path: sorted(lines) for path, lines in self._seen.copy().items()}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reached[report.nodeid]["seconds"] += report.duration

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._reached), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in ("--reach", "--reach-below", "--first"):
        parser.addoption(name, type=Path)


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--reach"):
        config.pluginmanager.register(Recorder(path, config.getoption("--reach-below")))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if path := config.getoption("--first"):
        place = {name: number for number, name in enumerate(json.loads(path.read_text(encoding="utf-8")))}
        items.sort(key=lambda item: place.get(item.nodeid, len(place)))
