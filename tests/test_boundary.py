"""Judge and server read the same text, whatever server, database, role or URL say; and no login may do too much."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from sql_synthesizer import errors
from sql_synthesizer.database import http, mysql, postgres, sqlite
from sql_synthesizer.settings import load
from tests.support.app import running
from tests.support.boundary import (
    MARIADB_WRONG,
    PASSWORD,
    POSTGRES_WRONG,
    SECRET,
    SQLITE_WRONG,
    Desk,
    Place,
    WrongSqlite,
    desk,
    make_sqlite,
    mariadb_place,
    postgres_place,
    read_matrix,
)

pytestmark = pytest.mark.boundary
server = pytest.mark.server
WRONG = {"postgres": POSTGRES_WRONG, "mariadb": MARIADB_WRONG}
PLACES = [pytest.param(name, marks=server) for name in WRONG]


@pytest.fixture(scope="module")
def postgres_shop() -> Iterator[Place]:
    with postgres_place() as place:
        yield place


@pytest.fixture(scope="module")
def mariadb_shop() -> Iterator[Place]:
    with mariadb_place() as place:
        yield place


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(f"{request.param}_shop")
    return found


# --- the case and its siblings --------------------------------------------------------------------

ENDED = r"SELECT '\' AS x, ' || k AS z FROM secret --' AS y FROM t WHERE a = 1"
SLEPT = r"SELECT '\' AS x, ' || pg_sleep(0) AS z --' AS y FROM t WHERE a = 1"
TOLD = r"SELECT '\' AS x, ' || current_user AS z --' AS y FROM t WHERE a = 1"
FILED = r"SELECT '\' AS x, ' || pg_read_file($$PG_VERSION$$) AS z --' AS y FROM t WHERE a = 1"
COUNTED = "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT max(n) FROM r"
OFF = {"standard_conforming_strings": "off"}
POSTGRES_CASES: list[tuple[str, dict[str, str], str, object, object]] = [
    ("role", OFF, ENDED, ("' AS x, sEcReT",), ("\\", " || k AS z FROM secret --")),
    ("url", OFF, ENDED, ("' AS x, sEcReT",), ("\\", " || k AS z FROM secret --")),
    ("database", OFF, SLEPT, ("' AS x, ",), ("\\", " || pg_sleep(0) AS z --")),
    ("cluster", OFF, TOLD, ("' AS x, reader",), ("\\", " || current_user AS z --")),
    ("role", OFF, r"SELECT a FROM t WHERE b = 'a\b'", None, (3,)),
    ("role", {"search_path": "shadow, public"}, "SELECT b FROM t WHERE a = 1", (SECRET,), ("x",)),
    (
        "database",
        {"search_path": "shadow, pg_catalog, public"},
        "SELECT upper(b) FROM t WHERE a = 1",
        (SECRET,),
        ("X",),
    ),
    (
        "role",
        {"application_name": "a schema of its name"},
        "SELECT at FROM moment",
        (SECRET,),
        ("2026-01-01T20:00:00+00",),
    ),
    ("role", {"transform_null_equals": "on"}, "SELECT count(*) FROM t WHERE n = NULL", (1,), (0,)),
    ("role", {"DateStyle": "ISO, DMY"}, "SELECT a FROM t WHERE d = '02/01/2026'", (2,), (1,)),
    ("database", {"TimeZone": "Asia/Tokyo"}, "SELECT count(*) FROM instant WHERE at < '2026-01-01 21:00'", (0,), (1,)),
    ("role", {"IntervalStyle": "sql_standard"}, "SELECT EXTRACT(hour FROM INTERVAL '-1 2:03:04')", (-2,), (2,)),
    ("role", {"client_encoding": "LATIN1"}, "SELECT length('é')", (2,), (1,)),
    ("url", {"client_encoding": "SJIS"}, "SELECT 'é' || b FROM t WHERE a = 1", ("ﾃｩx",), ("éx",)),
    ("role", {"array_nulls": "off"}, "SELECT ('{NULL}'::text[])[1]", ("NULL",), (None,)),
    ("role", {"extra_float_digits": "-5"}, "SELECT 0.1::float8 + 0.2", (0.3,), (0.30000000000000004,)),
    (
        "role",
        {"timezone_abbreviations": "Australia"},
        "SELECT '2026-01-01 00:00 EST'::timestamptz",
        ("2025-12-31T14:00:00+00",),
        ("2026-01-01T05:00:00+00",),
    ),
    (
        "role",
        {"default_text_search_config": "pg_catalog.simple"},
        "SELECT to_tsvector('sales') @@ to_tsquery('sale')",
        (False,),
        (True,),
    ),
]
MARIADB_CASES: list[tuple[str, dict[str, str], str, object, object]] = [
    ("init_connect", {"USE": "USE shadow"}, "SELECT b FROM t WHERE a = 1", (SECRET,), ("x",)),
    ("url", {"charset": "latin1"}, "SELECT '縗' = '?'", "UnicodeEncodeError", (0,)),
    ("global", {"sql_mode": "NO_BACKSLASH_ESCAPES"}, r"SELECT a FROM t WHERE b = 'a\\b'", None, (3,)),
    ("url", {"sql_mode": "NO_BACKSLASH_ESCAPES"}, r"SELECT a FROM t WHERE b = 'a\\b'", None, (3,)),
    ("init_connect", {"sql_mode": "EMPTY_STRING_IS_NULL"}, "SELECT count(*) FROM t WHERE b = ''", (0,), (1,)),
    ("global", {"sql_mode": "HIGH_NOT_PRECEDENCE"}, "SELECT max(a) FROM t WHERE NOT a BETWEEN -5 AND 5", (3,), (None,)),
    ("init_connect", {"timestamp": "1"}, "SELECT CURRENT_DATE > '2020-01-01'", (0,), (1,)),
    ("init_connect", {"system_versioning_asof": "2020-01-01"}, "SELECT count(*) FROM versioned", (0,), (1,)),
    ("global", {"time_zone": "+09:00"}, "SELECT FROM_UNIXTIME(0)", ("1970-01-01T09:00:00",), ("1970-01-01T00:00:00",)),
    (
        "global",
        {"group_concat_max_len": "4"},
        "SELECT GROUP_CONCAT(a + 1000 ORDER BY a) FROM t",
        ("1001",),
        ("1001,1002,1003",),
    ),
    ("global", {"sql_select_limit": "1"}, "SELECT count(*) FROM versioned", "statement_refused", (1,)),
    ("global", {"div_precision_increment": "0"}, "SELECT 1 / 3", (0,), (0.3333,)),
    ("global", {"default_week_format": "3"}, "SELECT WEEK('2026-01-01')", (1,), (0,)),
    ("global", {"lc_time_names": "de_DE"}, "SELECT MONTHNAME('2026-01-01')", ("Januar",), ("January",)),
    ("global", {"max_recursive_iterations": "1"}, COUNTED, (2,), (9,)),
]
CASES = [
    pytest.param(kind, *case, marks=server, id=f"{kind}-{case[0]}-{next(iter(case[1]))}-was-{case[3]}")
    for kind, cases in (("postgres", POSTGRES_CASES), ("mariadb", MARIADB_CASES))
    for case in cases
]
"""Where a setting is turned, which, a statement, and its one row before settings were pinned and now."""


@pytest.mark.parametrize(("place", "level", "turned", "sql", "before", "now"), CASES, indirect=["place"])
def test_a_setting_changes_no_answer(
    place: Place, level: str, turned: dict[str, str], sql: str, before: object, now: object
) -> None:
    with place.turned(level, turned) as url, desk(url) as asked:
        assert asked.ask(sql) == [now]
    assert now != before


# --- every setting on every level -------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_every_setting_is_pinned_on_every_level(place: Place) -> None:
    wrong = WRONG["postgres" if place.server.account == "postgres" else "mariadb"]
    pins = {"search_path": "public, pg_temp", **postgres.PINS, **postgres.PINS_ONCE}
    pins = pins if wrong is POSTGRES_WRONG else {n: str(v) for n, v in mysql.MARIADB_PINS.items()}
    assert set(wrong) == set(pins), "each has a value that is wrong"
    lines = list(read_matrix(place, wrong))
    for line in lines:
        print(line)
        assert sorted(line.pinned.split(",")) == sorted(pins[line.setting].split(",")), line
    assert len({line.setting for line in lines if line.plain != line.pinned}) == len(wrong), "each was wrong somewhere"
    assert {line.level for line in lines} == set(place.levels)


def test_sqlite_is_pinned_however_it_was_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "connect", partial(sqlite3.connect, factory=WrongSqlite))
    assert set(SQLITE_WRONG) == {*sqlite.PINS, "case_sensitive_like"}
    with desk(make_sqlite(tmp_path / "data.sqlite")) as asked:
        assert asked.ask("SELECT t.a FROM t WHERE b LIKE 'X'") == [(1,)]
        assert asked.ask("SELECT a FROM t") == [(1,), (2,), (3,)]
        with asked.manager.connect("main") as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.set_authorizer(None)
            assert {name: raw.execute(f"PRAGMA {name}").fetchone()[0] for name in sqlite.PINS} == sqlite.PINS


@pytest.mark.skipif(not hasattr(sqlite3.Connection, "setconfig"), reason="Python 3.12 is the first to turn it")
def test_a_mistyped_name_in_quotes_is_no_text_in_sqlite(tmp_path: Path) -> None:
    with desk(make_sqlite(tmp_path / "data.sqlite")) as asked:
        assert asked.ask('SELECT "bb" FROM t') == "statement_invalid"


PIECES = (
    "\\",
    "\\\\",
    "'",
    "''",
    '"',
    "||",
    " -- ",
    "/*",
    "*/",
    " AS x, ",
    "k",
    " FROM secret ",
    "縗",
    "é",
    "%",
    "x",
    "b",
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
FORMS = st.sampled_from(
    (
        "SELECT '{}' AS x, '{}' AS y FROM t WHERE a = 1",
        "SELECT a FROM t WHERE b = '{}' OR b LIKE '{}' ORDER BY a",
        "SELECT concat(b, '{}'), replace(b, 'a', '{}') FROM t ORDER BY a",
        "SELECT d, n FROM t WHERE NOT a BETWEEN 1 AND 2 AND '{}' <> '{}' ORDER BY a",
    )
)


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_no_text_is_read_otherwise_under_other_settings(place: Place) -> None:
    """With everything turned at once, each statement that passes has the answer of a session without it."""
    wrong = WRONG["postgres" if place.server.account == "postgres" else "mariadb"]
    levels = ("role", "database") if wrong is POSTGRES_WRONG else ("global", "url")
    passed = 0
    # The session of the first desk begins before anything is turned.
    with (
        desk(place.url) as clean,
        place.turned(levels[0], wrong),
        place.turned(levels[1], wrong) as url,
        desk(url) as asked,
    ):

        @given(FORMS, TEXTS, TEXTS)
        @examples(max_examples=200, deadline=None, derandomize=True, database=None)
        def compare(form: str, left: str, right: str) -> None:
            nonlocal passed
            sql = form.format(left, right)
            answer = asked.ask(sql)
            assert answer == clean.ask(sql), sql
            assert SECRET not in repr(answer), sql
            passed += isinstance(answer, list)

        compare()
    assert passed > 50, "most are refused; the test shows little"


@pytest.mark.parametrize(
    ("module", "name", "given"),
    [
        pytest.param("postgres", "DateStyle", "ISO", marks=server),
        pytest.param("mariadb", "sql_mode", "ANSI", marks=server),
        ("sqlite", "short_column_names", 7),
    ],
)
def test_a_setting_that_does_not_hold_refuses_the_connection(
    module: str,
    name: str,
    given: object,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server makes another value of what it is given, as one does that a proxy or a hook stands before."""
    pins = {"postgres": postgres.PINS, "mariadb": mysql.MARIADB_PINS, "sqlite": sqlite.PINS}[module]
    url = make_sqlite(tmp_path / "d") if module == "sqlite" else request.getfixturevalue(f"{module}_shop").url
    monkeypatch.setitem(pins, name, given)  # type: ignore[arg-type]
    with pytest.raises(errors.SettingNotHeld) as caught:
        Desk(url)
    assert list(caught.value.details) == [name]
    assert (caught.value.status, caught.value.reason) == (503, "setting_not_held")
    assert f"database main: setting_not_held ({name}: " in caplog.text


