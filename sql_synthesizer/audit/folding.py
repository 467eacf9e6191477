"""Equal refusals become one record, so that nobody can fill the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from sql_synthesizer.audit.record import format_rfc3339
from sql_synthesizer.telemetry import Event

FOLDED = frozenset(
    """authentication_failure access_denied csrf_failure rate_limit_exceeded request_too_large invalid_request
    unexpected_error""".split()
)
"""Types of refusal that a request without credentials can cause; those of known callers stand alone."""
LIMITS = "rate_limit_exceeded"
"""The type that known callers can cause as often as they like, which is folded for them too."""
BURST = 20
"""Records a second of one type from one address or caller that stand alone."""
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
        key = _folding_key(event)
        if not key[1] or key[0] not in FOLDED:
            return False
        with self._lock:
            self._advance_second()
            seen = self._seen.get(key, 0)
            if seen < BURST and self._alone < TOTAL:
                self._seen[key] = seen + 1
                self._alone += 1
                return False
            self._merge_event(key, event)
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
                self._merge_event(_folding_key(event), event)

    def __len__(self) -> int:
        return len(self._merged)

    def _advance_second(self) -> None:
        second = int(self._clock())
        if second != self._second:
            self._second, self._alone = second, 0
            self._seen.clear()

    def _merge_event(self, key: tuple[str, str], event: Event) -> None:
        if key not in self._merged and len(self._merged) >= ADDRESSES:
            key = (key[0], "")
        merged = self._merged.get(key)
        if merged is None:
            details = {"first": format_rfc3339(event.time_ns), **event.details}
            trace = event.trace if key[1] else replace(event.trace, actor="", role="", address="")
            self._merged[key] = replace(event, trace=trace, details=details)
        else:
            merged.count += event.count
            merged.time_ns = max(merged.time_ns, event.time_ns)


def _folding_key(event: Event) -> tuple[str, str]:
    """The type, and who caused it: the caller or address; empty when the event is not to be folded."""
    trace, name = event.trace, event.type.name
    if name == LIMITS:
        return name, trace.actor or trace.address
    return name, "" if trace.actor else trace.address
