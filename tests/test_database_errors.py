"""What went wrong is told in a class of its own, and without secrets."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy

from sql_synthesizer import errors
from tests.support.databases import PASSWORD
from tests.support.managers import KINDS, SERVERS, Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url

INVALID = [
    ("SELECT nope FROM item", "undefined_column", "nope"),
    ("SELECT i.nope FROM item i", "undefined_column", "i.nope"),
    ("SELECT * FROM nope", "undefined_table", "nope"),
    ("SELECT nope(id) FROM item", "undefined_function", "nope"),
    ("SELECT id FROM item a JOIN item b ON a.id = b.id", "ambiguous_column", "id"),
    ("SELECT FROM WHERE", "syntax", ""),
    ("SELECT id FROM item WHERE sum(id) > 1", "grouping", ""),
]


@pytest.mark.parametrize(("sql", "kind", "identifier"), INVALID)
@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_wrong_statement_says_what_is_wrong(
    url: str, sql: str, kind: str, identifier: str, bench: Callable[..., Bench]
) -> None:
    with pytest.raises(errors.StatementInvalid) as caught:
        bench(url).run(sql)
    assert caught.value.details["class"] == kind
    assert caught.value.details["identifier"].rpartition("." if "." not in identifier else "\n")[2] == identifier


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1 / 0", "data"),
        ("SELECT CAST('hidden value' AS integer)", "data"),
        ("SELECT id, count(*) FROM item", "grouping"),
        ("SELECT sum(label) FROM item", "undefined_function"),
        ("SELECT CASE WHEN id > 1 THEN 1 ELSE TRUE END FROM item", "type"),
    ],
)
def test_postgres_classes(url: str, sql: str, kind: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementInvalid) as caught:
        bench(url).run(sql)
    assert caught.value.details["class"] == kind
    assert "hidden" not in str(caught.value.body("t")) + str(caught.value.details)


@pytest.mark.server
@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_missing_permission_is_a_failure_of_the_service(url: str, bench: Callable[..., Bench]) -> None:
    owner = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with owner.connect() as connection:
        if owner.dialect.name == "postgresql":
            connection.exec_driver_sql("DROP ROLE IF EXISTS reader")
            connection.exec_driver_sql(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        else:
            connection.exec_driver_sql("CREATE DATABASE IF NOT EXISTS empty_one")
            connection.exec_driver_sql(f"CREATE OR REPLACE USER reader IDENTIFIED BY '{PASSWORD}'")
            connection.exec_driver_sql("GRANT SELECT ON empty_one.* TO reader")
    owner.dispose()
    target = sqlalchemy.make_url(url).set(username="reader")
    if owner.dialect.name != "postgresql":
        target = target.set(database="empty_one")
    one = bench(target.render_as_string(hide_password=False))
    with pytest.raises(errors.PrivilegeMissing):
        one.run("SELECT * FROM " + ("item" if owner.dialect.name == "postgresql" else "shop.item"))


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_passwords_are_never_shown(
    kind: str, request: pytest.FixtureRequest, bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture
) -> None:
    good: str = request.getfixturevalue(f"{kind}_url")
    caplog.set_level(logging.DEBUG)
    for wrong in (good.replace(PASSWORD, "wr0ng-secret"), good.replace("/postgres", "/none").replace("/shop", "/none")):
        one = bench(wrong)
        with pytest.raises(errors.DatabaseUnavailable) as caught:
            one.run("SELECT 1")
        with pytest.raises(errors.DatabaseUnavailable):
            one.manager.ping("main", 2)
        assert caught.value.__cause__ is None
        shown = str(caught.value.body("t")) + repr(caught.value) + caplog.text
        assert "wr0ng-secret" not in shown
        assert PASSWORD not in shown
    assert "database main" in caplog.text


def test_nothing_listens(bench: Callable[..., Bench], caplog: pytest.LogCaptureFixture) -> None:
    one = bench("mysql://someone:top-secret@127.0.0.1:1/shop")
    assert one.manager.dialect("main") == "mysql"
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1")
    assert "top-secret" not in caplog.text
    assert one.in_use() == 0


def test_a_file_that_goes_away_is_unavailable(tmp_path: Path, bench: Callable[..., Bench]) -> None:
    path = tmp_path / "gone.sqlite"
    path.touch()
    one = bench(f"sqlite:///{path}")
    path.unlink()
    with pytest.raises(errors.DatabaseUnavailable):
        one.run("SELECT 1")
    with pytest.raises(errors.DatabaseUnavailable):
        one.manager.ping("main", 1)
    assert not path.exists()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path, bench: Callable[..., Bench]) -> None:
    path = tmp_path / "text.sqlite"
    path.write_text("plain text, longer than the header of a database file is. " * 20)
    with pytest.raises(errors.DatabaseUnavailable):
        bench(f"sqlite:///{path}").run("SELECT 1")
