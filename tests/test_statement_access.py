"""What the settings of a database keep from who asks, from the request to the record."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.schema import reflect_schema
from sql_synthesizer.settings import DatabaseSettings, load
from tests.support.app import App, running

Make = Callable[..., App]


@pytest.fixture
def make(app_settings: dict[str, Any]) -> Iterator[Make]:
    """An application whose database has these settings."""
    with ExitStack() as stack:

        def made(**database: Any) -> App:
            path = app_settings["databases_file"]
            entry = json.loads(path.read_text())["databases"]["shop"] | database
            path.write_text(json.dumps({"databases": {"shop": entry}}))
            return stack.enter_context(running(load(**app_settings)))

        yield made


def run(app: App, sql: str) -> Any:
    return app.post("/api/sql", {"sql": sql})


def test_masked_columns(make: Make) -> None:
    app = make(sensitive_access="mask")
    body = run(app, "SELECT email, id FROM customers ORDER BY id LIMIT 3").get_json()
    assert body["columns"] == ["email", "id"]
    assert [row[0] for row in body["rows"]] == ["***"] * 3
    assert app.records("sensitive_data_access")[0]["details"]["columns"] == ["customers.email"]
    exported = app.get(f"/api/results/{body['question_id']}/csv")
    assert exported.text.splitlines()[1].startswith("***,")


def test_a_masked_column_does_not_filter(make: Make) -> None:
    app = make(sensitive_access="mask")
    assert run(app, "SELECT id FROM customers WHERE email LIKE 'a%'").status_code == 422
    details = app.records("statement_rejected")[0]["details"]
    assert (details["rule"], details["columns"]) == ("sensitive_column", "customers.email")


def test_denied_columns(make: Make) -> None:
    app = make(sensitive_access="deny")
    assert run(app, "SELECT * FROM customers").status_code == 422
    assert app.records("statement_rejected")[0]["details"]["columns"] == "customers.email, customers.phone"
    assert run(app, "SELECT id FROM customers").status_code == 200
    assert not app.records("sensitive_data_access")


def test_hidden_columns_are_nowhere(make: Make) -> None:
    app = make(hidden=["customers.email", "customers.phone"])
    tables = {table["name"]: table for table in app.get("/api/schema").get_json()["tables"]}
    shown = [column["name"] for column in tables["customers"]["columns"]]
    assert "id" in shown
    assert not {"email", "phone"} & set(shown)
    assert run(app, "SELECT * FROM customers LIMIT 1").get_json()["columns"] == shown
    assert run(app, "SELECT email FROM customers").status_code == 422
    assert app.ask("what is the email of each customer").get_json().get("columns") != ["email"]


@pytest.mark.parametrize(("role", "status"), [(None, 422), ("operator", 200)])
def test_catalogues_for_a_role(make: Make, role: str | None, status: int) -> None:
    app = make(catalogue_role=role)
    assert run(app, "SELECT name FROM sqlite_master").status_code == status
    assert run(app, "SELECT sqlite_version()").status_code == status


def test_what_reflection_hides(tmp_path: Path) -> None:
    path = tmp_path / "wide.sqlite"
    wide = ", ".join(f"c{n} INTEGER" for n in range(1005))
    with sqlite3.connect(path) as database:
        database.execute(f"CREATE TABLE wide ({wide})")
        database.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, Note TEXT)")
        database.execute("CREATE TABLE b (x INTEGER REFERENCES a (id), y INTEGER REFERENCES a (id))")
    database.close()
    config = DatabaseSettings(
        name="main",
        url=f"sqlite:///{path}",
        hidden=("A.note", "b.x"),
        sensitive=("wide.c3", "wide.c1004"),
    )
    engine = sqlalchemy.create_engine(config.url.get_secret_value())
    with engine.connect() as connection:
        found = {table.name: table for table in reflect_schema(connection, config, "sqlite").tables}
        early = config.model_copy(update={"hidden": ("b.not_there_yet",)})
        with pytest.raises(ConfigurationError, match=r"hidden: there is no b\.not_there_yet"):
            reflect_schema(connection, early, "sqlite")
    engine.dispose()
    assert {name: table.hidden for name, table in found.items()} == {
        "a": ("note",),
        "b": ("x",),
        "wide": ("c1004",),
    }
    assert [column.name for column in found["a"].columns] == ["id"]
    assert [key.columns for key in found["b"].foreign_keys] == [("y",)]
