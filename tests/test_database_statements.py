"""What is run is read only, cut at its caps, and told in rows of JSON scalars."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy

from sql_synthesizer import errors
from sql_synthesizer.telemetry import Reading, vocabulary
from tests.support.managers import KINDS, Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url
from tests.support.serving import HANG


def count(url: str, table: str = "item") -> int:
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        found = int(connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar_one())
    engine.dispose()
    return found


# --- running ----------------------------------------------------------------------------------


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_answers_are_rows_of_json_scalars(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url).run("SELECT id, label, price FROM item WHERE id IN (1, 2) ORDER BY id")
    assert rows.columns == ("id", "label", "price")
    assert rows.rows == ((1, "label 1", 1.5), (2, "label 2", 2.5))
    assert not rows.truncated


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_percent_and_colon_are_plain_characters(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url).run("SELECT count(*), ':name', '100%s' FROM item WHERE label LIKE 'label 199%'")
    assert rows.rows == ((11, ":name", "100%s"),)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_rows_are_cut_at_the_cap(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url)
    for wanted in (1, 499, 500, 501, 1999):
        rows = one.run("SELECT id FROM item ORDER BY id", rows=wanted)
        assert (len(rows.rows), rows.truncated) == (wanted, True)
    rows = one.run("SELECT id FROM item ORDER BY id", rows=2000)
    assert (len(rows.rows), rows.truncated) == (2000, False)
    assert not one.run("SELECT id FROM item LIMIT 5", rows=5).truncated
    assert one.run("SELECT id FROM item LIMIT 1900", rows=5).truncated
    assert one.run("SELECT 1").rows == ((1,),)
    assert one.in_use() == 0


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_bytes_are_cut_at_the_cap(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url, byte_cap=1000).run("SELECT label FROM item", rows=2000)
    assert rows.truncated
    assert 900 < rows.byte_count <= 1000


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_an_empty_result_has_its_columns(url: str, bench: Callable[..., Bench]) -> None:
    rows = bench(url).run("SELECT id, id FROM item WHERE id < 0")
    assert (rows.columns, rows.rows, rows.truncated) == (("id", "id_2"), (), False)


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_levels_of_the_pool_are_reported(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=3)
    with one.manager.connect("main"), one.manager.connect("main", 5):
        assert one.in_use() == 2
    assert one.in_use() == 0
    limits = [f for f in one.observer.facts if isinstance(f, Reading) and f.type is vocabulary.POOL_LIMIT]
    assert [(dict(f.labels), f.value) for f in limits] == [({"database_type": one.manager.dialect("main")}, 3)]


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_ping_answers(url: str, bench: Callable[..., Bench]) -> None:
    bench(url).manager.ping("main", HANG)


# --- reading only -----------------------------------------------------------------------------


WRITES = [
    "INSERT INTO item VALUES (-1, 'x', 1)",
    "UPDATE item SET label = 'x'",
    "DELETE FROM item",
    "DROP TABLE item",
    "CREATE TABLE other (id INTEGER)",
    "TRUNCATE TABLE item",
    "ALTER TABLE item ADD COLUMN more INTEGER",
    "ATTACH DATABASE '/tmp/other.sqlite' AS other",
    "PRAGMA query_only = OFF",
    "COPY item TO '/tmp/item.csv'",
    "SET TRANSACTION READ WRITE",
    "COMMIT",
    "VACUUM",
    "SELECT 1; DELETE FROM item",
    "SELECT 1; COMMIT; DELETE FROM item",
    "WITH gone AS (DELETE FROM item RETURNING id) SELECT * FROM gone",
    "WITH x AS (SELECT 1) DELETE FROM item",
    "SELECT * INTO other FROM item",
    "SELECT id FROM item FOR UPDATE; DELETE FROM item",
    "/* SELECT */ DELETE FROM item",
    "(SELECT 1); DROP TABLE item",
    "",
    "SELECT '\x00'; DELETE FROM item",
]


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_nothing_can_be_written(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    for sql in WRITES:
        with pytest.raises((errors.StatementRefused, errors.StatementInvalid)):
            one.run(sql)
    assert count(url) == 2000
    assert one.run("SELECT count(*) FROM item").rows == ((2000,),)
    assert one.in_use() == 0


@pytest.mark.parametrize("url", KINDS, indirect=True)
def test_a_lent_connection_cannot_write(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url)
    for sql in ("INSERT INTO item VALUES (-1, 'x', 1)", "CREATE TABLE other (id INTEGER)"):
        with pytest.raises(errors.StatementRefused), one.manager.connect("main") as connection:
            connection.exec_driver_sql(sql)
    assert count(url) == 2000


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
def test_postgres_settings_do_not_outlive_a_statement(url: str, bench: Callable[..., Bench]) -> None:
    one = bench(url, pool_size=1)
    with pytest.raises(errors.StatementRefused):
        one.run("SELECT set_config('transaction_read_only', 'off', false)")
    one.run("SELECT set_config('default_transaction_read_only', 'off', false)")
    assert one.run("SELECT current_setting('default_transaction_read_only')").rows == (("on",),)
    # What a read-only transaction does not refuse is undone with it.
    one.run("SELECT lo_create(4711)")
    assert one.run("SELECT count(*) FROM pg_largeobject_metadata").rows == ((0,),)


def test_hostile_patterns_are_refused_in_sqlite(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementRefused):
        bench(sqlite_url).run("SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' REGEXP '(a+)+$'")
