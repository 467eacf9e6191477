"""The service's own state: API keys, history, feedback and shared secrets, in SQLite or PostgreSQL."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, TableClause, column, delete, select, table, update
from sqlalchemy.dialects import sqlite

from sql_synthesizer.errors import ConfigurationError, StoreUnavailable
from sql_synthesizer.model import ApiKey, Role
from sql_synthesizer.model.masking import mask_secrets
from sql_synthesizer.store import schedules
from sql_synthesizer.store._engine import DAMAGED as DAMAGED
from sql_synthesizer.store._engine import (
    RESTORE,
    begin_transaction,
    file_identity,
    migrate_tables,
    open_engine,
    storable_text,
    store_url,
)
from sql_synthesizer.store._files import SECRET_BYTES, backup_file, load_secret, restore_file
from sql_synthesizer.store._history import HistoryEntry as HistoryEntry
from sql_synthesizer.store._history import HistoryObserver as HistoryObserver
from sql_synthesizer.store._usage import add_usage, count_callers, read_usage
from sql_synthesizer.store.deliveries import DeliveryStore
from sql_synthesizer.store.jobs import JobStore, Record
from sql_synthesizer.store.notes import META, Notes

HISTORY_ROWS = 100_000
"""Questions kept at most."""
HISTORY_DAYS = 90
"""Days that a question is kept at most."""
PRUNE_EVERY = 1_000
"""Questions added between two looks at these bounds."""
COMMENT_CHARS = 500
log = logging.getLogger(__name__)


_KEYS = table("api_keys", *(column(field.name) for field in fields(ApiKey)))
_HISTORY = table("history", *(column(field.name) for field in fields(HistoryEntry)))
_FEEDBACK = table("feedback", *map(column, ("question_id", "identity", "rating", "comment", "at")))


RatingRecord = Callable[[str | None], None]
"""Puts a rating on record, given the one that it takes the place of."""


def _ignore(_former: str | None) -> None:
    """The record of whoever keeps none."""


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
        try:
            self.version = migrate_tables(self._engine)
        except StoreUnavailable as error:
            if error.details.get("error") != DAMAGED:
                raise
            what = f"The store {self._engine.url.database} is damaged."
            raise StoreUnavailable(what, hint=RESTORE, details=error.details) from None
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

    def assign_key(self, key_id: str, team: str) -> bool:
        """Gives a key to another team; False when there is no such key or it had been revoked."""
        with begin_transaction(self._engine, write=True) as connection:
            return _update_key(connection, key_id, team=storable_text(team))

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
            adding = self._insert(_HISTORY).on_conflict_do_nothing().returning(_HISTORY.c.question_id)
            new = set(connection.execute(adding, rows).scalars())
            add_usage(connection, self._insert, (e for e in entries if storable_text(e.question_id) in new))
            for identity, at in sorted(used.items()):
                connection.execute(update(_KEYS).where(_KEYS.c.id == identity).values(last_used_at=at))
        self._until_prune -= len(rows)
        if self._until_prune <= 0:
            self._until_prune = PRUNE_EVERY
            self.prune()

    def history(self, identity: str, limit: int = 50) -> list[HistoryEntry]:
        """What this caller asked, newest first."""
        own = _HISTORY.c.identity == storable_text(identity)
        query = select(_HISTORY).where(own).order_by(_HISTORY.c.asked_at.desc())
        with begin_transaction(self._engine) as connection:
            return [HistoryEntry(*row) for row in connection.execute(query.limit(max(0, limit)))]

    def find_question(self, question_id: str) -> HistoryEntry | None:
        """The question of this id, whoever asked it; or of this trace, if that has one alone."""
        wanted = storable_text(question_id)
        query = select(_HISTORY).where((_HISTORY.c.question_id == wanted) | (_HISTORY.c.trace_id == wanted)).limit(2)
        with begin_transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return HistoryEntry(*rows[0]) if wanted and len(rows) == 1 else None

    def team_usage(self, month: str) -> dict[str, tuple[int, int]]:
        """Team -> its answered questions and millionths of a US dollar in a month, written ``2030-01``."""
        with begin_transaction(self._engine) as connection:
            return read_usage(connection, month)

    def count_callers(self, since: float) -> int:
        """Callers that have asked since then, in Unix time."""
        with begin_transaction(self._engine) as connection:
            return count_callers(connection, since)

    def rate(
        self, question_id: str, identity: str, rating: str, comment: str | None = None, record: RatingRecord = _ignore
    ) -> bool:
        """Keeps a caller's rating of its own question, instead of an earlier one; False when it asked no such.

        ``record`` is called before another rating than the former takes effect; what it raises leaves that as it was.
        Comments are cut at ``COMMENT_CHARS`` characters.
        """
        key = {"question_id": storable_text(question_id), "identity": storable_text(identity)}
        value = {
            "rating": storable_text(rating),
            "comment": mask_secrets(storable_text(comment or ""))[:COMMENT_CHARS],
            "at": time.time(),
        }
        # The lock makes callers that rate one answer at once come one after the other.
        asked = select(_HISTORY.c.question_id).filter_by(**key).with_for_update()
        with begin_transaction(self._engine, write=True) as connection:
            if connection.execute(asked).one_or_none() is None:
                return False
            former = connection.execute(select(_FEEDBACK.c.rating).filter_by(**key)).scalar()
            if former != value["rating"]:
                record(former)
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
