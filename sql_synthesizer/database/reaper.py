"""Ends, over a connection of its own, what goes on in a server although its client has hung up."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing

from sql_synthesizer.database.driver import Driver
from sql_synthesizer.database.watchdog import Limit, Watchdog
from sql_synthesizer.errors import DatabaseUnavailable
from sql_synthesizer.telemetry import Telemetry, carry, vocabulary

logger = logging.getLogger("sql_synthesizer.database")

AT_ONCE = 4
"""Sessions that are ended at a time, in all databases; each takes a connection beside the pool."""
PATIENCE = 3.0
"""Seconds within which a session has to be gone, its wait for a turn included."""
WAITING = 64
"""Sessions that are being ended or wait for their turn, in all databases; each has a thread."""
PAUSE = 0.05


class Reaper:
    """Ends sessions of databases in the background, and counts those that go on."""

    def __init__(self, watchdog: Watchdog, telemetry: Telemetry) -> None:
        self._watchdog = watchdog
        self._telemetry = telemetry
        self._free = threading.BoundedSemaphore(AT_ONCE)
        self._waiting = threading.BoundedSemaphore(WAITING)

    def end_session(self, name: str, driver: Driver, session: int) -> None:
        """Ends a session of the database ``name`` that was hung up on just now; returns at once."""
        if self._waiting.acquire(blocking=False):
            work = (name, driver, session, time.monotonic())
            threading.Thread(target=carry(self._end_in_turn), args=work, name="reaper", daemon=True).start()
        else:
            self._report_left(name, session)

    def _end_in_turn(self, name: str, driver: Driver, session: int, since: float) -> None:
        try:
            if self._free.acquire(timeout=PATIENCE):
                try:
                    self._keep_ending(name, driver, session, since)
                finally:
                    self._free.release()
            else:
                self._report_left(name, session)
        finally:
            self._waiting.release()

    def _keep_ending(self, name: str, driver: Driver, session: int, since: float) -> None:
        gone = False
        # A login may have become one that is refused.
        faults: tuple[type[Exception], ...] = (*driver.errors, DatabaseUnavailable)
        try:
            with closing(driver.connect(PATIENCE)) as raw:
                limit = Limit(since + PATIENCE)
                with self._watchdog.watch(limit, driver.stopper(raw)):
                    while not (gone := driver.end_session(raw, session, time.monotonic() - since)) and not limit.fired:
                        time.sleep(PAUSE)
        except faults as error:
            logger.debug("database %s: session %d: %s", name, session, type(error).__name__)
        finally:
            if not gone:
                self._report_left(name, session)

    def _report_left(self, name: str, session: int) -> None:
        logger.warning("database %s: session %d may go on past its deadline; it could not be ended", name, session)
        self._telemetry.emit(vocabulary.SESSION_LEFT, database=name)
