"""Keys: made, checked, ended, rotated, and the first of them."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer.access import KEY_TTL, Access, Session, _keys
from sql_synthesizer.errors import AuthenticationFailed, ConfigurationError, InvalidRequest, NotFound, StoreUnavailable
from sql_synthesizer.model import ApiKey, Caller, Role
from sql_synthesizer.settings import Settings
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry import Telemetry
from sql_synthesizer.telemetry.testing import MemoryRecorder
from tests.support.access import REMOTE, events_named, id_of, with_key
from tests.support.access import access as access
from tests.support.access import make as make
from tests.support.access import recorder as recorder
from tests.support.access import store as store
from tests.support.serving import HANG, ends, until

# --- keys ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", list(Role))
def test_a_key_names_its_caller(access: Access, store: Store, role: Role) -> None:
    key = access.keys.create_key("laptop", role)
    assert len(key.split("_", 2)[2]) == 43
    assert access.authenticate(with_key(key)) == Caller(id_of(key), role, "192.0.2.7", "key")
    kept = store.get_key(id_of(key))
    assert kept is not None
    assert key.split("_", 2)[2] not in str(
        (kept.label, kept.salt, kept.digest, (store._state_dir / "store.sqlite").read_bytes())
    )


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: key[:-1] + ("A" if key[-1] != "A" else "B"),
        lambda key: key[:-1],
        lambda key: key + "A",
        lambda key: key + "\n",
        lambda key: " " + key,
        lambda key: key.upper(),
        lambda key: "sqs_" + "0" * 12 + key[16:],
        lambda _: "x",
        lambda _: "sqs__",
        lambda _: "\0\ud800",
        lambda _: "x" * 100_000,
    ],
)
def test_a_wrong_key_is_refused_with_one_message(access: Access, recorder: MemoryRecorder, spoil: Any) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    wrong = spoil(key)
    with pytest.raises(AuthenticationFailed) as raised:
        access.authenticate(with_key(wrong))
    assert raised.value.message == AuthenticationFailed.default_message
    assert raised.value.details["address"] == "192.0.2.7"
    assert wrong not in str(raised.value.details)
    assert key[17:] not in str(raised.value.details)
    assert not events_named(recorder, "authentication_success")


def test_keys_end(access: Access, store: Store) -> None:
    key = access.keys.create_key("for a day", Role.VIEWER, days=1)
    kept = store.get_key(id_of(key))
    assert kept is not None
    assert kept.expires_at == pytest.approx(time.time() + 86_400, abs=HANG)
    access.authenticate(with_key(key))
    with access.keys._lock:
        access.keys._cached[id_of(key)] = replace(kept, expires_at=time.time() - 1)
    with pytest.raises(AuthenticationFailed) as raised:
        access.authenticate(with_key(key))
    assert raised.value.details["cause"] == "expired"


def test_a_revoked_key_is_refused(access: Access) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    access.keys.revoke_key(id_of(key))
    for credentials in (with_key(key), replace(REMOTE, session=Session(id_of(key), 0, time.time() + 60))):
        with pytest.raises(AuthenticationFailed) as raised:
            access.authenticate(credentials)
        assert raised.value.details["cause"] == "revoked"
    with pytest.raises(NotFound):
        access.keys.revoke_key(id_of(key))


def test_a_key_in_use_is_read_again_when_its_time_is_over(access: Access, store: Store) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    store.revoke_key(id_of(key))
    read_before = time.monotonic()
    for _ in range(3):
        access.authenticate(with_key(key))
    with access.keys._lock:
        access.keys._cached.expire(read_before + KEY_TTL)
    with pytest.raises(AuthenticationFailed):
        access.authenticate(with_key(key))


def test_a_key_is_rotated(access: Access, store: Store) -> None:
    old = access.keys.create_key("laptop", Role.ANALYST, days=30, limit="7/hour")
    new = access.keys.rotate_key(id_of(old))
    caller = access.authenticate(with_key(new))
    assert (caller.role, caller.rate_limit) == (Role.ANALYST, "7/hour")
    with pytest.raises(AuthenticationFailed):
        access.authenticate(with_key(old))
    one, two = store.list_keys()
    assert one.label == two.label
    assert two.expires_at == pytest.approx(time.time() + 30 * 86_400, abs=HANG)
    for key_id in (id_of(old), "nobody"):
        with pytest.raises(NotFound):
            access.keys.rotate_key(key_id)


@pytest.mark.parametrize(
    ("label", "days"), [("", None), ("x" * 65, None), ("a\nb", None), ("ok", 0), ("ok", -1), ("ok", 40_000)]
)
def test_keys_that_are_not_made(access: Access, store: Store, label: str, days: int | None) -> None:
    with pytest.raises(InvalidRequest):
        access.keys.create_key(label, Role.VIEWER, days=days)
    assert store.list_keys() == []


def test_the_store_is_not_asked_for_each_request(access: Access, store: Store) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    store.close()
    (store._state_dir / "store.sqlite").unlink()
    assert access.authenticate(with_key(key)).identity == id_of(key)
    access.keys.forget(id_of(key))
    with pytest.raises(StoreUnavailable):
        access.authenticate(with_key(key))


# --- the first key ---------------------------------------------------------------------------


def test_the_first_key_is_left_in_a_private_file(make: Callable[..., Access], tmp_path: Path) -> None:
    access, path = make(auth="required"), tmp_path / "first-api-key"
    assert access.ensure_first_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = path.read_text(encoding="ascii").strip()
    assert access.authenticate(with_key(key)).role is Role.OPERATOR
    path.unlink()
    assert not access.ensure_first_key(path)
    assert not path.exists()


def test_no_first_key_where_none_is_needed(make: Callable[..., Access], tmp_path: Path, store: Store) -> None:
    assert not make().ensure_first_key(tmp_path / "key")
    assert store.list_keys() == []


def test_a_file_in_the_way_is_left_alone(
    make: Callable[..., Access], tmp_path: Path, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_text("mine")
    assert not make(auth="required").ensure_first_key(path)
    assert path.read_text() == "mine"
    assert store.list_keys() == []
    assert "remove it" in caplog.text
    with pytest.raises(ConfigurationError):
        make(auth="required").ensure_first_key(tmp_path / "no" / "key")


def test_no_file_without_its_key(make: Callable[..., Access], store: Store, tmp_path: Path) -> None:
    class Broken:
        list_keys, get_key, revoke_key, rotate = store.list_keys, store.get_key, store.revoke_key, store.rotate
        limit_key, end_sessions = store.limit_key, store.end_sessions

        def add_key(self, key: ApiKey) -> None:
            raise StoreUnavailable

    access = Access(Settings(auth="required"), Broken(), Telemetry())
    with pytest.raises(StoreUnavailable):
        access.ensure_first_key(tmp_path / "key")
    assert not (tmp_path / "key").exists()
    assert make(auth="required").ensure_first_key(tmp_path / "key")


class Down:
    """A store that answers, fails, or hangs until ``go``."""

    def __init__(self, store: Store) -> None:
        self._store, self.fails, self.go, self.asked = store, False, threading.Event(), 0
        self.go.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_key(self, key_id: str) -> Any:
        self.asked += 1
        self.go.wait(HANG)
        if self.fails:
            raise StoreUnavailable
        return self._store.get_key(key_id)


@pytest.fixture
def down(access: Access, store: Store) -> Down:
    access.keys._store = made = Down(store)  # type: ignore[assignment]
    return made


def read_again(access: Access) -> None:
    with access.keys._lock:
        access.keys._cached.clear()


def test_a_known_key_goes_on_while_the_store_is_down(access: Access, down: Down) -> None:
    key, other = (access.keys.create_key(label, Role.VIEWER) for label in ("laptop", "desk"))
    access.authenticate(with_key(key))
    down.fails = True
    for _ in range(3):
        read_again(access)
        access.authenticate(with_key(key))
    assert down.asked == 2, "once while it answered, once when it did not, and then not for a while"
    with pytest.raises(StoreUnavailable):
        access.authenticate(with_key(other))
    with access.keys._lock:
        access.keys._known.clear()  # its time is over
    read_again(access)
    with pytest.raises(StoreUnavailable):
        access.authenticate(with_key(key))


def test_a_known_key_does_not_wait_for_a_store_that_hangs(
    access: Access, down: Down, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_keys, "SLOW", 0.0)
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    read_again(access)
    down.go.clear()
    first = threading.Thread(target=access.authenticate, args=(with_key(key),))
    first.start()
    until(lambda: access.keys._asking)
    ends(lambda: access.authenticate(with_key(key)))
    down.go.set()
    first.join(HANG)
    assert not first.is_alive()


def test_a_key_that_was_revoked_here_is_not_known_any_more(access: Access, down: Down) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    access.authenticate(with_key(key))
    access.keys.revoke_key(id_of(key))
    down.fails = True
    with pytest.raises(StoreUnavailable):
        access.authenticate(with_key(key))
