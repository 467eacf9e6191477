"""Asks the canaries on a schedule, and looks whether the tables and columns that they need are still there."""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Protocol, Self

import orjson

from sql_synthesizer.errors import SqlSynthesizerError, StoreUnavailable
from sql_synthesizer.model import CANARY_CALLER, Answer, Question, Schema
from sql_synthesizer.model.display import format_moment
from sql_synthesizer.service.canary.names import Names, find_names
from sql_synthesizer.service.canary.questions import Canary, Row, is_same
from sql_synthesizer.telemetry import Telemetry, reason_of, vocabulary

LOOK_EVERY = 30.0
"""Seconds between two looks at the schema, and until a canary that was not right is asked again."""
LOOK_LIMIT = 10.0
"""Seconds that a look at one database may take."""
TURN = "canaries"
RESULTS, DRIFT = "canary_results", "schema_drift"
"""Notes in the store, for those who look from another process."""

log = logging.getLogger(__name__)


class Schemas(Protocol):
    """Where the schemas are known."""

    def get(self, name: str) -> Schema:
        """The schema of a database."""

    def find_missing(self, name: str, reads: Mapping[str, Collection[str]], timeout: float) -> set[str]:
        """Tables and columns that are gone."""


class Notes(Protocol):
    """What the processes of the service share."""

    def take_turn(self, name: str, seconds: float) -> bool:
        """Whether nobody had this turn within so many seconds; then it is taken."""

    def put_note(self, name: str, text: str) -> None:
        """Keeps a text under a name."""