def test_sessions_over_http_are_pinned_whatever_the_url_says() -> None:
    turned = {f"ch_{name}": "1" for name in http.CLICKHOUSE_PINS}
    held = http.limit_session("clickhouse", {**turned, "ch_max_threads": "2"}, 1, 5)
    assert {name: held[f"ch_{name}"] for name in http.CLICKHOUSE_PINS} == http.CLICKHOUSE_PINS
    assert held["ch_max_threads"] == "2"
    headers = {"X-Trino-Path": "evil.functions", "X-Own": "1"}
    held = http.limit_session("trino", {"http_headers": headers, "timezone": "Asia/Tokyo"}, 1, 5)
    assert (held["http_headers"], held["timezone"]) == ({"X-Own": "1"}, "UTC")


# --- logins that may do too much --------------------------------------------------------------------

TOO_MUCH = [
    pytest.param("postgres", sql, told, marks=server, id=f"postgres-{told}")
    for sql, told in (
        ("ALTER ROLE reader SUPERUSER", "reader: superuser"),
        ("ALTER ROLE reader BYPASSRLS", "reader: BYPASSRLS"),
        ("GRANT pg_read_server_files TO reader", "pg_read_server_files: files"),
        ("GRANT pg_execute_server_program TO reader", "pg_execute_server_program: files"),
        ("GRANT owner TO reader", "owner: superuser"),
    )
] + [
    pytest.param("mariadb", sql, told, marks=server, id=f"mariadb-{told}")
    for sql, told in (
        ("GRANT FILE ON *.* TO reader", "FILE: *.*"),
        ("GRANT SUPER ON *.* TO reader", "SUPER: *.*"),
        ("GRANT ALL ON *.* TO reader", "ALL PRIVILEGES: *.*"),
    )
]
UNDONE = {
    "postgres": (
        "ALTER ROLE reader NOSUPERUSER NOBYPASSRLS",
        "REVOKE pg_read_server_files, pg_execute_server_program, owner FROM reader",
    ),
    "mysql": ("REVOKE ALL PRIVILEGES ON *.* FROM reader",),
}


