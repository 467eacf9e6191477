"""The service's own state: API keys, history, feedback and shared secrets, in SQLite or PostgreSQL."""

from __future__ import annotations

import logging
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, TableClause, column, delete, func, select, table, update
from sqlalchemy.dialects import sqlite

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable
from sql_synthesizer.model import CANARY, ApiKey, Role
from sql_synthesizer.model.masking import mask_secrets, mask_statement
from sql_synthesizer.store import schedules
from sql_synthesizer.store._callers import ActiveCallers
from sql_synthesizer.store._engine import (
    RowRefused,
    begin_transaction,
    file_identity,
    migrate_tables,
    open_engine,
    storable_text,
    store_url,
)
from sql_synthesizer.store._files import SECRET_BYTES, backup_file, load_secret, restore_file
from sql_synthesizer.store.deliveries import DeliveryStore
from sql_synthesizer.store.jobs import JobStore, Record
from sql_synthesizer.store.notes import META, Notes
from sql_synthesizer.telemetry import Fact, Operation, Telemetry, vocabulary

HISTORY_ROWS = 100_000
"""Questions kept at most."""
HISTORY_DAYS = 90
"""Days that a question is kept at most."""
PRUNE_EVERY = 1_000
"""Questions added between two looks at these bounds."""
COMMENT_CHARS = 500
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


_KEYS = table("api_keys", *(column(field.name) for field in fields(ApiKey)))
_HISTORY = table("history", *(column(field.name) for field in fields(HistoryEntry)))
_FEEDBACK = table("feedback", *map(column, ("question_id", "identity", "rating", "comment", "at")))