class Canaries:
    """The canaries of a service. ``ask`` answers a question, ``run`` runs a statement; each has ``deadline`` seconds.

    Of all workers that share a store one asks, every ``seconds``; each looks at the schema.
    """

    def __init__(
        self,
        canaries: Sequence[Canary],
        ask: Callable[[Question], Answer],
        run: Callable[[Question], Answer],
        schemas: Schemas,
        notes: Notes,
        telemetry: Telemetry,
        *,
        seconds: float,
        deadline: float,
        max_rows: int,
    ) -> None:
        self._canaries = {canary.name: canary for canary in canaries}
        self._ask, self._run = ask, run
        self._schemas, self._notes = schemas, notes
        self._telemetry = telemetry
        self._seconds, self._deadline, self._max_rows = seconds, deadline, max_rows
        self._answers: dict[str, str] = {}
        """Canary -> the statement that answered it rightly last."""
        self._results: dict[str, tuple[str, str, float]] = {}
        """Canary -> how it ended, why, and when, in Unix time."""
        self._known_names: dict[tuple[str, str], Names] = {}
        self._gone: dict[tuple[str, str], bool] = {}
        """Database and name, of all that were ever gone -> whether it is now."""
        self._stop = threading.Event()
        telemetry.declared.declare(vocabulary.CANARY_NAME, *self._canaries)
        telemetry.read(vocabulary.SCHEMA_DRIFT, self._read_drift)

    def __enter__(self) -> Self:
        """Looks and asks in a thread of its own, until the block ends."""
        self._thread = threading.Thread(target=self._run_thread, name="canaries", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def ask_all(self) -> Mapping[str, str]:
        """Asks each canary once; canary -> how it ended."""
        return {name: self.ask_canary(canary) for name, canary in self._canaries.items()}

    def ask_canary(self, canary: Canary) -> str:
        """Asks one, and says how that ended, as ``vocabulary.CANARY_RESULT`` has it."""
        operation = self._telemetry.operation(vocabulary.CANARY_CHECK, canary=canary.name, result="failed")
        operation.trace.actor, operation.trace.role = CANARY_CALLER.identity, CANARY_CALLER.role
        reason = ""
        with operation:
            try:
                try:
                    result = self._compare_answer(canary)
                finally:
                    self._telemetry.settle()
            except Exception as error:
                reason = reason_of(error)
                outcome = error.outcome if isinstance(error, SqlSynthesizerError) else "failed"
                result = "declined" if outcome in ("declined", "refused") else "failed"
                if reason == "internal":
                    log.exception("canary %s", canary.name)
            operation.labels["result"] = result
        if result != "right":
            log.warning("canary %s: %s %s", canary.name, result, reason)
        self._results[canary.name] = result, reason, time.time()
        return result

    def look(self) -> None:
        """Looks whether all that canaries read is there, and tells what is gone, or there again."""
        for database, reads in self._find_reads().items():
            try:
                missing = self._schemas.find_missing(database, reads, LOOK_LIMIT)
            except SqlSynthesizerError as error:  # has alerts of its own; what was gone is believed to be
                log.info("the schema of %s cannot be looked at: %s", database, error.reason)
                continue
            self._tell_changes(database, missing)

    # --- one canary ---------------------------------------------------------------------------

    def _compare_answer(self, canary: Canary) -> str:
        answer = self._ask(self._question(canary, canary.question))
        found, known = answer.rows.rows, self._known_rows(canary)
        if not is_same(found, known) and canary.sql:  # the data may have changed between the two
            found, known = self._ask(self._question(canary, canary.question)).rows.rows, self._known_rows(canary)
        if is_same(found, known):
            self._answers[canary.name] = answer.sql
            return "right"
        return "empty" if known and not found else "wrong"

    def _known_rows(self, canary: Canary) -> Sequence[Row]:
        return canary.rows if canary.rows is not None else self._run(self._question(canary, canary.sql)).rows.rows

    def _question(self, canary: Canary, text: str) -> Question:
        return Question(text, canary.database, CANARY_CALLER, self._max_rows, time.monotonic() + self._deadline)

    # --- the schema ---------------------------------------------------------------------------

    def _find_reads(self) -> Mapping[str, Mapping[str, set[str]]]:
        """Database -> table -> columns that canaries read, by their statement and by what answered them last."""
        reads: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for canary in self._canaries.values():
            for sql in filter(None, (canary.sql, self._answers.get(canary.name))):
                for table, columns in self._names(canary.database, sql).items():
                    reads[canary.database][table] |= columns
        return reads

    def _names(self, database: str, sql: str) -> Names:
        """The names in a statement, by the schema at the time when it was first seen."""
        key = database, sql
        if key not in self._known_names:
            try:
                self._known_names[key] = find_names(sql, self._schemas.get(database))
            except SqlSynthesizerError:
                return {}
        return self._known_names[key]

    def _tell_changes(self, database: str, missing: set[str]) -> None:
        before = {name for (of, name), gone in self._gone.items() if gone and of == database}
        for name in missing - before:
            self._telemetry.declared.declare(vocabulary.SCHEMA_NAME, name)
            log.error("%s is gone from database %s, and canaries need it", name, database)
        for name in before - missing:
            log.warning("%s is there again in database %s", name, database)
        if missing != before:
            self._gone |= {(database, name): name in missing for name in missing | before}
            gone = sorted(key for key, is_gone in self._gone.items() if is_gone)
            self._keep_note(DRIFT, [{"database": of, "name": name} for of, name in gone])

    def _read_drift(self) -> Iterable[tuple[Mapping[str, str], float]]:
        return [({"database": of, "object": name}, float(gone)) for (of, name), gone in list(self._gone.items())]

    # --- the thread ---------------------------------------------------------------------------

    def _run_thread(self) -> None:
        wait = 0.0
        while not self._stop.wait(wait):
            wait = LOOK_EVERY
            try:
                self.look()
                self._ask_due()
            except StoreUnavailable as error:
                log.warning("no canary is asked: %s", error.reason)
            except Exception:
                log.exception("canaries")

    def _ask_due(self) -> None:
        """Asks all when it is this worker's turn, else those of its own that were not right."""
        if self._notes.take_turn(TURN, self._seconds):
            self.ask_all()
        elif again := [name for name, (result, *_) in self._results.items() if result != "right"]:
            for name in again:
                self.ask_canary(self._canaries[name])
        else:
            return
        rows = [
            {"canary": name, "result": result, "reason": reason, "asked_at": format_moment(at)}
            for name, (result, reason, at) in sorted(self._results.items())
        ]
        self._keep_note(RESULTS, rows)

    def _keep_note(self, name: str, value: object) -> None:
        self._notes.put_note(name, orjson.dumps(value).decode())
