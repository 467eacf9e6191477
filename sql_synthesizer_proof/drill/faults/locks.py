"""Tables that another client of the database locks, and callers that wait for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager

import psycopg
from sqlalchemy.engine import make_url

from sql_synthesizer.operate.traffic import Client
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.service import ServiceProcess

COUNT = "SELECT count(*) FROM "
BREATH = 0.1
"""Seconds between two locks, for those who wait to get through."""
PAUSE = 0.3
"""Seconds that a caller waits before the next try."""
PATIENCE = 320.0
"""Seconds that such a caller waits for an answer."""


def owner_connection(chain: Chain) -> psycopg.Connection:
    """A connection of the database's owner."""
    url = make_url(chain.owner)
    return psycopg.connect(host=url.host, port=url.port, user=url.username, password=url.password, dbname=url.database)


def rename_column(chain: Chain, table: str, before: str, after: str) -> None:
    """Gives a column another name, as the database's owner."""
    with owner_connection(chain) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME COLUMN {before} TO {after}")


@contextmanager
def run_in_background(step: Callable[[threading.Event], None], count: int = 1) -> Iterator[None]:
    """Runs ``step`` in ``count`` threads until the end, which the event that it is given announces.

    Raises what a step raised, so that a fault that broke off does not pass for one that lasted.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(count) as pool:
        steps = [pool.submit(step, stop) for _ in range(count)]
        try:
            yield
        finally:
            stop.set()
            for begun in steps:
                begun.result()


def lock_table(chain: Chain, table: str, hold: float) -> AbstractContextManager[None]:
    """A table is locked again and again, ``hold`` seconds at a time."""

    def hold_lock(stop: threading.Event) -> None:
        with owner_connection(chain) as connection:
            while not stop.is_set():
                connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                stop.wait(hold)
                connection.rollback()
                time.sleep(BREATH)

    return run_in_background(hold_lock)


def query_table(service: ServiceProcess, table: str, callers: int) -> AbstractContextManager[None]:
    """So many callers count the table's rows again and again."""

    def send_statements(stop: threading.Event) -> None:
        with Client(service.url, service.key, PATIENCE) as client:
            while not stop.is_set():
                client.send("POST", "/api/sql", {"sql": COUNT + table})
                stop.wait(PAUSE)

    return run_in_background(send_statements, callers)
