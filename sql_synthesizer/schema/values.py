"""An index of the short text values in a database, so that a filter uses a value as it is stored."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

import sqlalchemy
from sqlalchemy import Connection, String, cast, func, select
from sqlalchemy.exc import SQLAlchemyError

from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.model import ColumnKind, Schema, Table, ValueLookup, ValueMatch

logger = logging.getLogger("sql_synthesizer.schema")

VALUES_PER_COLUMN = 2_000
VALUES_IN_ALL = 200_000
VALUE_CHARACTERS = 64
BUILD_SECONDS = 5.0
LEAST_SECONDS = 0.1
WAIT_SECONDS = 1.0
MATCHES = 20


Connect = Callable[[str, float], AbstractContextManager[Connection]]
"""Gives a read-only connection to the database of a name, for a number of seconds at most."""


class _NoValues:
    def find(self, text: str) -> Sequence[ValueMatch]:
        """Nothing."""
        del text
        return ()


NO_VALUES: ValueLookup = _NoValues()
"""Finds nothing."""


class ValueIndex:
    """The distinct short values of the text columns that are not sensitive, compared without case.

    Columns of more than 2,000 distinct values are left out: they hold names of things, not kinds. Until it is
    built, and when that fails, ``previous`` is asked.
    """

    def __init__(self, connect: Connect, schema: Schema, *, previous: ValueIndex | None = None) -> None:
        self.version = schema.version
        self.failed = False
        self._connect = connect
        self._schema = schema
        # A failed index is only as good as what it stands in for.
        if previous is not None and previous.failed:
            previous = previous.previous or previous
        self.previous: ValueIndex | None = previous
        self._made = time.monotonic()
        self._ready = threading.Event()
        self._places: dict[str, list[ValueMatch]] = {}
        self._count = 0

    def start(self) -> None:
        """Builds the index in the background."""
        threading.Thread(target=self._build_index, name="value-index", daemon=True).start()

    def age(self) -> float:
        """Seconds since it was made, or since that failed."""
        return time.monotonic() - self._made

    def find(self, text: str) -> Sequence[ValueMatch]:
        """The places where ``text`` is a whole value; waits at most a second for the first index."""
        previous = self.previous
        if previous is not None:
            return previous.find(text)
        if not self._ready.wait(WAIT_SECONDS):
            return ()
        return tuple(self._places.get(text.strip().casefold(), ())[:MATCHES])

    def _build_index(self) -> None:
        limit = time.monotonic() + BUILD_SECONDS
        columns = self._text_columns()
        try:
            while self._read_columns(columns, limit):
                pass
        except (SqlSynthesizerError, SQLAlchemyError) as error:
            logger.warning(
                "database %s: its value index cannot be built: %s", self._schema.database, type(error).__name__
            )
            self._made = time.monotonic()
            self.failed = True
        else:
            self.previous = None
        finally:
            self._ready.set()

    def _text_columns(self) -> Iterator[tuple[Table, str]]:
        for table in self._schema.tables:
            for column in table.columns:
                if column.kind is ColumnKind.TEXT and not column.sensitive:
                    yield table, column.name

    def _read_columns(self, columns: Iterator[tuple[Table, str]], limit: float) -> bool:
        """Adds columns up to one that cannot be read, which may end the transaction; whether it met one."""
        seconds = max(LEAST_SECONDS, limit - time.monotonic())
        with self._connect(self._schema.database, seconds) as connection:
            for table, column in columns:
                if time.monotonic() > limit or self._count >= VALUES_IN_ALL:
                    logger.info("database %s: its value index is cut at its limits", self._schema.database)
                    return False
                try:
                    self._add_column(table, column, connection)
                except SQLAlchemyError as error:
                    name = type(error).__name__
                    logger.debug(
                        "database %s: %s.%s is not indexed: %s", self._schema.database, table.name, column, name
                    )
                    return True
        return False

    def _add_column(self, table: Table, column: str, connection: Connection) -> None:
        value = cast(sqlalchemy.column(column), String)
        query = (
            select(value)
            .distinct()
            .select_from(sqlalchemy.table(table.name, schema=table.schema))
            .where(func.length(value) <= VALUE_CHARACTERS * 4)
            .limit(VALUES_PER_COLUMN + 1)
        )
        found = [row[0] for row in connection.execute(query)]
        if len(found) > VALUES_PER_COLUMN:
            return
        for text in found[: VALUES_IN_ALL - self._count]:
            if isinstance(text, str) and text.strip() and len(text) <= VALUE_CHARACTERS:
                self._places.setdefault(text.strip().casefold(), []).append(ValueMatch(table.name, column, text))
                self._count += 1
