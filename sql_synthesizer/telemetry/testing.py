"""Listeners that keep everything in memory: for tests of this product and of code that embeds it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.telemetry import Event, Fact, Operation
from sql_synthesizer.telemetry.vocabulary import OperationType


class MemoryObserver:
    """Keeps every fact in ``facts``; for tests and experiments."""

    signal = "all"

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def fold(self, facts: Sequence[Fact]) -> None:
        """Keeps them."""
        self.facts.extend(facts)

    def close(self) -> None:
        """Nothing is held elsewhere."""

    def operations(self, type: OperationType) -> list[Operation]:
        """The closed operations of this type, in the order they closed."""
        return [f for f in self.facts if isinstance(f, Operation) and f.type is type]

    def events(self, name: str) -> list[Event]:
        """The events of this name, oldest first."""
        return [f for f in self.facts if isinstance(f, Event) and f.type.name == name]


class MemoryRecorder:
    """An audit recorder that keeps records in ``records``; ``failing`` makes ``settle`` raise that error."""

    def __init__(self) -> None:
        self.records: list[Event] = []
        self.failing: SqlSynthesizerError | None = None
        self._lock = threading.Lock()

    def append(self, event: Event) -> int:
        """Keeps it; its ticket is its place."""
        with self._lock:
            self.records.append(event)
            return len(self.records)

    def settle(self, ticket: int) -> None:
        """Returns at once, or raises ``failing``."""
        if self.failing is not None:
            raise self.failing

    def close(self) -> None:
        """Nothing is held elsewhere."""