class Store:
    """The service's own state, by default in ``state_dir/store.sqlite``; ``url`` may name PostgreSQL.

    Brings the tables up to date. Raises ConfigurationError when the URL is of no use or a newer release
    wrote the tables. Every method raises StoreUnavailable when the database does not answer in time.
    """

    def __init__(self, url: str | None, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._engine = open_engine(url, state_dir)
        self._insert = _insert_of(self._engine.dialect.name)
        self._until_prune = 0
        self.version = migrate_tables(self._engine)
        self._file = file_identity(self._engine)
        self.notes = Notes(self._engine, self._insert)

    # --- API keys ---------------------------------------------------------------------------

    def add_key(self, key: ApiKey) -> None:
        """Keeps a new key."""
        with begin_transaction(self._engine, write=True) as connection:
            connection.execute(_KEYS.insert().values(_row_values(_KEYS, key)))

    def get_key(self, key_id: str) -> ApiKey | None:
        """The key of this id, revoked and expired ones too."""
        with begin_transaction(self._engine) as connection:
            row = connection.execute(select(_KEYS).where(_KEYS.c.id == storable_text(key_id))).one_or_none()
        return None if row is None else _api_key(row)

    def list_keys(self) -> list[ApiKey]:
        """Every key, oldest first."""
        with begin_transaction(self._engine) as connection:
            return [_api_key(row) for row in connection.execute(select(_KEYS).order_by(_KEYS.c.created_at, _KEYS.c.id))]

    def revoke_key(self, key_id: str) -> bool:
        """Ends a key now; False when there is no such key or it had been revoked."""
        with begin_transaction(self._engine, write=True) as connection:
            return _update_key(connection, key_id, revoked_at=time.time())

    def rotate(self, key_id: str, replacement: ApiKey) -> bool:
        """Ends a key and keeps its replacement, both or neither; False when the old one cannot be revoked."""
        with begin_transaction(self._engine, write=True) as connection:
            revoked = _update_key(connection, key_id, revoked_at=time.time())
            if revoked:
                connection.execute(_KEYS.insert().values(_row_values(_KEYS, replacement)))
            return revoked

    def limit_key(self, key_id: str, rate_limit: str) -> bool:
        """Gives a key another limit; False when there is no such key or it had been revoked."""
        with begin_transaction(self._engine, write=True) as connection:
            return _update_key(connection, key_id, rate_limit=storable_text(rate_limit))

    def end_sessions(self, key_id: str) -> None:
        """Raises the key's ``session_version``, which ends the page sessions begun with it."""
        with begin_transaction(self._engine, write=True) as connection:
            _update_key(connection, key_id, session_version=_KEYS.c.session_version + 1)

    # --- history and feedback ---------------------------------------------------------------

    def add_history(self, entries: Sequence[HistoryEntry]) -> None:
        """Keeps these questions and notes when their callers' keys were last used; known ids are left as they are."""
        if not entries:
            return
        rows = [_row_values(_HISTORY, entry) for entry in entries]
        used = {storable_text(e.identity): e.asked_at for e in sorted(entries, key=lambda entry: entry.asked_at)}
        with begin_transaction(self._engine, write=True) as connection:
            connection.execute(self._insert(_HISTORY).on_conflict_do_nothing(), rows)
            for identity, at in sorted(used.items()):
                connection.execute(update(_KEYS).where(_KEYS.c.id == identity).values(last_used_at=at))
        self._until_prune -= len(rows)
        if self._until_prune <= 0:
            self._until_prune = PRUNE_EVERY
            self.prune()

    def history(self, identity: str, limit: int = 50) -> list[HistoryEntry]:
        """What this caller asked, newest first."""
        query = (
            select(_HISTORY).where(_HISTORY.c.identity == storable_text(identity)).order_by(_HISTORY.c.asked_at.desc())
        )
        with begin_transaction(self._engine) as connection:
            return [HistoryEntry(*row) for row in connection.execute(query.limit(max(0, limit)))]

    def find_question(self, question_id: str) -> HistoryEntry | None:
        """The question of this id, whoever asked it."""
        query = select(_HISTORY).where(_HISTORY.c.question_id == storable_text(question_id))
        with begin_transaction(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else HistoryEntry(*row)

    def count_callers(self, since: float) -> int:
        """Callers that have asked since then, in Unix time."""
        asked = select(_HISTORY.c.identity).where((_HISTORY.c.asked_at >= since) & (_HISTORY.c.identity != CANARY))
        used = select(_KEYS.c.id).where(_KEYS.c.last_used_at >= since)  # of those whose questions are forgotten
        with begin_transaction(self._engine) as connection:
            return int(connection.execute(select(func.count()).select_from(asked.union(used).subquery())).scalar_one())

    def rate(self, question_id: str, identity: str, rating: str, comment: str | None = None) -> bool:
        """Keeps a caller's rating of its own question, instead of an earlier one; False when it asked no such.

        Comments are cut at ``COMMENT_CHARS`` characters.
        """
        key = {"question_id": storable_text(question_id), "identity": storable_text(identity)}
        value = {
            "rating": storable_text(rating),
            "comment": mask_secrets(storable_text(comment or ""))[:COMMENT_CHARS],
            "at": time.time(),
        }
        asked = select(_HISTORY.c.question_id).filter_by(**key)
        with begin_transaction(self._engine, write=True) as connection:
            if connection.execute(asked).one_or_none() is None:
                return False
            insert = self._insert(_FEEDBACK).values(**key, **value)
            connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=value))
            return True

    def prune(self, rows: int = HISTORY_ROWS, days: float = HISTORY_DAYS) -> None:
        """Forgets questions beyond the newest ``rows`` or older than ``days``, with their ratings."""
        newest_out = select(_HISTORY.c.asked_at).order_by(_HISTORY.c.asked_at.desc()).offset(rows).limit(1)
        with begin_transaction(self._engine, write=True) as connection:
            limits = [connection.execute(newest_out).scalar(), time.time() - days * 86_400]
            oldest = max(limit for limit in limits if limit is not None)
            connection.execute(delete(_HISTORY).where(_HISTORY.c.asked_at <= oldest))
            connection.execute(delete(_FEEDBACK).where(_FEEDBACK.c.question_id.not_in(select(_HISTORY.c.question_id))))

    def jobs(self, record: Record) -> JobStore:
        """The jobs, which are in the same database; ``record`` is called before a change of one takes effect."""
        return JobStore(self._engine, self._insert, record)

    def deliveries(self, record: Record) -> DeliveryStore:
        """Which addresses have yet to be told that a job ended; ``record`` as for ``jobs``."""
        return DeliveryStore(self._engine, record)

    def schedules(self, jobs: JobStore, record: schedules.Record) -> schedules.ScheduleStore:
        """The schedules, which put ``jobs`` beside them; ``record`` as for ``jobs``."""
        return schedules.ScheduleStore(self._engine, jobs, record)

    # --- upkeep -----------------------------------------------------------------------------

    def ping(self) -> None:
        """Returns when the database answers. Raises StoreUnavailable, also when its file is not that of the start."""
        if file_identity(self._engine) != self._file:
            log.error("the file of the store was removed or replaced: what is written now is lost; see store restore")
            raise StoreUnavailable(details={"error": "FileReplaced"})
        with begin_transaction(self._engine) as connection:
            connection.execute(select(META.c.key).limit(1))

    def secret(self, name: str) -> bytes:
        """A random secret of 32 bytes, made at first use: in ``state_dir/<name>.key``, or shared through PostgreSQL."""
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            raise ValueError(name)
        if self._engine.dialect.name == "sqlite":
            return load_secret(self._state_dir / f"{name}.key")
        key = f"secret:{name}"
        made = self._insert(META).values(key=key, value=secrets.token_hex(SECRET_BYTES)).on_conflict_do_nothing()
        with begin_transaction(self._engine, write=True) as connection:
            connection.execute(made)
            return bytes.fromhex(connection.execute(select(META.c.value).where(META.c.key == key)).scalar_one())

    def backup(self, path: Path) -> None:
        """Writes a consistent copy while the service runs; ``*.key`` files are not in it.

        Raises ConfigurationError when the file exists, or the store is on PostgreSQL.
        """
        _require_sqlite(self._engine.dialect.name)
        backup_file(Path(self._engine.url.database or ""), path)

    @staticmethod
    def restore(path: Path, url: str | None, state_dir: Path) -> Path | None:
        """Puts a backup in the store's place while nothing uses it; returns where the old one is kept.

        Raises ConfigurationError when the backup is damaged or too new, or the store is in use.
        """
        target = store_url(url, state_dir)
        _require_sqlite(target.get_backend_name())
        return restore_file(path, Path(target.database or ""))

    def close(self) -> None:
        """Lets go of the connections."""
        self._engine.dispose()


