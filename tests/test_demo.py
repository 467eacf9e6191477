from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy

from sql_synthesizer.demo import create_demo, demo_settings, ensure_demo, load_demo
from sql_synthesizer.demo.tables import SENSITIVE, SHAREABLE, metadata
from sql_synthesizer.errors import ConfigurationError

DUMP = "9ec6baa82bfe8fa520d09bef2e32212540c6bc2177689af22f3a8e94027a605f"
"""SHA-256 of the demo's rows: questions with known answers rely on it."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "shop.sqlite"
    create_demo(path)
    return path


def dump(path: Path) -> str:
    with closing(sqlite3.connect(path)) as connection:
        rows = [connection.execute(f"SELECT * FROM {name}").fetchall() for name in sorted(metadata.tables)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def test_the_demo_never_changes(shop: Path) -> None:
    assert dump(shop) == DUMP


def test_the_demo_is_the_same_each_time(shop: Path, tmp_path: Path) -> None:
    again = tmp_path / "deeper" / "again.sqlite"
    create_demo(again)
    assert again.read_bytes() == shop.read_bytes()
    assert [file.name for file in again.parent.iterdir()] == ["again.sqlite"]


def test_the_demo_is_of_the_promised_size_and_consistent(shop: Path) -> None:
    with closing(sqlite3.connect(shop)) as connection:
        counts = {
            name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in sorted(metadata.tables)
        }
        assert len(counts) >= 8
        assert 45_000 < sum(counts.values()) < 60_000
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("SELECT max(review_date) FROM reviews").fetchone()[0] <= "2026-10-31"
        late = (
            "SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.signup_date > o.order_date"
        )
        assert connection.execute(late).fetchone()[0] == 0


def test_its_settings_name_columns_that_exist(shop: Path) -> None:
    config = demo_settings(shop)
    assert config.name == "shop"
    assert not set(config.sensitive) & set(config.shareable)
    for column in (*SENSITIVE, *SHAREABLE):
        table, _, name = column.partition(".")
        assert name in metadata.tables[table].columns


def test_an_existing_demo_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "shop.sqlite"
    path.write_text("mine")
    ensure_demo(path)
    assert path.read_text() == "mine"


@pytest.mark.server
@pytest.mark.parametrize("kind", ["postgres", "mariadb"])
def test_servers_hold_the_same_rows(kind: str, shop: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue(f"own_{kind}").url
    assert load_demo(url)
    assert not load_demo(url)
    engine = sqlalchemy.create_engine(url)
    queries = [f"SELECT count(*) FROM {name}" for name in sorted(metadata.tables)]
    queries.append("SELECT sum(quantity) FROM order_items")
    with engine.begin() as there, closing(sqlite3.connect(shop)) as here:
        for query in queries:
            assert int(there.exec_driver_sql(query).scalar_one()) == here.execute(query).fetchone()[0]
        there.exec_driver_sql("DROP TABLE reviews")
    engine.dispose()
    with pytest.raises(ConfigurationError, match="orders"):
        load_demo(url)
