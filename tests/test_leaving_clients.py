"""A client that leaves takes its question back: the statement ends in the database, and nobody is to blame."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sql_synthesizer.settings import load
from tests.support.app import App, running
from tests.support.clients import Server, listening, read_reply
from tests.support.managers import url as url
from tests.support.serving import until

ENDLESS = "SELECT count(*) FROM orders a" + "".join(f" JOIN orders {n} ON {n}.id <> a.id" for n in "bcd")
COUNT = "SELECT count(*) AS n FROM customers"


def statement(sql: str) -> bytes:
    body = json.dumps({"sql": sql}).encode()
    head = f"POST /api/sql HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    client.close()


@pytest.fixture
def server(app_settings: dict[str, Any]) -> Iterator[Server]:
    with running(load(**app_settings, threads=3, value_index=False)) as app, listening(app) as made:
        yield made


def outcomes(app: App, number: int) -> list[str]:
    found: list[dict[str, Any]] = until(
        lambda: len(rows := app.records("query_execution")) == number and rows  # type: ignore[arg-type]
    )
    return [record["details"]["outcome"] for record in found]


@pytest.mark.parametrize("leave", [socket.socket.close, reset], ids=lambda step: step.__name__)
def test_the_statement_of_a_client_that_leaves_ends(server: Server, leave: Callable[[socket.socket], None]) -> None:
    slots = server.app.rooms.service.slots
    with closing(server.connect(statement(ENDLESS))) as client:
        until(lambda: slots.running == 1)
        leave(client)
        until(lambda: slots.running == 0)
    assert outcomes(server.app, 1) == ["cancelled"]
    assert server.exchange(statement(COUNT)).json()["row_count"] == 1
    assert server.app.counted("question_outcomes_total", outcome="cancelled") == 1
    assert server.app.counted("queries_total", success="error") == 0
    until(lambda: not server.worker._answered)


def test_who_waits_for_a_slot_may_leave(server: Server) -> None:
    slots = server.app.rooms.service.slots
    with closing(server.connect(statement(ENDLESS))):
        until(lambda: slots.running == 1)
        with closing(server.connect(statement(COUNT))):
            until(lambda: slots.waiting == 1)
        until(lambda: slots.waiting == 0)
        assert outcomes(server.app, 1) == ["cancelled"]
        assert slots.running == 1


def test_a_client_that_stays_is_answered(server: Server) -> None:
    """Also one that sends its next requests already, and one that keeps its connection."""
    with closing(server.connect(statement(COUNT) * 3)) as client:
        assert [read_reply(client).json()["row_count"] for _ in range(3)] == [1, 1, 1]
        client.sendall(statement(COUNT))
        assert read_reply(client).status == 200
    assert server.app.counted("question_outcomes_total", outcome="cancelled") == 0


def test_a_client_that_has_sent_all_may_still_read(server: Server) -> None:
    slots = server.app.rooms.service.slots
    with closing(server.connect(statement(ENDLESS))) as endless:
        until(lambda: slots.running == 1)
        with closing(server.connect(statement(COUNT))) as client:
            until(lambda: slots.waiting == 1)
            client.shutdown(socket.SHUT_WR)
            assert read_reply(client).status == 100
            assert slots.waiting == 1
            endless.close()
            assert read_reply(client).json()["row_count"] == 1


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_nothing_goes_on_in_the_server(tmp_path: Path, url: str) -> None:
    given = {"state_dir": tmp_path / "state", "database_url": url, "rate_limit": "", "value_index": False}
    plain = url.replace("+psycopg", "")
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%answer%'"
    with (
        running(load(**given, allow_privileged_login=True)) as app,
        listening(app) as server,
        psycopg.connect(plain) as locking,
        psycopg.connect(plain, autocommit=True) as looking,
    ):
        assert server.exchange(statement("SELECT count(*) FROM item")).status == 200
        locking.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")

        def waiting() -> int:
            return looking.execute(waits).fetchone()[0]  # type: ignore[index]

        with server.clients(6, statement("SELECT count(*) FROM item")):
            until(lambda: waiting() == 6)
        until(lambda: waiting() == 0)
        assert outcomes(app, 7) == ["answered"] + 6 * ["cancelled"]
        assert app.counted("database_sessions_left_total") == 0
        locking.rollback()
