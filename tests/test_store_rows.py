"""Keys, questions and ratings on SQLite and PostgreSQL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sql_synthesizer.errors import StoreUnavailable
from sql_synthesizer.model import Role
from sql_synthesizer.store import COMMENT_CHARS, Store
from tests.support.serving import HANG
from tests.support.store import entry, key
from tests.support.store import open_store as open_store
from tests.support.store import store as store
from tests.support.store import url as url

# --- keys ------------------------------------------------------------------------------------


def test_keys_are_kept_listed_and_revoked(store: Store) -> None:
    one, two = key("k1"), key("k2", role=Role.OPERATOR, created_at=0.5, expires_at=9.0)
    store.add_key(one)
    store.add_key(two)
    assert store.get_key("k1") == one
    assert store.list_keys() == [two, one]
    assert store.get_key("nobody") is None
    assert store.get_key("a\0\ud800") is None
    assert store.revoke_key("k1")
    assert not store.revoke_key("k1")
    assert not store.revoke_key("nobody")
    revoked = store.get_key("k1")
    assert revoked is not None
    assert revoked.revoked_at == pytest.approx(time.time(), abs=HANG)


def test_a_key_is_rotated_whole_or_not_at_all(store: Store) -> None:
    store.add_key(key("old"))
    assert not store.rotate("nobody", key("new"))
    assert [k.id for k in store.list_keys()] == ["old"]
    with pytest.raises(StoreUnavailable):
        store.rotate("old", key("old"))
    assert store.list_keys() == [key("old")]
    assert store.rotate("old", key("new", created_at=2.0))
    assert [(k.id, k.revoked_at is None) for k in store.list_keys()] == [("old", False), ("new", True)]


def test_a_key_in_force_is_given_a_limit_and_loses_its_sessions(store: Store) -> None:
    store.add_key(key("k1", rate_limit="5/minute"))
    assert store.get_key("k1") == key("k1", rate_limit="5/minute")
    assert store.limit_key("k1", "7/hour")
    store.end_sessions("k1")
    store.end_sessions("k1")
    assert store.get_key("k1") == key("k1", rate_limit="7/hour", session_version=2)
    assert not store.limit_key("nobody", "7/hour")
    store.end_sessions("nobody")
    store.revoke_key("k1")
    assert not store.limit_key("k1", "9/hour")


def test_the_digest_is_not_shown() -> None:
    assert "d1" not in repr(key())
    assert "5a" not in repr(key())


# --- history and feedback --------------------------------------------------------------------


def test_history_is_the_callers_own_newest_first(store: Store) -> None:
    store.add_key(key("k1"))
    store.add_history([entry("a", asked_at=1_900_000_001.5), entry("b", asked_at=1_900_000_002.0)])
    store.add_history([entry("c", identity="other", asked_at=1_900_000_003.0)])
    store.add_history([])
    items = store.history("k1")
    assert [item.question_id for item in items] == ["b", "a"]
    assert items[1] == entry("a", asked_at=1_900_000_001.5)
    assert [item.question_id for item in store.history("k1", 1)] == ["b"]
    assert store.history("k1", -5) == []
    found = store.find_question("c")
    assert found is not None
    assert found.identity == "other"
    assert store.find_question("nothing") is None
    used = store.get_key("k1")
    assert used is not None
    assert used.last_used_at == 1_900_000_002.0


def test_odd_text_is_kept_as_far_as_it_can_be(store: Store) -> None:
    store.add_history([entry(question="a\0b \ud800 é 你", sql="'; DROP TABLE history; --")])
    found = store.find_question("q1")
    assert found is not None
    assert found.question == "ab ? é 你"
    assert found.sql == "'; DROP TABLE history; --"


def test_an_id_seen_twice_is_kept_once(store: Store) -> None:
    store.add_history([entry(question="first"), entry(question="second")])
    store.add_history([entry(question="third"), entry("q2")])
    assert [item.question for item in store.history("k1")][-1] == "first"
    assert len(store.history("k1")) == 2


def test_only_ones_own_question_is_rated_and_the_last_rating_counts(store: Store) -> None:
    store.add_history([entry()])
    assert store.rate("q1", "k1", "down", "x" * 900)
    assert store.rate("q1", "k1", "up", None)
    assert store.rate("q1", "k1", "down", "é" * 900)
    assert not store.rate("q1", "other", "up")
    assert not store.rate("none", "k1", "up")
    with store._engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT rating, comment FROM feedback").all()
    assert [tuple(row) for row in rows] == [("down", "é" * COMMENT_CHARS)]


def test_history_is_bounded(store: Store) -> None:
    now = time.time()
    store.add_history([entry(f"q{n}", asked_at=now - n) for n in range(20)])
    store.add_history([entry("ancient", asked_at=now - 91 * 86_400)])
    assert store.rate("q15", "k1", "up")
    assert store.rate("q1", "k1", "up")
    store.prune(rows=100)
    assert store.find_question("ancient") is None
    assert len(store.history("k1", 100)) == 20
    store.prune(rows=10)
    assert [item.question_id for item in store.history("k1", 100)] == [f"q{n}" for n in range(10)]
    with store._engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM feedback").scalar() == 1


def test_threads_share_the_store(store: Store) -> None:
    def work(n: int) -> None:
        store.add_history([entry(f"{n}-{i}") for i in range(5)])
        store.rate(f"{n}-0", "k1", "up")
        store.history("k1")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert len(store.history("k1", 1000)) == 200
