"""Who is blamed for a statement that may not or cannot run, who is counted, and what health says of it."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer import errors
from sql_synthesizer.settings import load
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from tests.support.app import App, running
from tests.support.databases import PASSWORD, Server
from tests.support.managers import KINDS, Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url
from tests.support.serving import HANG, until

QUESTION = "how many customers are there"


@contextmanager
def with_model(app_settings: dict[str, Any], *replies: str) -> Iterator[App]:
    """An application whose model answers with these statements."""
    with FakeOpenAI() as model:
        for sql in (*replies, *replies):
            model.reply(sql=sql)
        given = {"openai_base_url": model.base_url, "openai_api_key": "sk-test", "model_timeout": HANG}
        with running(load(**app_settings, **given, deadline=2 * HANG)) as app:
            yield app


def reason(reply: Any) -> tuple[int, str]:
    return reply.status_code, reply.get_json().get("reason", "ok")


@pytest.mark.parametrize(
    "replies",
    [
        ("DELETE FROM orders",),
        ("SELEC count(*) FROM customers",),
        ("SELECT pg_sleep(1) FROM customers",),
        ("SELECT nonsense FROM customers", "DROP TABLE customers"),
    ],
)
def test_a_model_that_writes_what_may_not_run_is_a_failure(
    app_settings: dict[str, Any], replies: tuple[str, ...]
) -> None:
    with with_model(app_settings, *replies) as app:
        assert reason(app.ask("which customers feel lonely at night")) == (502, "model_invalid")
        assert app.counted("queries_total", success="error") == app.counted("queries_total") == 1
        assert app.counted("fallbacks_total", reason="model_invalid") == 1
        assert app.records("statement_rejected")


def test_what_the_caller_may_not_see_is_refused_whoever_writes_the_statement(app_settings: dict[str, Any]) -> None:
    file = app_settings["databases_file"]
    entry = json.loads(file.read_text())["databases"]["shop"]
    file.write_text(json.dumps({"databases": {"shop": entry | {"sensitive_access": "deny"}}}))
    with with_model(app_settings, "SELECT email FROM customers") as app:
        assert reason(app.ask("which email has customer 1")) == (422, "statement_refused")
        assert reason(app.post("/api/sql", {"sql": "SELECT email FROM customers"})) == (422, "statement_refused")
        assert app.counted("queries_total") == app.counted("fallbacks_total") == 0


def test_a_statement_that_a_caller_typed_is_the_callers(app: App) -> None:
    for sql in ("DELETE FROM orders", "SELEC 1", "SELECT nothing FROM orders"):
        assert reason(app.post("/api/sql", {"sql": sql}))[0] == 422
    assert app.counted("queries_total") == 0


@pytest.mark.parametrize("url", KINDS, indirect=True)
@pytest.mark.parametrize(
    "sql",
    [
        "WITH a (x, y, z) AS (SELECT 1, 2) SELECT * FROM a",
        "SELECT 1 UNION SELECT 1, 2",
        "SELECT * FROM item WHERE id IN (SELECT id, price FROM item)",
        "WITH RECURSIVE a AS (SELECT n + 1 FROM a) SELECT * FROM a",
    ],
)
def test_a_statement_of_the_wrong_shape_is_invalid(url: str, sql: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementInvalid):
        bench(url).run(sql)


# --- a privilege that is missing ---------------------------------------------------------------


def grants(server: Server, url: str) -> Callable[..., None]:
    """Runs statements as the owner of the database."""
    owner = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")

    def run(*statements: str) -> None:
        with owner.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        owner.dispose()

    return run


READER = {
    "postgres": (f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'", "GRANT SELECT ON birds, boats TO reader"),
    "mariadb": (
        f"CREATE OR REPLACE USER reader IDENTIFIED BY '{PASSWORD}'",
        "GRANT SELECT ON shop.birds TO reader",
        "GRANT SELECT ON shop.boats TO reader",
    ),
}
TABLES = ("CREATE TABLE birds (id INTEGER PRIMARY KEY)", "CREATE TABLE boats (id INTEGER PRIMARY KEY)")


@pytest.mark.server
@pytest.mark.parametrize(("kind", "table"), [("postgres", "birds"), ("mariadb", "shop.birds")])
def test_a_right_that_was_taken_away_is_a_failure(
    kind: str, table: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    server: Server = request.getfixturevalue(f"own_{kind}")
    owner = grants(server, server.url)
    owner(*TABLES, *READER[kind])
    reader = sqlalchemy.make_url(server.url).set(username="reader").render_as_string(hide_password=False)
    with running(load(state_dir=tmp_path / "state", database_url=reader, rate_limit="", cache="off")) as app:
        assert reason(app.ask("how many birds are there")) == (200, "ok")
        owner(f"REVOKE SELECT ON {table} FROM reader")
        assert reason(app.ask("how many birds are there")) == (502, "privilege_missing")
        assert reason(app.post("/api/sql", {"sql": "SELECT id FROM birds"})) == (502, "privilege_missing")
        assert reason(app.ask("how many boats are there")) == (200, "ok")
        assert app.counted("queries_total", success="error") == 2
        app.rooms.health.check()
        assert app.get("/health").get_json()["checks"]["schema"] == "degraded"
        assert app.get("/health/ready").status_code == 200
        owner(f"GRANT SELECT ON {table} TO reader")
        app.rooms.health.check()
        assert app.get("/health").get_json()["checks"]["schema"] == "healthy"
        assert reason(app.ask("how many birds are there")) == (200, "ok")


def test_a_database_without_a_table_is_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "empty.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    with running(load(state_dir=tmp_path / "state", database_url=f"sqlite:///{path}", rate_limit="")) as app:
        assert reason(app.ask("how many customers are there")) == (502, "privilege_missing")
        app.rooms.health.check()
        assert app.get("/health").get_json()["checks"]["schema"] == "degraded"


# --- who ended a statement -----------------------------------------------------------------------

SLEEP = {"postgres": "SELECT pg_sleep(3600)", "mariadb": "SELECT SLEEP(3600)"}
RUNNING = {
    "postgres": "SELECT pid FROM pg_stat_activity WHERE query LIKE 'FETCH%%' AND state = 'active'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%%'",
}
CANCEL = {"postgres": "SELECT pg_cancel_backend({0})", "mariadb": "KILL QUERY {0}"}


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_a_statement_that_the_administrator_cancels_is_not_too_slow(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench]
) -> None:
    url = request.getfixturevalue(f"{kind}_url")
    one, admin = bench(url, statement_timeout=HANG), sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")

    def cancel_it() -> None:
        with admin.connect() as connection:
            (session,) = until(lambda: connection.exec_driver_sql(RUNNING[kind]).first())
            connection.exec_driver_sql(CANCEL[kind].format(session))

    thread = threading.Thread(target=cancel_it)
    thread.start()
    with pytest.raises(errors.StatementCancelled):
        one.run(SLEEP[kind])
    thread.join(HANG)
    admin.dispose()


# --- beside questions ----------------------------------------------------------------------------


def test_what_fails_beside_questions_is_counted_by_route(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"postgresql://u:secret@127.0.0.1:{taken.getsockname()[1]}/d"
        with running(load(state_dir=tmp_path / "state", database_url=url, rate_limit="")) as app:
            assert app.ask(QUESTION).status_code == app.get("/health/ready").status_code == 503
            assert app.get("/api/nothing").status_code == 404
            assert app.counted("http_failures_total") == 0
            assert app.counted("queries_total", success="error") == 1
            assert app.get("/api/schema").status_code == 503
            assert app.counted("http_failures_total") == app.counted("http_failures_total", route="/api/schema") == 1