class HistoryObserver:
    """Keeps questions in the store soon after they end, in a thread of its own; those of nobody known are left out.

    At most ``HISTORY_WAITING`` wait while the store does not answer; those beyond are dropped, and counted.
    """

    signal = "history"

    def __init__(self, store: Store, facade: Telemetry) -> None:
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
    )


def _api_key(row: Row[Any]) -> ApiKey:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented way to a row's columns by name
    return ApiKey(**{f.name: values[f.name] for f in fields(ApiKey)} | {"role": Role(values["role"])})


def _update_key(connection: Connection, key_id: str, **values: object) -> bool:
    """Changes a key unless it is revoked; False when there is no such key."""
    unrevoked = (_KEYS.c.id == storable_text(key_id)) & _KEYS.c.revoked_at.is_(None)
    return connection.execute(update(_KEYS).where(unrevoked).values(values)).rowcount == 1


def _insert_of(dialect: str) -> Callable[[TableClause], Any]:
    """The dialect's own ``INSERT``, which knows what to do about a conflict."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert
    return sqlite.insert


def _row_values(kept: TableClause, item: object) -> dict[str, object]:
    values = {name: getattr(item, name) for name in kept.c.keys()}  # noqa: SIM118 - not a mapping
    return {name: storable_text(value) if isinstance(value, str) else value for name, value in values.items()}


def _require_sqlite(dialect: str) -> None:
    if dialect != "sqlite":
        raise ConfigurationError(
            "The store is on PostgreSQL, which has tools of its own for this.", hint="Use pg_dump and pg_restore."
        )
