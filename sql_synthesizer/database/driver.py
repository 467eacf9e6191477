"""What every database has to offer, and what several of them share."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from sqlalchemy import URL, create_engine

from sql_synthesizer.connecting import Waiter
from sql_synthesizer.database.faults import DriverFault
from sql_synthesizer.errors import DatabaseUnavailable, SettingNotHeld, StatementTimeout

OPENED_AT_ONCE = 32
"""Connections to a database that may be on their way at a time, among them those that nobody waits for any more."""
BATCH = 500
"""Rows fetched at once; the caps are looked at after each batch."""

Batches = Generator[Sequence[Sequence[Any]], None, None]


class RunAgain(Exception):
    """A statement has to begin anew, in another way: by ``run``."""

    def __init__(self, run: Callable[[], tuple[Sequence[str], Batches]]) -> None:
        super().__init__()
        self.run = run


class Driver(ABC):
    """One database as its driver sees it; ``raw`` is always the driver's own connection."""

    grace = 0.5
    """Seconds past the deadline that the server is given to cancel by itself before its ``stopper`` is called."""
    breaks = True
    """Whether the ``stopper`` leaves the connection unusable."""
    hangs = True
    """Whether a connection may take longer than it is told to: names, several addresses, servers that drip."""
    errors: tuple[type[Exception], ...]

    def __init__(self, kind: str, engine_url: URL) -> None:
        self._waiter = Waiter(OPENED_AT_ONCE)
        self.kind = kind
        """One of ``dialects.DIALECTS``."""
        self.engine_url = engine_url
        """What SQLAlchemy reads of the database; it is connected to by ``connect``."""

    def connect(self, timeout: float) -> Any:
        """Opens a connection, within ``timeout`` seconds, whose session is read-only and reads as the guard does.

        Raises DatabaseUnavailable, SettingNotHeld, PrivilegedLogin.
        """
        if not self.hangs:
            return self._connect(timeout)
        try:
            return self._waiter.call(lambda: self._connect(timeout), timeout, lambda late: late.close())
        except TimeoutError:
            raise DatabaseUnavailable(details={"connection": f"none within {timeout:.3g} s"}) from None

    def _connect(self, timeout: float) -> Any:
        raw = self._open_connection(timeout)
        try:
            self._settle_session(raw)
        except BaseException:
            raw.close()
            raise
        return raw

    @abstractmethod
    def _open_connection(self, timeout: float) -> Any:
        """A connection as the driver makes it, with what the URL says."""

    def _settle_session(self, raw: Any) -> None:  # noqa: B027 - all may be said when the connection is opened
        """Makes the session read only, pins its settings and verifies them, and looks at what its login may do."""

    def begin(self, raw: Any, seconds: float, max_rows: int | None) -> None:  # noqa: B027 - the session may have limits
        """Starts a read-only transaction, pinned again, whose statements the server cancels after ``seconds``."""

    @abstractmethod
    def run(self, raw: Any, sql: str, deadline: float) -> tuple[Sequence[str], Batches]:
        """Runs one query; the column names and the rows in batches. Raises RunAgain, also between two batches."""

    def may_write(self, raw: Any) -> bool:
        """Whether the login has a right to change anything, which no statement needs; where there are logins."""
        del raw
        return False

    def end(self, raw: Any) -> bool:
        """Ends the transaction; False when the connection cannot be used again."""
        del raw
        return True

    def stopper(self, raw: Any) -> Callable[[], None]:
        """What makes a call that hangs in ``raw`` return; callable from another thread, never blocking.

        Raises one of ``errors`` when the connection is lost.
        """
        del raw
        return lambda: None

    def session_id(self, raw: Any) -> int | None:
        """What the server calls the session; None where another cannot end it."""
        del raw
        return None

    def end_session(self, raw: Any, session: int, age: float) -> bool:
        """Asks the server to end another session, one that it had ``age`` seconds ago; True once there is none."""
        del raw, session, age
        return True

    @abstractmethod
    def classify_error(self, error: Exception) -> DriverFault:
        """What an exception of the driver means."""


def url_arguments(url: URL) -> dict[str, Any]:
    """What a URL says, as the arguments of the driver's own function. Raises SQLAlchemy's errors about a URL."""
    _, arguments = create_engine(url).dialect.create_connect_args(url)
    return dict(arguments)


def verify_pins(pins: Mapping[str, object], found: Sequence[object], listed: Callable[[str], object] = str) -> None:
    """Compares what the server says of its settings with their pins; ``listed`` brings both into one form.

    Raises SettingNotHeld.
    """
    wrong = {
        name: value
        for (name, wanted), value in zip(pins.items(), found, strict=True)
        if listed(str(wanted)) != listed(str(value))
    }
    if wrong:
        raise SettingNotHeld(details={name: f"{value}, not {pins[name]}" for name, value in wrong.items()})


def to_milliseconds(seconds: float) -> int:
    """Whole milliseconds, at least one: zero would mean no limit."""
    return max(1, math.ceil(seconds * 1000))


def fetch_batches(cursor: Any, deadline: float) -> Batches:
    """The rows of a cursor. Raises StatementTimeout when the deadline passes between two batches."""
    while rows := cursor.fetchmany(BATCH):
        yield rows
        if time.monotonic() > deadline:
            raise StatementTimeout


def make_socket_stopper(descriptor: int) -> Callable[[], None]:
    """Closes the conversation on a socket under the thread that waits for it."""

    def stop_socket() -> None:
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as twin:
            twin.shutdown(socket.SHUT_RDWR)

    return stop_socket
