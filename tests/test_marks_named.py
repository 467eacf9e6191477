"""A setting that names nothing is refused: at start, and at every reading of the schema."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from sql_synthesizer import errors
from sql_synthesizer.schema import cache as schema_cache
from sql_synthesizer.settings import load
from tests.support.app import App, running
from tests.support.data import EMPLOYEES, KINDS, Data
from tests.support.serving import until

pytestmark = pytest.mark.boundary

NOTHING: dict[str, tuple[dict[str, Any], str]] = {
    "hidden column": ({"hidden": ("employee.home_phone",)}, "employees.home_phone"),
    "hidden table": ({"hidden": ("employes",)}, "employees"),
    "sensitive column": ({"sensitive": ("employees.homephone",)}, "employees.home_phone"),
    "sensitive without table": ({"sensitive": ("home_phone",)}, "employees.home_phone"),
    "sensitive table": ({"sensitive": ("employees",)}, "employees.home_phone"),
    "shareable column": ({"shareable": ("employees.nam",)}, "employees.name"),
    "table": ({"tables": ("employees", "number")}, "numbers"),
    "column among tables": ({"tables": ("employees.name",)}, ""),
    "schema": ({"schemas": ("pubic",)}, ""),
    "qualified": ({"hidden": ("nowhere.employees.home_phone",)}, "employees.home_phone"),
    "one of several": ({"hidden": ("employees.home_phone", "employees.fax")}, ""),
    "empty": ({"hidden": ("",)}, ""),
    "with blanks": ({"hidden": (" employees.home_phone",)}, "employees.home_phone"),
}


@pytest.mark.parametrize("case", NOTHING)
@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_a_name_of_nothing_is_refused(data: Data, case: str) -> None:
    data.run(EMPLOYEES, "CREATE TABLE numbers (number VARCHAR(50))")
    options, near = NOTHING[case]
    with pytest.raises(errors.ConfigurationError) as caught:
        data.read(**options)
    (setting, names), *_ = options.items()
    assert f"{setting}: there is no {names[-1]}" in caught.value.message
    assert near in caught.value.message


@pytest.mark.parametrize("data", KINDS[:1], indirect=True)
def test_each_name_of_nothing_has_a_line(data: Data) -> None:
    data.run(EMPLOYEES)
    with pytest.raises(errors.ConfigurationError) as caught:
        data.read(hidden=("one",), sensitive=("two",))
    assert [line.partition(";")[0] for line in caught.value.message.splitlines()][1:] == [
        "  hidden: there is no one",
        "  sensitive: there is no two",
    ]


@pytest.mark.parametrize("data", KINDS, indirect=True)
def test_qualified_names(data: Data) -> None:
    data.run(EMPLOYEES, "CREATE TABLE numbers (number VARCHAR(50))")
    url = sqlalchemy.make_url(data.url)
    place = {"sqlite": "main", "postgresql+psycopg": "public"}.get(url.drivername, url.database)
    for schemas in ((), (place,), (str(place).upper(),)):
        found = data.read(
            schemas=schemas if url.drivername.startswith(("sqlite", "postgres")) or not schemas else (place,),
            hidden=(f"{place}.employees.home_phone", f"{place}.numbers"),
            sensitive=(f"{place}.employees.name".upper(),),
            shareable=(f"{place}.employees.id",),
        )
        (table,) = found.tables
        assert table.hidden == ("home_phone",)
        assert [(c.name, c.sensitive, c.shareable) for c in table.columns] == [
            ("id", False, True),
            ("name", True, False),
        ]
    only = data.read(tables=(f"{place}.numbers",))
    assert [table.name for table in only.tables] == ["numbers"]


# --- at start, and at every reading --------------------------------------------------------------

SQLITE = pytest.mark.parametrize("data", [KINDS[0]], indirect=True)
Start = Callable[..., App]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """An application on the databases with these settings."""
    with ExitStack() as stack:

        def started(**databases: dict[str, Any]) -> App:
            path = tmp_path / "databases.yml"
            path.write_text(json.dumps({"databases": databases}))
            settings = load(state_dir=tmp_path / "state", databases_file=path, rate_limit="", value_index=False)
            return stack.enter_context(running(settings))

        yield started


def check(app: App) -> tuple[int, int, dict[str, str], dict[str, float]]:
    """Readiness, health, its checks, and what the metric says of them."""
    app.rooms.health.check()
    health = app.get("/health")
    levels = {
        sample.labels["dependency"]: sample.value
        for family in app.rooms.metrics.read_fresh().collect()
        for sample in family.samples
        if sample.name == "sql_synthesizer_dependency_up"
    }
    return app.get("/health/ready").status_code, health.status_code, health.get_json()["checks"], levels


@SQLITE
def test_a_start_is_refused(data: Data, start: Start, tmp_path: Path) -> None:
    data.run(EMPLOYEES)
    wrong = {"url": data.url, "hidden": ["employee.home_phone"]}
    with pytest.raises(errors.ConfigurationError) as caught:
        start(good={"url": data.url}, one=wrong, other={"url": data.url, "tables": ["employes"]})
    assert "one name" in caught.value.message
    assert "employee.home_phone; near: employees.home_phone" in caught.value.message
    assert "tables: there is no employes; near: employees" in caught.value.message
    assert start(shop={"url": data.url, "hidden": ["employees.home_phone"]}).get("/health/ready").status_code == 200


@SQLITE
def test_the_last_good_settings_stay_in_force(
    data: Data, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    data.run(EMPLOYEES, "INSERT INTO employees VALUES (1, 'Anna', '555 1234')")
    app = start(shop={"url": data.url, "hidden": ["employees.home_phone"]})
    ready, status, checks, levels = check(app)
    assert (ready, status, checks["schema"], levels["schema"]) == (200, 200, "healthy", 1)
    data.run("ALTER TABLE employees RENAME COLUMN home_phone TO phone_home")
    now = schema_cache.time.monotonic
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now() + app.rooms.settings.schema_ttl)
    with caplog.at_level(logging.ERROR, "sql_synthesizer.schema"):
        ready, status, checks, levels = check(app)
    assert (ready, status, checks["schema"], checks["database"]) == (200, 200, "degraded", "healthy")
    assert (levels["schema"], levels["database"]) == (0, 1)
    assert "near: employees.phone_home" in caplog.text
    assert app.post("/api/sql", {"sql": "SELECT name FROM employees"}).get_json()["rows"] == [["Anna"]]
    for sql in ("SELECT phone_home FROM employees", "SELECT e.phone_home AS x FROM employees e"):
        assert app.post("/api/sql", {"sql": sql}).status_code == 422
    assert app.post("/api/sql", {"sql": "SELECT * FROM employees"}).get_json()["columns"] == ["id", "name"]
    data.run("ALTER TABLE employees RENAME COLUMN phone_home TO home_phone")
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now() + 2 * app.rooms.settings.schema_ttl)
    _, _, checks, levels = check(app)
    assert (checks["schema"], levels["schema"]) == ("healthy", 1)


@SQLITE
@pytest.mark.parametrize("mark", ["employees.home_phone", "employee.home_phone"])
def test_not_ready_until_checked(
    data: Data, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, mark: str
) -> None:
    path = Path(str(sqlalchemy.make_url(data.url).database))
    path.write_bytes(b"no database " * 100)
    app = start(shop={"url": data.url, "hidden": [mark]})
    assert check(app)[:2] == (503, 503)
    assert app.ask("how many employees are there").status_code == 503
    path.unlink()
    data.run(EMPLOYEES)
    now = schema_cache.time.monotonic
    monkeypatch.setattr(schema_cache.time, "monotonic", lambda: now() + schema_cache.FAILURE_SECONDS)
    if mark.startswith("employees."):
        # the schema may be looked at before the database is known to be there again, and then once more
        until(lambda: check(app)[0] == 200)
        _, _, checks, _ = check(app)
        assert (checks["database"], checks["schema"]) == ("healthy", "healthy")
        assert app.ask("how many employees are there").status_code == 200
    else:
        until(lambda: "near: employees.home_phone" in (check(app) and caplog.text))
        ready, _, checks, _ = check(app)
        asked = app.ask("how many employees are there")
        assert (ready, checks["database"]) == (503, "unhealthy")
        assert asked.status_code == 502
        assert "home_phone" not in asked.text
