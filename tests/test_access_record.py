"""What access puts on record, and what it refuses to do without."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sql_synthesizer.access import Access
from sql_synthesizer.errors import AuditUnavailable, NotFound
from sql_synthesizer.model import Role
from sql_synthesizer.settings import Settings
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry import Event, Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryRecorder
from sql_synthesizer.telemetry.vocabulary import OperationType
from tests.support.access import access as access
from tests.support.access import events_named, id_of, with_key
from tests.support.access import make as make
from tests.support.access import recorder as recorder
from tests.support.access import store as store


def test_success_is_recorded_once_for_each_address(access: Access, recorder: MemoryRecorder) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    for _ in range(3):
        access.authenticate(with_key(key))
    access.authenticate(replace(with_key(key), address="192.0.2.8"))
    first, second = events_named(recorder, "authentication_success")
    assert first.details == {"identity": id_of(key), "role": "viewer", "address": "192.0.2.7", "method": "key"}
    assert second.details["address"] == "192.0.2.8"
    with access._lock:
        access._seen.expire(time.monotonic() + 901)
    access.authenticate(with_key(key))
    assert len(events_named(recorder, "authentication_success")) == 3


@pytest.mark.parametrize("operation", [None, vocabulary.COMMAND])
def test_no_key_changes_unless_the_record_is_durable(
    access: Access, store: Store, recorder: MemoryRecorder, operation: OperationType | None
) -> None:
    key_id = id_of(access.keys.create_key("laptop", Role.VIEWER))
    before = store.list_keys()
    recorder.failing = AuditUnavailable()
    for change in (
        lambda: access.keys.create_key("other", Role.VIEWER),
        lambda: access.keys.rotate_key(key_id),
        lambda: access.keys.limit_key(key_id, "9/minute"),
        lambda: access.keys.revoke_key(key_id),
    ):
        with (
            pytest.raises(AuditUnavailable),
            contextlib.nullcontext() if operation is None else access._telemetry.operation(operation),
        ):
            change()
    assert store.list_keys() == before


def test_the_first_key_is_not_left_unless_the_record_is_durable(
    access: Access, store: Store, recorder: MemoryRecorder, tmp_path: Path
) -> None:
    recorder.failing = AuditUnavailable()
    with pytest.raises(AuditUnavailable):
        access.ensure_first_key(tmp_path / "key")
    assert store.list_keys() == []
    assert not (tmp_path / "key").exists()


def test_what_cannot_be_revoked_leaves_no_record_of_a_change(access: Access, recorder: MemoryRecorder) -> None:
    key_id = id_of(access.keys.create_key("laptop", Role.VIEWER))
    access.keys.revoke_key(key_id)
    for change in (access.keys.revoke_key, access.keys.rotate_key, partial(access.keys.limit_key, limit="9/minute")):
        for name in (key_id, "nobody"):
            with pytest.raises(NotFound):
                change(name)
    assert [e.details["change"] for e in events_named(recorder, "credential_change")] == ["created", "revoked"]


def test_nobody_gets_in_unrecorded(store: Store) -> None:
    class Full(MemoryRecorder):
        def append(self, event: Event) -> int:
            raise AuditUnavailable

    telemetry = Telemetry()
    access = Access(Settings(auth="required"), store, telemetry)
    key = access.keys.create_key("laptop", Role.VIEWER)
    telemetry.recorder = Full()
    with pytest.raises(AuditUnavailable):
        access.keys.create_key("unrecorded", Role.VIEWER)
    assert len(store.list_keys()) == 1
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            access.authenticate(with_key(key))


def test_what_is_remembered_is_bounded(access: Access) -> None:
    key = access.keys.create_key("laptop", Role.VIEWER)
    for n in range(10_050):
        access.authenticate(replace(with_key(key), address=f"10.0.{n >> 8}.{n & 255}"))
    assert len(access._seen) == 10_000
