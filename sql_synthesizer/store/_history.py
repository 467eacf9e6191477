"""Questions on their way into the store, soon after they end."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Protocol

from sql_synthesizer.errors import StoreUnavailable
from sql_synthesizer.model.masking import mask_secrets, mask_statement
from sql_synthesizer.store._callers import ActiveCallers, CallerStore
from sql_synthesizer.store._engine import RowRefused
from sql_synthesizer.telemetry import Fact, Operation, Telemetry, vocabulary

HISTORY_WAITING = 5_000
"""Questions that may wait to be written."""
HISTORY_BATCH = 500
"""Questions written in one transaction."""
HISTORY_RETRY = 0.5
"""Seconds until the store is tried again after it did not answer."""
HISTORY_CLOSE = 2.0
"""Seconds that the end of the process waits for the store."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A question that was asked; ``asked_at`` is Unix time."""

    question_id: str
    identity: str
    database: str
    question: str
    sql: str
    source: str
    outcome: str
    row_count: int
    asked_at: float
    team: str = ""
    cost_microusd: int = 0
    trace_id: str = ""


class HistoryStore(CallerStore, Protocol):
    """Where questions are kept."""

    def add_history(self, entries: Sequence[HistoryEntry]) -> None:
        """Keeps these questions; known ids are left as they are. Raises StoreUnavailable."""


class HistoryObserver:
    """Keeps questions in the store soon after they end, in a thread of its own; those of nobody known are left out.

    At most ``HISTORY_WAITING`` wait while the store does not answer; those beyond are dropped, and counted.
    """

    signal = "history"

    def __init__(self, store: HistoryStore, facade: Telemetry) -> None:
        self._store = store
        self._facade = facade
        self._waiting: deque[HistoryEntry] = deque()
        self._changed = threading.Condition()
        self._taken = self._done = 0
        self._closed = False
        self._thread: threading.Thread | None = None
        ActiveCallers(store, facade)

    def fold(self, facts: Sequence[Fact]) -> None:
        """Takes the questions of a batch in."""
        entries = [
            _to_history_entry(fact)
            for fact in facts
            if isinstance(fact, Operation)
            and fact.type is vocabulary.QUESTION
            and fact.trace.actor
            and fact.trace.question_id
        ]
        if not entries:
            return
        with self._changed:
            taken = entries[: HISTORY_WAITING - len(self._waiting)]
            self._waiting.extend(taken)
            self._taken += len(taken)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run_thread, name="history", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if dropped := len(entries) - len(taken):
            self._facade.emit(vocabulary.TELEMETRY_DROPPED, signal=self.signal, count=dropped)

    def flush(self, limit: float) -> bool:
        """Waits for what was folded to be in the store, ``limit`` seconds at most; False when it is not by then."""
        with self._changed:
            goal = self._taken
            return self._changed.wait_for(lambda: self._done >= goal, limit)

    def close(self) -> None:
        """Writes what waits, for ``HISTORY_CLOSE`` seconds at most; the store belongs to whoever opened it."""
        self.flush(HISTORY_CLOSE)
        with self._changed:
            self._closed = True
            lost = len(self._waiting)
            self._changed.notify_all()
        if lost:
            log.warning("%d questions are missing from the history: the store did not answer", lost)
            self._facade.emit(vocabulary.TELEMETRY_DROPPED, signal=self.signal, count=lost)

    def _run_thread(self) -> None:
        while batch := self._wait_for_batch():
            done = self._write_batch(batch)
            with self._changed:
                for _ in range(done):
                    self._waiting.popleft()
                self._done += done
                self._changed.notify_all()
                if done < len(batch):
                    self._changed.wait_for(lambda: self._closed, HISTORY_RETRY)

    def _wait_for_batch(self) -> list[HistoryEntry]:
        """The questions to write now, as soon as there are any; none when the observer is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            return [] if self._closed else list(islice(self._waiting, HISTORY_BATCH))

    def _write_batch(self, batch: Sequence[HistoryEntry]) -> int:
        """How many questions of the batch are done with: those that the store did not answer for are tried again."""
        try:
            self._store.add_history(batch)
        except Exception as error:  # noqa: BLE001 - as a broken observer: counted, and harms nobody
            self._facade.emit(vocabulary.TELEMETRY_ERROR, signal=self.signal)
            if isinstance(error, StoreUnavailable) and not isinstance(error, RowRefused):
                return 0
            if len(batch) > 1:  # one row is refused, and only by itself it shows which
                return sum(takewhile(bool, (self._write_batch([entry]) for entry in batch)))
            self._facade.emit(vocabulary.TELEMETRY_DROPPED, signal=self.signal)
        return len(batch)


def _to_history_entry(operation: Operation) -> HistoryEntry:
    details = operation.details
    question, sql = details.question or "", details.statement or details.sql or ""
    return HistoryEntry(
        question_id=operation.trace.question_id,
        identity=operation.trace.actor,
        database=details.database or "",
        question=(mask_statement if question == sql else mask_secrets)(question),
        sql=mask_statement(sql),
        source=operation.labels.get("source", "none"),
        outcome=operation.outcome,
        row_count=details.row_count or 0,
        asked_at=operation.started_ns / 1e9,
        team=details.team or "",
        cost_microusd=details.cost_microusd or 0,
        trace_id=operation.trace.trace_id,
    )
