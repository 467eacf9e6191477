"""Refusals of strangers fill no disk, and every one is counted."""

from __future__ import annotations

import pytest

from sql_synthesizer.audit import log
from sql_synthesizer.audit.folding import ADDRESSES, BURST, TOTAL
from sql_synthesizer.audit.record import format_rfc3339
from sql_synthesizer.telemetry import vocabulary
from tests.support.audit import NAMES
from tests.support.audit import bench as bench


def test_a_flood_from_one_address_takes_few_records_and_every_refusal_is_counted(bench):
    tickets = [bench.refuse() for _ in range(1000)]
    bench.log.close()
    records = bench.records()
    assert sum(record["count"] for record in records) == 1000
    assert len(records) <= BURST + 3
    assert max(tickets) == BURST
    assert records[-1]["details"]["first"] == format_rfc3339(1_700_000_000_000_000_000)


def test_a_flood_from_many_addresses_is_bounded_too(bench):
    for n in range(3000):
        bench.refuse(address=f"2001:db8::{n:x}")
    bench.log.close()
    records = bench.records()
    assert sum(record["count"] for record in records) == 3000
    assert len(records) <= TOTAL + 2 * (ADDRESSES + 1)


def test_a_known_caller_over_its_limit_is_folded_too(bench):
    for n in range(1000):
        bench.refuse(address=f"2001:db8::{n:x}", name="rate_limit_exceeded", actor="key-1")
    for _ in range(1000):
        bench.refuse(name="rate_limit_exceeded", actor="key-2")
    bench.log.close()
    records = bench.records()
    for actor in ("key-1", "key-2"):
        counts = [record["count"] for record in records if record["actor"] == actor]
        assert sum(counts) == 1000
        assert len(counts) <= BURST + 3


def test_beyond_so_many_callers_their_refusals_are_counted_by_type_alone(bench):
    for n in range(3000):
        bench.refuse(name="rate_limit_exceeded", actor=f"key-{n}")
    bench.log.close()
    records = bench.records()
    assert sum(record["count"] for record in records) == 3000
    assert max(records, key=lambda record: record["count"])["actor"] == ""


@pytest.mark.parametrize(("name", "actor"), [("authentication_failure", "key-1"), ("query_execution", "")])
def test_what_a_known_caller_does_or_what_is_answered_is_never_folded(bench, name, actor):
    for _ in range(TOTAL + 1):
        bench.refuse(name=name, actor=actor)
    bench.log.close()
    assert [record["count"] for record in bench.records()] == [1] * (TOTAL + 1)


def test_folded_refusals_that_find_no_room_are_kept_for_later(bench, monkeypatch):
    monkeypatch.setattr(log, "PENDING_RECORDS", BURST)
    bench.directory.write_text("in the way")
    for _ in range(BURST + 5):
        bench.refuse()
    bench.log.flush()
    assert bench.log.pending == BURST + 1
    bench.directory.unlink()
    bench.log.close()
    assert sum(record["count"] for record in bench.records()) == BURST + 5


def test_the_ticket_of_a_folded_refusal_still_covers_the_trace(bench):
    with bench.telemetry.operation(vocabulary.COMMAND) as operation:
        bench.telemetry.emit(NAMES["query_execution"])
        operation.trace.address = "192.0.2.1"
        for _ in range(BURST + 2):
            bench.telemetry.emit(NAMES["access_denied"])
        assert operation.trace.ticket == BURST + 1
        bench.telemetry.settle()
    assert len(bench.records()) == BURST + 1
