"""Schemas kept for a while, so that a question does not wait for them."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NoReturn

import sqlalchemy
from sqlalchemy import Select, event, select
from sqlalchemy.exc import SQLAlchemyError

from sql_synthesizer.errors import (
    ConfigurationError,
    DatabaseFailed,
    DatabaseUnavailable,
    PrivilegeMissing,
    SchemaTimeout,
    ServiceFailure,
    SqlSynthesizerError,
    StatementInvalid,
    StatementRefused,
    StatementTimeout,
    UnknownDatabase,
)
from sql_synthesizer.model import Cause, Column, Schema, Table, ValueLookup, fingerprint
from sql_synthesizer.model.dialects import find_dialect
from sql_synthesizer.schema.reflection import FAULTS_HINT, format_faults, hide_unknown, read_schema
from sql_synthesizer.schema.values import NO_VALUES, Connect, ValueIndex
from sql_synthesizer.settings import DatabaseSettings, Settings

logger = logging.getLogger("sql_synthesizer.schema")

STALE_FACTOR = 10
"""How many times its normal life a schema is used while the database cannot be read."""
RETRY_SECONDS = 5.0
"""How long a stale schema or value index is used before the database is tried again."""
REREAD_SECONDS = 10.0
"""How old a schema is at least that is read again because a name was not found in it."""
FAILURE_SECONDS = 1.0
"""How long a failure is answered with, where there is nothing to go on with."""


@dataclass(slots=True)
class _SchemaEntry:
    config: DatabaseSettings
    lock: threading.Lock = field(default_factory=threading.Lock)
    schema: Schema | None = None
    reading: Future[Schema] | None = None
    """What the thread that reads it will give."""
    read_at: float = 0.0
    check_at: float = 0.0
    values: ValueIndex | None = None
    failure: ServiceFailure | None = None
    """Why the last reading failed."""
    failed_at: float = 0.0
    bridged: bool = False
    """Whether an older schema is used meanwhile."""
    fault: str = ""
    """What the settings name in vain, by the last reading."""
    doubted: dict[str, Table] = field(default_factory=dict)
    """Tables that the database would not let the service read, until it does."""

    @property
    def unreadable(self) -> bool:
        """Whether the last reading failed although the database could be reached, which others look at."""
        return self.failure is not None and not isinstance(self.failure, DatabaseUnavailable)

    @property
    def names_things(self) -> bool:
        config = self.config
        return any((config.schemas, config.tables, config.hidden, config.sensitive, config.shareable))


class SchemaCache:
    """Schemas of all databases; each is read by a thread of its own and believed for ``schema_ttl`` seconds.

    ``connect`` gives a read-only connection for a name and a number of seconds, ``report`` hears of what was read.
    """

    def __init__(
        self,
        connect: Connect,
        databases: Sequence[DatabaseSettings],
        settings: Settings,
        report: Callable[[Schema], None] = lambda _: None,
    ) -> None:
        self._report = report
        self._connect = connect
        self._settings = settings
        self._entries = {config.name: _SchemaEntry(config) for config in databases}

    def get(self, name: str, deadline: float = float("inf")) -> Schema:
        """The schema, read anew when it is too old; waits for that until ``deadline`` on the monotonic clock.

        While the database fails, a schema of up to ten times its normal age is used. While the settings name what it
        does not hold, the last schema without such a fault stays in force; without one DatabaseFailed is raised.
        Raises UnknownDatabase, SchemaTimeout and what connecting raises.
        """
        entry = self._find_entry(name)
        with entry.lock:
            known, reading = entry.schema, entry.reading
            if known is not None and (reading is not None or time.monotonic() < entry.check_at):
                return known
            if reading is None:
                # Else those who waited would each wait for the same failure, one after the other.
                if (
                    not entry.bridged
                    and entry.failure is not None
                    and time.monotonic() < entry.failed_at + FAILURE_SECONDS
                ):
                    raise copy(entry.failure)
                reading = entry.reading = Future()
                threading.Thread(target=self._fill, args=(entry, reading), name="schema", daemon=True).start()
        try:
            return reading.result(min(deadline - time.monotonic(), threading.TIMEOUT_MAX))
        except TimeoutError:
            if known is None:
                raise SchemaTimeout from None
            return known
        except ServiceFailure as error:
            raise copy(error) from None

    def reread(self, name: str, version: str, deadline: float) -> Schema | None:
        """The schema if it has changed since that version; read for that unless it was within the last 10 seconds."""
        entry = self._find_entry(name)
        with entry.lock:
            if entry.reading is None and time.monotonic() >= max(entry.read_at, entry.failed_at) + REREAD_SECONDS:
                entry.check_at = 0.0
        with suppress(ServiceFailure):
            found = self.get(name, deadline)
            return found if found.version != version else None
        return None

    def refresh(self, name: str) -> Schema:
        """Reads the schema now. Raises UnknownDatabase, ConfigurationError and what connecting raises."""
        return self._read_schema(self._find_entry(name))

    def check_settings(self) -> None:
        """Looks for what the settings name in every database that can be read. Raises ConfigurationError."""
        entries = [entry for entry in self._entries.values() if entry.names_things]
        with ThreadPoolExecutor(max(1, len(entries))) as threads:
            faults = [fault for fault in threads.map(self._find_fault, entries) if fault]
        if faults:
            raise ConfigurationError("\n".join(faults), hint=FAULTS_HINT)

    def ping(self, name: str, timeout: float, *, last: bool) -> None:
        """Raises while the schema cannot be read, or what the settings name was never found.

        With ``last``, also when the last reading failed or did not find it, and while there is no table, or one that
        was doubted, that can be read.
        """
        entry = self._find_entry(name)
        failed = entry.unreadable
        if (failed or entry.names_things) and (last or entry.schema is None or (failed and not entry.bridged)):
            self.get(name, time.monotonic() + timeout)
        if last:
            if entry.failure is not None and entry.unreadable:
                raise copy(entry.failure)
            if entry.fault:
                raise ConfigurationError(entry.fault, hint=FAULTS_HINT)
            if entry.schema is not None and not entry.schema.tables:
                raise PrivilegeMissing
            self._check_doubted(entry, timeout)

    def count_left_out(self) -> Iterator[tuple[dict[str, str], float]]:
        """How many tables and views of each database are not offered, by cause."""
        for name, entry in self._entries.items():
            found = (
                Counter(one.cause for one in entry.schema.left_out) if entry.schema is not None else Counter[Cause]()
            )
            yield from (({"database": name, "cause": cause}, found[cause]) for cause in Cause)

    @contextmanager
    def doubting(self, name: str, tables: Iterable[str]) -> Iterator[None]:
        """Has ``ping`` look whether these tables can be read, once the database has said within that they cannot."""
        try:
            yield
        except PrivilegeMissing:
            entry = self._find_entry(name)
            known = [entry.schema and entry.schema.table(table) for table in tables]
            entry.doubted.update({table.name: table for table in known if table})
            raise

    def _check_doubted(self, entry: _SchemaEntry, timeout: float) -> None:
        for name, table in list(entry.doubted.items()):
            with suppress(StatementInvalid), self._connect(entry.config.name, timeout) as connection:
                connection.execute(_empty_query(table, table.columns)).close()
            entry.doubted.pop(name, None)  # as it was read, or is not there any more

    def fingerprints(self) -> list[tuple[Mapping[str, str], float]]:
        """A number for each schema that has been read, which differs when the schema does."""
        versions = {name: entry.schema.version for name, entry in self._entries.items() if entry.schema}
        return [({"database": name}, float(fingerprint(version))) for name, version in versions.items()]

    def find_missing(self, name: str, reads: Mapping[str, Collection[str]], timeout: float) -> set[str]:
        """Of tables and their columns those that are gone, as ``table`` and ``table.column``.

        Each table is asked for its columns; the schema is read anew only when one does not answer.
        Raises what connecting raises.
        """
        schema = self.get(name, time.monotonic() + timeout)
        if missing := _missing_names(schema, reads) or self._find_silent(name, schema, reads, timeout):
            missing = _missing_names(self.refresh(name), reads)
        return missing

    def _find_silent(self, name: str, schema: Schema, reads: Mapping[str, Collection[str]], timeout: float) -> set[str]:
        """Tables that the database will not give these columns of."""
        silent = set()
        for known in reads:
            table = schema.table(known)
            columns = [c for c in table.columns if c.name.casefold() in reads[known]] if table else []
            if table is None or not columns:
                continue
            try:
                with self._connect(name, timeout) as connection:
                    connection.execute(_empty_query(table, columns)).close()
            except (StatementInvalid, PrivilegeMissing):
                silent.add(known)
        return silent

    def values(self, name: str) -> ValueLookup:
        """Where words occur as values; found by a background thread that the first call starts."""
        entry = self._find_entry(name)
        if not self._settings.value_index:
            return NO_VALUES
        schema = self.get(name)
        with entry.lock:
            current = entry.values
            life = RETRY_SECONDS if current is not None and current.failed else self._settings.schema_ttl * STALE_FACTOR
            if current is None or current.version != schema.version or current.age() > life:
                current = entry.values = ValueIndex(self._connect, schema, previous=current)
                current.start()
            return current

    def _find_entry(self, name: str) -> _SchemaEntry:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownDatabase from None

    def _fill(self, entry: _SchemaEntry, reading: Future[Schema]) -> None:
        """Reads a schema for all who wait for it."""
        try:
            found, failure = self._read_or_keep(entry), None
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            found, failure = None, error
        with entry.lock:
            entry.reading = None
        if found is None:
            reading.set_exception(failure)
        else:
            reading.set_result(found)

    def _find_fault(self, entry: _SchemaEntry) -> str:
        try:
            self.refresh(entry.config.name)
        except ConfigurationError as error:
            return error.message
        except SqlSynthesizerError:
            logger.warning("database %s is not ready until what its settings name was found", entry.config.name)
        return ""

    def _read_or_keep(self, entry: _SchemaEntry) -> Schema:
        try:
            return self._read_schema(entry)
        except (ServiceFailure, ConfigurationError) as error:
            now = time.monotonic()
            refused = isinstance(error, ConfigurationError)
            if isinstance(error, ConfigurationError):
                # What it names, and what is near, is for the log only.
                error = DatabaseFailed("The settings of the database name what it does not hold.")
            too_old = now - entry.read_at > self._settings.schema_ttl * STALE_FACTOR
            entry.bridged = entry.schema is not None and (refused or not too_old)
            entry.failure, entry.failed_at = copy(error), now
            if entry.schema is None or not entry.bridged:
                raise error from None
            entry.check_at = now + min(RETRY_SECONDS, self._settings.schema_ttl)
            logger.warning(
                "database %s: its schema cannot be read (%s); the last is used", entry.config.name, error.reason
            )
            return entry.schema

    def _read_schema(self, entry: _SchemaEntry) -> Schema:
        seconds = self._settings.schema_timeout
        limit = time.monotonic() + seconds

        def check_limit(*_: Any) -> None:
            # Some drivers cannot be interrupted; a schema takes many statements.
            if time.monotonic() > limit:
                raise SchemaTimeout

        try:
            with self._connect(entry.config.name, seconds) as connection:
                event.listen(connection, "before_cursor_execute", check_limit)
                known = find_dialect(connection.dialect.name)
                dialect = known.name if known else connection.dialect.name
                schema, faults = read_schema(connection, entry.config, dialect)
        except StatementTimeout:
            raise SchemaTimeout from None
        except (SQLAlchemyError, StatementInvalid, StatementRefused) as error:
            # Whatever a driver says of these statements: nobody typed them.
            logger.warning("database %s: reading its schema failed: %s", entry.config.name, type(error).__name__)
            raise DatabaseFailed("The schema of the database cannot be read.") from None
        if faults:
            self._refuse_schema(entry, schema, format_faults(entry.config, faults))
        entry.schema, entry.fault = schema, ""
        entry.failure, entry.bridged = None, False
        entry.read_at = time.monotonic()
        entry.check_at = entry.read_at + self._settings.schema_ttl
        self._report(schema)
        return schema

    @staticmethod
    def _refuse_schema(entry: _SchemaEntry, found: Schema, fault: str) -> NoReturn:
        """Leaves the last schema in force, with columns hidden that it does not know. Raises ConfigurationError."""
        if fault != entry.fault:
            logger.error("%s", fault)
        entry.fault = fault
        if entry.schema is not None:
            entry.schema = hide_unknown(entry.schema, found)
        raise ConfigurationError(fault, hint=FAULTS_HINT)


def _empty_query(table: Table, columns: Iterable[Column]) -> Select[*tuple[Any, ...]]:
    """Reads the columns of no row: the database says whether they are there."""
    named: list[sqlalchemy.ColumnClause[object]] = [sqlalchemy.column(column.name) for column in columns]
    return select(*named).select_from(sqlalchemy.table(table.name, schema=table.schema)).where(sqlalchemy.false())


def _missing_names(schema: Schema, reads: Mapping[str, Collection[str]]) -> set[str]:
    missing = set()
    for name, columns in reads.items():
        if (table := schema.table(name)) is None:
            missing.add(name)
        else:
            missing |= {f"{name}.{column}" for column in columns if table.column(column) is None}
    return missing
