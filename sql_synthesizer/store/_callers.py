"""How many callers asked lately; nobody is named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from sql_synthesizer.errors import StoreUnavailable
from sql_synthesizer.telemetry import Telemetry, vocabulary

LOOK_EVERY = 30.0
"""Seconds that a number is believed: each process that exports it asks the store."""
WINDOWS = {"day": 86_400, "week": 7 * 86_400}
"""Window -> its seconds."""

Levels = list[tuple[Mapping[str, str], float]]


class CallerStore(Protocol):
    """What counts callers."""

    def count_callers(self, since: float) -> int:
        """Callers that have asked since then, in Unix time. Raises StoreUnavailable."""


class ActiveCallers:
    """Reports the callers of the last day and week; no level while the store does not answer."""

    def __init__(self, store: CallerStore, telemetry: Telemetry) -> None:
        self._store = store
        self._levels: Levels = []
        self._due = 0.0
        telemetry.read(vocabulary.ACTIVE_CALLERS, self._look)

    def _look(self) -> Levels:
        if time.monotonic() >= self._due:
            self._levels, self._due = [], time.monotonic() + LOOK_EVERY
            with suppress(StoreUnavailable):
                now = time.time()
                self._levels = [({"window": w}, self._store.count_callers(now - s)) for w, s in WINDOWS.items()]
        return self._levels
