"""Questions with known results: how they are asked, what becomes of them, and what they notice of the schema."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sql_synthesizer.cli import group
from sql_synthesizer.demo import CANARIES
from sql_synthesizer.errors import ConfigurationError, DatabaseUnavailable
from sql_synthesizer.model import Column, ColumnKind, Schema, Table
from sql_synthesizer.service.canary import Canaries, Canary, read_canaries
from sql_synthesizer.service.canary import watch as module
from sql_synthesizer.service.canary.names import find_names
from sql_synthesizer.service.canary.questions import is_same
from sql_synthesizer.settings import load
from sql_synthesizer.store import Store
from tests.support.app import App, running
from tests.support.serving import until

STATUS = {"question": "how many orders per status", "sql": "SELECT status, COUNT(*) FROM orders GROUP BY status"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, demo_path: Path):
    """An application on a demo of its own, and its canaries."""
    home = tmp_path_factory.mktemp("canary")
    path = shutil.copy(demo_path, home / "shop.sqlite")
    settings = load(state_dir=home / "state", database_url=f"sqlite:///{path}", canary_file=CANARIES)
    with running(settings) as app:
        canaries = app.rooms.canaries()
        assert canaries is not None
        yield app, canaries, Path(path)


def alter(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement)
        connection.commit()


def asked(shop: tuple[App, Canaries, Path], **fields: Any) -> str:
    return shop[1].ask_canary(Canary("customers", **{"database": "main", **fields}))


# --- what is asked --------------------------------------------------------------------------


def test_a_right_answer_counts_for_nobody_else(shop) -> None:
    app, canaries, _ = shop
    before = len(app.records("query_execution"))
    assert set(canaries.ask_all().values()) == {"right"}
    assert set(canaries.ask_all().values()) == {"right"}
    assert app.counted("canary_questions_total", result="right") == 8
    for name in ("queries_total", "question_outcomes_total", "database_queries_total", "cache_operations_total"):
        assert app.counted(name) == 0, name
    records = app.records("query_execution")[before:]
    assert len(records) == 14  # eight questions, and six statements that say what is right
    assert {(record["actor"], record["details"]["source"]) for record in records} == {
        ("canary", "rules"),
        ("canary", "analyst"),
    }
    assert app.rooms.store.history("canary") == []


@pytest.mark.parametrize(
    ("fields", "result"),
    [
        ({"question": "how many customers are there", "rows": ((1,),)}, "wrong"),
        ({"question": "products with price over 1000000", "rows": ((1,),)}, "empty"),
        ({"question": "what will the weather be tomorrow", "rows": ()}, "declined"),
        ({"question": "how many customers are there", "sql": "SELECT nothing FROM customers"}, "failed"),
        ({"question": "how many customers are there", "sql": "SELECT COUNT(*) FROM customers"}, "right"),
    ],
)
def test_results(shop, fields: dict[str, Any], result: str) -> None:
    assert asked(shop, **fields) == result


def test_a_failure_of_the_service_is_one_of_the_canary(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(shop[1], "_ask", fail)
    assert asked(shop, question="how many customers are there", rows=()) == "failed"
    assert shop[1]._results["customers"][:2] == ("failed", "database_unavailable")


def test_an_answer_without_rows_is_counted_where_a_caller_gets_it(shop) -> None:
    app, before = shop[0], shop[0].counted("empty_answers_total")
    assert app.ask("products with price over 1000000").json["row_count"] == 0
    assert app.counted("empty_answers_total") == before + 1


# --- the schedule ---------------------------------------------------------------------------


def test_one_of_several_has_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Store(None, tmp_path)) as store, closing(Store(None, tmp_path)) as other:
        assert store.notes.take_turn("canaries", 60)
        assert not other.notes.take_turn("canaries", 60)
        assert other.notes.take_turn("others", 60)
        now = module.time.time()
        monkeypatch.setattr(module.time, "time", lambda: now - 3600)  # it was taken by a clock that was wrong
        assert other.notes.take_turn("canaries", 60)
        assert store.notes.get_note("nothing") is None


def test_they_are_asked_at_the_start_and_the_wrong_ones_again(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    app, canaries, _ = shop
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    canaries._results["average_price"] = "wrong", "", 0.0
    with canaries:
        until(lambda: canaries._results["average_price"][0] == "right")
        until(lambda: app.rooms.store.notes.get_note("canary_results") is not None)
    reply = app.get("/api/ops/canaries").json
    assert {row["canary"] for row in reply["canaries"]} == set(canaries._canaries)
    assert reply["gone"] == []


# --- the schema -----------------------------------------------------------------------------


def test_a_renamed_column_is_told_by_name(shop, caplog: pytest.LogCaptureFixture) -> None:
    app, canaries, path = shop
    canaries.ask_all()
    canaries.look()
    assert app.rooms.store.notes.get_note("schema_drift") is None
    alter(path, "ALTER TABLE orders RENAME COLUMN status TO state")
    canaries.look()
    assert app.get("/api/ops/canaries").json["gone"] == [{"database": "main", "name": "orders.status"}]
    assert "orders.status is gone from database main" in caplog.text
    assert level(app) == 1
    alter(path, "ALTER TABLE orders RENAME COLUMN state TO status")
    canaries.look()
    assert app.get("/api/ops/canaries").json["gone"] == []
    assert level(app) == 0


def level(app: App) -> float:
    app.rooms.telemetry.fold(readings=True)
    return app.rooms.metrics.registry.get_sample_value(
        "sql_synthesizer_schema_drift", {"database": "main", "object": "orders.status"}
    )


def test_what_a_regression_may_have_come_with_is_exported(shop) -> None:
    rooms = shop[0].rooms
    assert rooms.regressions() is None
    rooms.schemas.get("main")
    rooms.telemetry.fold(readings=True)
    value = rooms.metrics.registry.get_sample_value
    assert value("sql_synthesizer_configuration_fingerprint") > 0
    assert value("sql_synthesizer_schema_fingerprint", {"database": "main"}) > 0
    assert value("sql_synthesizer_regression_detected", {"series": "execute"}) is None


def test_a_database_that_is_down_lacks_nothing(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> set[str]:
        raise DatabaseUnavailable

    monkeypatch.setattr(shop[0].rooms.schemas, "find_missing", fail)
    before = dict(shop[1]._gone)
    shop[1].look()
    assert shop[1]._gone == before


def test_the_schema_is_read_anew_only_when_a_table_does_not_answer(shop, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = shop[0].rooms.schemas
    monkeypatch.setattr(schemas, "refresh", lambda _: pytest.fail("it is read anew"))
    assert schemas.find_missing("main", {"orders": ["status", "id"], "customers": []}, 10) == set()


TABLES = tuple(
    Table(name, tuple(Column(column, ColumnKind.TEXT) for column in columns))
    for name, columns in (("orders", ("id", "status", "customer_id")), ("customers", ("id", "City")))
)


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT o.Status FROM orders o", {"orders": {"status"}}),
        (
            "SELECT city, COUNT(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id GROUP BY 1 ORDER BY n",
            {"orders": {"customer_id"}, "customers": {"id", "city"}},
        ),
        ("SELECT state AS s FROM orders ORDER BY s", {"orders": {"state"}}),  # gone before anybody looked
        ("SELECT state FROM orders", {"orders": {"state"}}),
        ("WITH x AS (SELECT id FROM orders) SELECT x.id FROM x", {"orders": {"id"}}),
        (
            "SELECT 1 FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id = c.id)",
            {"customers": {"id"}, "orders": {"customer_id"}},
        ),
        ("SELECT FROM WHERE", {}),
    ],
)
def test_names_of_a_statement(sql: str, names: dict[str, set[str]]) -> None:
    assert find_names(sql, Schema("main", "sqlite", TABLES)) == names


# --- the file -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "known", "same"),
    [
        ([("a", 1), ("b", 2)], [(2, "b"), (1, "a")], True),
        ([(5.0,)], [(5,)], True),
        ([(0.1 + 0.2,)], [(0.3,)], True),
        ([(1,), (1,)], [(1,)], False),
        ([(None,)], [("None",)], True),
        ([], [], True),
    ],
)
def test_the_same_rows(found: list[tuple[Any, ...]], known: list[tuple[Any, ...]], same: bool) -> None:
    assert is_same(found, known) is same


@pytest.mark.parametrize(
    ("entries", "fault"),
    [
        ({"a": {**STATUS, "rows": []}}, "either 'sql' or 'rows'"),
        ({"a": {"question": "x"}}, "either 'sql' or 'rows'"),
        ({"a": {**STATUS, "databases": "x"}}, "'databases' is no field"),
        ({"a": {**STATUS, "database": "x"}}, "no database of this name"),
        ({"a": {"question": "x", "rows": [1]}}, "a list of lists"),
        ({"a": {"question": "x", "sql": 1}}, "is a statement"),
        ({"A b": STATUS}, "lower-case letters"),
        ({"a": "x"}, "a mapping"),
        ({}, "it is empty"),
        ({f"a{n}": STATUS for n in range(17)}, "more than 16"),
    ],
)
def test_faults_of_the_file_are_told(tmp_path: Path, entries: object, fault: str) -> None:
    path = tmp_path / "canaries.yml"
    path.write_text(json.dumps({"canaries": entries}))
    with pytest.raises(ConfigurationError, match=fault):
        read_canaries(path, ["main"])


def test_no_file_of_canaries(tmp_path: Path, app_settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="FileNotFoundError"):
        read_canaries(tmp_path / "none.yml", ["main"])
    with running(load(**app_settings)) as app:
        assert app.rooms.canaries() is None


def test_a_date_is_text(tmp_path: Path) -> None:
    path = tmp_path / "canaries.yml"
    path.write_text("canaries: {a: {question: x, rows: [[2026-01-02, 1]]}}")
    assert read_canaries(path, ["main"])[0].rows == (("2026-01-02", 1),)


def test_the_verb(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "canaries.yml"
    path.write_text(json.dumps({"canaries": {"good": STATUS, "bad": {**STATUS, "sql": "SELECT 1"}}}))
    given = {"STATE_DIR": tmp_path / "state", "CANARY_FILE": path}
    for name, value in given.items():
        monkeypatch.setenv(f"SQL_SYNTHESIZER_{name}", str(value))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{demo_path}")
    done = CliRunner().invoke(group, ["canaries", "--json"])
    assert (done.exit_code, json.loads(done.stdout)) == (1, {"good": "right", "bad": "wrong"})
