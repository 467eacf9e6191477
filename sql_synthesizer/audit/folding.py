"""Equal refusals of strangers become one record, so that nobody can fill the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from sql_synthesizer.audit.record import rfc3339
from sql_synthesizer.telemetry import Event

FOLDED = frozenset(
    (
        "authentication_failure",
        "access_denied",
        "csrf_failure",
        "rate_limit_exceeded",
        "request_too_large",
        "invalid_request",
        "unexpected_error",
    )
)
"""Types of refusal that a request without credentials can cause."""
BURST = 20
"""Records a second of one type from one address that stand alone."""
TOTAL = 200
"""Records a second that stand alone, whatever their type and address."""
ADDRESSES = 256
"""Types and addresses that are counted apart; beyond, only types are."""


class Folding:
    """Counts refusals beyond the burst; ``take`` hands them out as records with a count. ``clock`` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._second = 0
        self._alone = 0
        self._seen: dict[tuple[str, str], int] = {}
        self._merged: dict[tuple[str, str], Event] = {}

    def absorb(self, event: Event) -> bool:
        """Whether the event was counted here and needs no record of its own."""
        if event.trace.actor or not event.trace.address or event.type.name not in FOLDED:
            return False
        key = (event.type.name, event.trace.address)
        with self._lock:
            self._turn()
            seen = self._seen.get(key, 0)
            if seen < BURST and self._alone < TOTAL:
                self._seen[key] = seen + 1
                self._alone += 1
                return False
            self._merge(key, event)
        return True

    def take(self) -> list[Event]:
        """The merged records so far, which are forgotten here."""
        with self._lock:
            merged, self._merged = list(self._merged.values()), {}
        return merged

    def give_back(self, merged: list[Event]) -> None:
        """Takes in again what could not be recorded."""
        with self._lock:
            for event in merged:
                self._merge((event.type.name, event.trace.address), event)

    def __len__(self) -> int:
        return len(self._merged)

    def _turn(self) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._alone = second, 0
            self._seen.clear()

    def _merge(self, key: tuple[str, str], event: Event) -> None:
        if key not in self._merged and len(self._merged) >= ADDRESSES:
            key = (key[0], "")
        held = self._merged.get(key)
        if held is None:
            details = {"first": rfc3339(event.time_ns), **event.details}
            self._merged[key] = replace(event, trace=replace(event.trace, address=key[1]), details=details)
        else:
            held.count += event.count
            held.time_ns = max(held.time_ns, event.time_ns)
