"""What an administrator of a PostgreSQL server does while the service asks it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from sql_synthesizer.wiring import Rooms
from sql_synthesizer_proof.coverage.instance import LIMIT, Instance

LOGINS = ("reader", "riser")
OWNER = "owner.url"
"""File of the setup that holds the administrator's own URL."""
WAITING = b"SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND usename = 'reader'"


@contextmanager
def connect(instance: Instance) -> Iterator[psycopg.Connection]:
    """The administrator's connection."""
    with psycopg.connect((instance.home / OWNER).read_text(encoding="ascii"), autocommit=True) as admin:
        yield admin


@contextmanager
def revoke_reading(instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The login may no longer read a table that the schema has."""
    rooms.schemas.get("reader")
    with connect(instance) as admin:
        admin.execute(b"REVOKE SELECT ON customers FROM reader")
        try:
            yield
        finally:
            admin.execute(b"GRANT SELECT ON customers TO reader")


@contextmanager
def raise_login(instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The login has become an administrator's, and its sessions were ended."""
    rooms.schemas.get("riser")
    with connect(instance) as admin:
        admin.execute(b"ALTER ROLE riser SUPERUSER")
        admin.execute(b"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'riser'")
        try:
            yield
        finally:
            admin.execute(b"ALTER ROLE riser NOSUPERUSER")


@contextmanager
def lock_table(instance: Instance, rooms: Rooms) -> Iterator[psycopg.Connection]:
    """Somebody else has a table for itself."""
    rooms.schemas.get("reader")
    with connect(instance) as admin, admin.transaction():
        admin.execute(b"LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        yield admin


@contextmanager
def cancel_statement(instance: Instance, rooms: Rooms) -> Iterator[None]:
    """The administrator ends the statement as soon as it waits."""
    over = threading.Event()

    def cancel_waiting() -> None:
        with connect(instance) as admin:
            while not over.wait(0.02):  # once for each try
                admin.execute(b"SELECT pg_cancel_backend(pid) FROM (" + WAITING + b") AS found")

    with lock_table(instance, rooms):
        thread = threading.Thread(target=cancel_waiting, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(LIMIT)


def make_database(instance: Instance) -> str:
    """A database without tables, by its URL."""
    url = (instance.home / OWNER).read_text(encoding="ascii")
    with connect(instance) as admin:
        admin.execute(b"CREATE DATABASE bare")
    return url.rpartition("/")[0].replace("postgresql:", "postgresql+psycopg:") + "/bare"
