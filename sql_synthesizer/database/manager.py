"""The pools of all configured databases and the one way to run a statement in them."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine
from sqlalchemy.exc import DBAPIError

from sql_synthesizer.database.cells import collect_rows
from sql_synthesizer.database.driver import Batches, Driver, RunAgain
from sql_synthesizer.database.reaper import Reaper
from sql_synthesizer.database.urls import read_url
from sql_synthesizer.database.watchdog import Limit, Watchdog
from sql_synthesizer.errors import (
    Cancelled,
    ConfigurationError,
    DatabaseUnavailable,
    PoolTimeout,
    StatementCancelled,
    StatementInvalid,
    StatementRefused,
    StatementTimeout,
    UnknownDatabase,
)
from sql_synthesizer.model import Rows
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.traceparent import format_comment

logger = logging.getLogger("sql_synthesizer.database")

LOG_CHARACTERS = 500
RECYCLE_SECONDS = 1800
LOST_SECONDS = 15.0
"""How long a failed ping is believed, unless a connection is opened before: longer than between two pings."""
LOST_PATIENCE = 0.5
"""Seconds in which an idle connection to a database whose ping failed has to answer."""
MARGIN = 0.05
"""Seconds before its deadline from which on a statement that was cancelled is one that took too long."""
_QUERY = re.compile(r"[\s(]*(?:select|with|values|table)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Pool:
    config: DatabaseSettings
    driver: Driver
    engine: Engine
    pool: QueuePool
    slots: threading.Semaphore
    size: int
    redact: Callable[[str], str]


class DatabaseManager:
    """Runs read-only statements in the configured databases. Raises ConfigurationError, all faults together."""

    def __init__(self, databases: Sequence[DatabaseSettings], settings: Settings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._watchdog = Watchdog()
        self._reaper = Reaper(self._watchdog, telemetry)
        self._connecting = threading.local()
        self._logins: dict[str, tuple[float, bool]] = {}
        """Database -> until when it holds (monotonic), and whether the login may write."""
        self._lost: dict[str, tuple[float, DatabaseUnavailable]] = {}
        """Database -> until when it is taken to be lost (monotonic), and what its ping raised."""
        self._pools = self._build_pools(databases)
        self.names = tuple(self._pools)
        self.default = settings.default_database or next(iter(self.names), "")
        if self.default and self.default not in self._pools:
            raise ConfigurationError(f"The default database {self.default!r} is none of: {', '.join(self.names)}.")
        telemetry.declared.declare(vocabulary.DATABASE, *self.names)
        telemetry.read(vocabulary.POOL_IN_USE, lambda: self._sum_pool_levels(lambda pool: pool.pool.checkedout()))
        telemetry.read(vocabulary.POOL_LIMIT, lambda: self._sum_pool_levels(lambda pool: pool.size))
        telemetry.read(vocabulary.POOL_USE, lambda: self._pool_levels(lambda pool: pool.pool.checkedout() / pool.size))
        telemetry.read(vocabulary.WRITING_LOGINS, lambda: self._pool_levels(self._may_write))

    def config(self, name: str) -> DatabaseSettings:
        """The settings of a database. Raises UnknownDatabase."""
        return self._find_pool(name).config

    def dialect(self, name: str) -> str:
        """The kind of a database, one of ``vocabulary.DATABASE_TYPE``. Raises UnknownDatabase."""
        return self._find_pool(name).driver.kind

    def execute(
        self, name: str, sql: str, *, max_rows: int, deadline: float, cancellation: Cancellation | None = None
    ) -> Rows:
        """Runs one query; ``deadline`` is on the monotonic clock, in seconds.

        Raises StatementInvalid, StatementRefused, Cancelled, and what is the service's failure: StatementTimeout,
        PoolTimeout, DatabaseUnavailable, DatabaseFailed, PrivilegeMissing, StatementCancelled.
        """
        pool = self._find_pool(name)
        _check_query(sql)
        if self._settings.sql_comment and (operation := self._telemetry.current()) is not None:
            sql += format_comment(operation)
        with self._open_session(pool, deadline, max_rows, cancellation) as connection:
            raw = _raw_connection(connection)
            try:
                return self._collect_rows(lambda: pool.driver.run(raw, sql, deadline), max_rows)
            except RunAgain as again:
                return self._collect_rows(again.run, max_rows)

    def _collect_rows(self, run: Callable[[], tuple[Sequence[str], Batches]], max_rows: int) -> Rows:
        columns, batches = run()
        with closing(batches):
            return collect_rows(columns, batches, max_rows, self._settings.byte_cap)

    @contextmanager
    def connect(self, name: str, timeout: float | None = None) -> Iterator[Connection]:
        """A pooled read-only connection for ``timeout`` seconds, by default the statement timeout."""
        seconds = self._settings.statement_timeout if timeout is None else timeout
        with self._open_session(self._find_pool(name), time.monotonic() + seconds, None) as connection:
            yield connection

    def ping(self, name: str, timeout: float) -> str:
        """Opens a connection of its own and asks for an answer; what to tell of it. Raises DatabaseUnavailable.

        Until it succeeds again, questions that would need a new connection fail at once.
        """
        pool = self._find_pool(name)
        try:
            self._ping_pool(pool, timeout)
        except DatabaseUnavailable as error:
            self._lost[name] = (time.monotonic() + LOST_SECONDS, error)
            raise
        return "the login may write" if self._may_write(pool) else ""

    def _ping_pool(self, pool: _Pool, timeout: float) -> None:
        try:
            raw = self._open_connection(pool.config.name, pool.driver, timeout)
            with closing(raw), self._watchdog.watch(Limit(time.monotonic() + timeout), pool.driver.stopper(raw)):
                cursor = raw.cursor()
                cursor.execute("SELECT 1")
                cursor.fetchall()
                self._examine_login(pool, raw)
        except pool.driver.errors as error:
            self._log_error(pool, error)
            raise _unavailable(pool.config.name) from None

    def _examine_login(self, pool: _Pool, raw: Any) -> None:
        """Finds out from time to time whether the login may write."""
        name, now = pool.config.name, time.monotonic()
        if now >= self._logins.get(name, (now, False))[0]:
            writes = pool.driver.may_write(raw)
            self._logins[name] = (now + RECYCLE_SECONDS, writes)
            if writes:
                logger.warning("database %s: the login may write; docs/statements.md has a role that only reads", name)

    def _may_write(self, pool: _Pool) -> bool:
        return self._logins.get(pool.config.name, (0.0, False))[1]

    def close(self) -> None:
        """Closes every idle connection."""
        for pool in self._pools.values():
            pool.engine.dispose()
        self._watchdog.close()

    # --- pools ------------------------------------------------------------------------------

    def _build_pools(self, databases: Sequence[DatabaseSettings]) -> dict[str, _Pool]:
        faults: list[str] = []
        pools: dict[str, _Pool] = {}
        for config in databases:
            try:
                pools[config.name] = self._new_pool(config)
            except ConfigurationError as error:
                faults.append(f"{config.name}: {error.message} {error.hint}")
        if faults:
            raise ConfigurationError("A database cannot be used.\n" + "\n".join(faults))
        return pools

    def _new_pool(self, config: DatabaseSettings) -> _Pool:
        driver, redact = read_url(config, self._settings)
        size = config.pool_size or self._settings.pool_size
        engine = create_engine(
            driver.engine_url,
            creator=lambda: self._open_connection(config.name, driver, self._connecting.seconds),
            poolclass=QueuePool,
            pool_size=size,
            max_overflow=0,
            pool_recycle=RECYCLE_SECONDS,
            pool_reset_on_return=None,
        )
        assert isinstance(engine.pool, QueuePool)  # noqa: S101 - tells the type checker
        return _Pool(config, driver, engine, engine.pool, threading.Semaphore(size), size, redact)

    def _open_connection(self, name: str, driver: Driver, seconds: float) -> Any:
        try:
            raw = driver.connect(seconds)
        except DatabaseUnavailable as error:
            told = ", ".join(f"{key}: {value}" for key, value in error.details.items())
            logger.error("database %s: %s (%s)", name, error.reason, told)  # noqa: TRY400 - told in full
            if error.message == DatabaseUnavailable.default_message:  # another says more
                error = _unavailable(name)
            raise error from None
        self._lost.pop(name, None)
        return raw

    def _find_pool(self, name: str) -> _Pool:
        try:
            return self._pools[name]
        except KeyError:
            raise UnknownDatabase(
                f"There is no database named {name[:64]!r}; known: {', '.join(self._pools) or 'none'}."
            ) from None

    def _pool_levels(self, level: Callable[[_Pool], float]) -> Iterable[tuple[Mapping[str, str], float]]:
        return [({"database": name}, level(pool)) for name, pool in self._pools.items()]

    def _sum_pool_levels(self, level: Callable[[_Pool], int]) -> Iterable[tuple[Mapping[str, str], float]]:
        sums: Counter[str] = Counter()
        for pool in self._pools.values():
            sums[pool.driver.kind] += level(pool)
        return [({"database_type": type}, total) for type, total in sums.items()]

    # --- one connection ---------------------------------------------------------------------

    @contextmanager
    def _open_session(
        self, pool: _Pool, deadline: float, max_rows: int | None, cancellation: Cancellation | None = None
    ) -> Iterator[Connection]:
        """A connection in a read-only transaction that ends, at the latest, shortly after the deadline."""
        cancellation = cancellation or Cancellation()
        cancellation.check()
        connection = self._acquire_connection(pool, deadline, max_rows)
        raw = _raw_connection(connection)
        limit = Limit(deadline + pool.driver.grace)
        reusable = False
        session = None
        try:
            session = pool.driver.session_id(raw)
            with self._watchdog.watch(limit, pool.driver.stopper(raw)):
                try:
                    with cancellation.stopping(lambda: self._watchdog.expire(limit)):
                        yield connection
                finally:
                    reusable = pool.driver.end(raw)
            if not reusable:
                connection.invalidate()
        except BaseException as error:
            fault = self._translate_error(pool, error, fired=limit.fired, late=time.monotonic() > deadline - MARGIN)
            if cancellation.cancelled and isinstance(error, Exception):
                fault = Cancelled()
            lost = not reusable or isinstance(fault, DatabaseUnavailable) or (limit.fired and pool.driver.breaks)
            if lost or not isinstance(error, Exception):
                connection.invalidate()
            if limit.fired and session is not None:
                self._reaper.end_session(pool.config.name, pool.driver, session)
            if fault is error:
                raise
            raise fault from None
        finally:
            try:
                connection.close()
            finally:
                pool.slots.release()

    def _acquire_connection(self, pool: _Pool, deadline: float, max_rows: int | None) -> Connection:
        with self._telemetry.operation(vocabulary.CONNECTION_WAIT, database=pool.config.name) as wait:
            patience = min(self._settings.pool_wait, deadline - time.monotonic())
            if not pool.slots.acquire(timeout=max(0.0, patience)):
                wait.details.timed_out = 1
                raise PoolTimeout
            try:
                return self._open_transaction(pool, deadline, max_rows)
            except BaseException:
                pool.slots.release()
                raise

    def _open_transaction(self, pool: _Pool, deadline: float, max_rows: int | None) -> Connection:
        """A connection that has just begun a transaction; those that broke while they were idle are replaced."""
        for left in range(pool.size, -1, -1):
            connection = self._checkout_connection(pool, deadline)
            try:
                self._begin_transaction(pool, connection, deadline, max_rows)
            except BaseException as error:
                connection.invalidate()
                connection.close()
                if not isinstance(error, _StaleError):
                    raise
                if not left:
                    break
            else:
                return connection
        raise _unavailable(pool.config.name)

    def _loss(self, pool: _Pool) -> DatabaseUnavailable | None:
        """What the last ping raised, while that is believed."""
        until, error = self._lost.get(pool.config.name, (0.0, None))
        return copy(error) if time.monotonic() < until else None

    def _checkout_connection(self, pool: _Pool, deadline: float) -> Connection:
        if not pool.pool.checkedin() and (loss := self._loss(pool)) is not None:
            raise loss
        self._connecting.seconds = max(0.1, min(self._settings.connect_timeout, deadline - time.monotonic()))
        try:
            return pool.engine.connect()
        except DBAPIError as error:
            self._log_error(pool, error.orig or error)
            raise _unavailable(pool.config.name) from None

    def _begin_transaction(self, pool: _Pool, connection: Connection, deadline: float, max_rows: int | None) -> None:
        now = time.monotonic()
        raw = _raw_connection(connection)
        patience = min(deadline, now + (LOST_PATIENCE if self._loss(pool) else self._settings.connect_timeout))
        limit = Limit(patience)
        try:
            with self._watchdog.watch(limit, pool.driver.stopper(raw)):
                pool.driver.begin(raw, max(0.001, deadline - now), max_rows)
        except pool.driver.errors as error:
            if limit.fired:
                raise (StatementTimeout() if patience == deadline else _unavailable(pool.config.name)) from None
            fault = self._translate_error(pool, error, fired=False)
            raise (_StaleError if isinstance(fault, DatabaseUnavailable) else fault) from None

    def _translate_error(self, pool: _Pool, error: BaseException, *, fired: bool, late: bool = False) -> BaseException:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if fired and isinstance(error, Exception):
            return StatementTimeout()
        if not isinstance(cause, pool.driver.errors):
            return error
        fault = pool.driver.classify_error(cause).to_error()
        if late and isinstance(fault, StatementCancelled):  # by the server itself, which says no more than that
            fault = StatementTimeout()
        if isinstance(fault, DatabaseUnavailable):
            fault = _unavailable(pool.config.name)
        if isinstance(fault, StatementInvalid):
            # What an analyst mistyped is the analyst's business; the driver quotes it, and values of rows.
            self._log_error(pool, cause, logging.DEBUG, text=self._settings.log_text)
        else:
            self._log_error(pool, cause)
        return fault

    @staticmethod
    def _log_error(pool: _Pool, error: BaseException, level: int = logging.WARNING, *, text: bool = True) -> None:
        told = pool.redact(str(error)).partition("\nLINE ")[0] if text else "(log_text is off)"
        told = " ".join(told.split())[:LOG_CHARACTERS]
        logger.log(level, "database %s: %s: %s", pool.config.name, type(error).__name__, told)


class _StaleError(Exception):
    """A pooled connection turned out to be broken before it was used."""


def _unavailable(name: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(f"The database {name} cannot be reached.")


def _raw_connection(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _check_query(sql: str) -> None:
    if not _QUERY.match(sql):
        raise StatementRefused("The statement was refused: only a query, such as SELECT, can be run.")
    if "\0" in sql or sql.encode(errors="ignore").decode() != sql:
        raise StatementInvalid(
            "The statement holds characters that no database takes.", details={"class": "syntax", "identifier": ""}
        )
