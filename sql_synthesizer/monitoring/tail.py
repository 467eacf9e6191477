"""Which traces are kept, decided when they end: the sampled ones, and of the others every failed and every slow one.

The operations of a trace are held until the outermost one of this process has closed. Then the trace is kept whole or
let go of: spans are built of those alone that are kept.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Protocol

from sql_synthesizer.monitoring.spans import Fragment, build_fragment, is_span_event
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Event, Fact, Operation, Telemetry, Trace, vocabulary

HELD = 20_000
"""Operations and events of open traces that are held; beyond it the oldest trace is let go of, and counted."""
PATIENCE = 5.0
"""Seconds after which what has closed of a sampled trace is kept although its outermost operation runs on."""


class Keeper(Protocol):
    """Where the traces go that are kept. It must not wait: what it cannot take at once, it counts."""

    def keep(self, fragment: Fragment) -> None:
        """Takes in the spans that closed; called by one thread at a time."""

    def close(self) -> None:
        """Hands on what it holds, for a moment."""


@dataclass(slots=True)
class _OpenTrace:
    trace: Trace
    since: float
    facts: list[Fact] = field(default_factory=list)


class TailObserver:
    """Hands every trace that is kept to the ``keepers``. ``log_text`` lets texts into spans."""

    signal = "traces"

    def __init__(self, settings: Settings, facade: Telemetry, keepers: Sequence[Keeper]) -> None:
        self._text = settings.log_text
        self._facade = facade
        self._keepers = keepers
        self._open: OrderedDict[str, _OpenTrace] = OrderedDict()
        self._held = 0

    def fold(self, facts: Sequence[Fact]) -> None:
        """Holds what closed, and decides on the traces that ended."""
        for fact in facts:
            if isinstance(fact, Operation):
                self._hold(fact)
                if fact.span_id == fact.trace.root_id:
                    self._end_trace(fact)
            elif isinstance(fact, Event) and fact.span_id and is_span_event(fact):
                self._hold(fact)
        limit = time.monotonic() - PATIENCE
        for found in list(takewhile(lambda found: found.since < limit, self._open.values())):
            if found.trace.sampled:
                self._keep(self._take(found.trace))
        while self._held > HELD:
            self._let_go(next(iter(self._open.values())).trace)

    def close(self) -> None:
        """Keeps what is held of sampled traces."""
        for found in list(self._open.values()):
            if found.trace.sampled:
                self._keep(self._take(found.trace))
        for keeper in self._keepers:
            keeper.close()

    def _hold(self, fact: Operation | Event) -> None:
        key = fact.trace.root_id
        if not key:  # of no trace, or of one that was let go of
            return
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = _OpenTrace(fact.trace, time.monotonic())
        found.facts.append(fact)
        self._held += 1

    def _take(self, trace: Trace) -> _OpenTrace:
        found = self._open.pop(trace.root_id)
        self._held -= len(found.facts)
        return found

    def _keep(self, found: _OpenTrace) -> None:
        fragment = build_fragment(found.trace, found.facts, text=self._text)
        for keeper in self._keepers:
            keeper.keep(fragment)

    def _end_trace(self, root: Operation) -> None:
        found = self._take(root.trace)
        if root.trace.sampled or _is_telling(root, found.facts):
            root.trace.sampled = True  # what closes later belongs to it
            self._keep(found)
        else:
            root.trace.root_id = ""  # what closes later is let go of, too

    def _let_go(self, trace: Trace) -> None:
        """Makes room: what is held of a sampled trace is kept, of another it is dropped."""
        found = self._take(trace)
        if trace.sampled:
            self._keep(found)
        else:
            self._facade.emit(vocabulary.TELEMETRY_DROPPED, count=len(found.facts), signal=self.signal)


def _is_telling(root: Operation, facts: Sequence[Fact]) -> bool:
    """Whether the service failed at any operation of the trace, or was slow; a slow probe tells nothing."""
    slow = root.duration_ns >= root.facade.slow_ns and not root.labels.get("route", "").startswith(vocabulary.PROBES)
    return slow or any(isinstance(fact, Operation) and fact.failed for fact in facts)
