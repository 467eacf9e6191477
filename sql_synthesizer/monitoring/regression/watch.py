"""Looks for regressions from time to time, and exports what is found."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol, Self

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable
from sql_synthesizer.monitoring.regression.looking import Regression, look_for_regressions, read_found
from sql_synthesizer.monitoring.regression.prometheus import Prometheus
from sql_synthesizer.monitoring.regression.steps import PARTS
from sql_synthesizer.telemetry import Telemetry, vocabulary

LOOK_EVERY = 15.0
"""Seconds between two looks at whose turn it is, and at what another worker has found."""
TURN = NOTE = "regressions"

log = logging.getLogger(__name__)


class Notes(Protocol):
    """What the processes of the service share."""

    def take_turn(self, name: str, seconds: float) -> bool:
        """Whether nobody had this turn within so many seconds; then it is taken."""

    def put_note(self, name: str, text: str) -> None:
        """Keeps a text under a name."""

    def get_note(self, name: str) -> str | None:
        """The text that was kept."""


class Regressions:
    """Of all workers that share a store one looks, every five minutes of a usual ``week``; all export what it found."""

    def __init__(self, prometheus: Prometheus, notes: Notes, telemetry: Telemetry, week: float) -> None:
        self._prometheus, self._notes, self._week = prometheus, notes, week
        self.found: list[Regression] = []
        self._stop = threading.Event()
        telemetry.read(vocabulary.REGRESSIONS, self._read_found)

    def __enter__(self) -> Self:
        """Looks in a thread of its own, until the block ends."""
        self._thread = threading.Thread(target=self._run_thread, name="regressions", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> None:
        """Looks when it is this worker's turn, else takes over what another found. Raises StoreUnavailable."""
        if self._notes.take_turn(TURN, max(LOOK_EVERY, self._week / PARTS)):
            known = {one.series: one for one in self._read_note()}
            try:
                found = look_for_regressions(self._prometheus, time.time(), self._week)
            except ConfigurationError as error:
                log.warning("no regressions are looked for: %s", error.message)
                return
            lasting = [replace(known.get(one.series, one), ratio=one.ratio, score=one.score) for one in found]
            for one in lasting:
                if one.series not in known:
                    log.warning("regression: %s", describe(one))
            self._notes.put_note(NOTE, json.dumps([one.to_json() for one in lasting]))
        self.found = self._read_note()

    def _read_note(self) -> list[Regression]:
        return read_found(json.loads(self._notes.get_note(NOTE) or "[]"))

    def _read_found(self) -> Iterable[tuple[Mapping[str, str], float]]:
        worse = {one.series for one in self.found}
        return [({"series": name}, float(name in worse)) for name in vocabulary.REGRESSION.values]

    def _run_thread(self) -> None:
        while not self._stop.wait(LOOK_EVERY):
            try:
                self.look()
            except StoreUnavailable as error:
                log.warning("no regressions are looked for: %s", error.reason)
            except Exception:
                log.exception("regressions")


def describe(found: Regression) -> str:
    """A regression in words."""
    began, changed = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) for at in (found.began, found.changed_at))
    near = f"; nearest change: {found.change} at {changed} UTC" if found.change else "; nothing changed near that"
    return f"{found.series} is {found.ratio:.2f} times what is usual since {began} UTC{near}"