@pytest.mark.parametrize(("place", "sql", "told"), TOO_MUCH, indirect=["place"])
def test_a_login_that_may_do_too_much_is_refused(
    place: Place, sql: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    place.owner(sql)
    try:
        with pytest.raises(errors.PrivilegedLogin) as caught:
            Desk(place.url)
        assert (caught.value.status, caught.value.reason) == (503, "privileged_login")
        assert f"database main: privileged_login ({told}" in caplog.text
        with desk(place.url, allow_privileged_login=True) as asked:
            assert asked.ask("SELECT b FROM t WHERE a = 1") == [("x",)]
    finally:
        place.owner(*UNDONE[place.server.account])


@server
def test_a_login_with_files_still_reads_what_was_judged(postgres_shop: Place) -> None:
    """Before settings were pinned this gave the content of a file of the server: 15."""
    postgres_shop.owner("GRANT pg_read_server_files TO reader")
    postgres_shop.owner("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO reader")
    try:
        with (
            postgres_shop.turned("role", OFF) as url,
            desk(url, allow_privileged_login=True) as asked,
        ):
            assert asked.ask(FILED) == [("\\", " || pg_read_file($$PG_VERSION$$) AS z --")]
    finally:
        postgres_shop.owner("REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM reader", *UNDONE["postgres"])


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_a_service_with_such_a_login_is_not_ready(place: Place, tmp_path: Path) -> None:
    owner = sqlalchemy.make_url(place.server.url).set(database="shop").render_as_string(hide_password=False)
    with running(load(state_dir=tmp_path / "state", database_url=owner)) as app:
        ready = app.get("/health/ready")
        assert (ready.status_code, ready.get_json()["reasons"]) == (503, ["database is unhealthy"])
        refused = app.post("/api/sql", {"sql": "SELECT a FROM t"})
        assert (refused.status_code, refused.get_json()["reason"]) == (503, "privileged_login")
        assert "ALLOW_PRIVILEGED_LOGIN" in refused.get_json()["hint"]
        assert PASSWORD not in refused.text
    allowed = load(state_dir=tmp_path / "state", database_url=owner, allow_privileged_login=True)
    with running(allowed) as app:
        assert app.get("/health/ready").status_code == 200
        assert app.post("/api/sql", {"sql": "SELECT a FROM t WHERE a = 1"}).get_json()["rows"] == [[1]]


WRITES = [
    pytest.param("postgres", grant, revoke, marks=server)
    for grant, revoke in (
        ("GRANT INSERT ON t TO reader", "REVOKE INSERT ON t FROM reader"),
        ("GRANT UPDATE (b) ON t TO reader", "REVOKE UPDATE (b) ON t FROM reader"),
        ("GRANT CREATE ON SCHEMA public TO reader", "REVOKE CREATE ON SCHEMA public FROM reader"),
        ("GRANT CREATE ON DATABASE shop TO reader", "REVOKE CREATE ON DATABASE shop FROM reader"),
    )
] + [
    pytest.param("mariadb", grant, revoke, marks=server)
    for grant, revoke in (
        ("GRANT DELETE ON shop.* TO reader", "REVOKE DELETE ON shop.* FROM reader"),
        ("GRANT UPDATE (b) ON shop.t TO reader", "REVOKE UPDATE (b) ON shop.t FROM reader"),
    )
]


@pytest.mark.parametrize(("place", "grant", "revoke"), WRITES, indirect=["place"])
def test_a_login_that_may_write_is_told(
    place: Place, grant: str, revoke: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def look(state: str) -> tuple[Any, float, int]:
        caplog.clear()
        with running(load(state_dir=tmp_path / state, database_url=place.url)) as app:
            health = app.get("/health").get_json()
            assert health["status"] == "healthy"
            told = [r for r in caplog.records if r.levelno == logging.WARNING and "login may write" in r.getMessage()]
            return health["details"], app.counted("writing_logins"), len(told)

    assert look("before") == ({}, 0, 0)
    place.owner(grant)
    try:
        assert look("after") == ({"database": "the login may write"}, 1, 1)
    finally:
        place.owner(revoke)
