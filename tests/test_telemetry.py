"""The facade: what is reported reaches every listener, and a broken listener harms nobody."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from sql_synthesizer import errors
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError, PoolTimeout, StatementRefused, error_classes
from sql_synthesizer.telemetry import Event, Fact, Operation, Telemetry, carry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver, MemoryRecorder
from sql_synthesizer.telemetry.traceparent import format_traceparent, parse_traceparent
from tests.support.serving import HANG

STAGE = vocabulary.STAGE_OPERATION


@pytest.fixture
def telemetry() -> Telemetry:
    facade = Telemetry()
    facade.observers.append(MemoryObserver())
    facade.recorder = MemoryRecorder()
    return facade


def observer(telemetry: Telemetry) -> MemoryObserver:
    telemetry.fold()
    (only,) = telemetry.observers
    assert isinstance(only, MemoryObserver)
    return only


def recorder(telemetry: Telemetry) -> MemoryRecorder:
    assert isinstance(telemetry.recorder, MemoryRecorder)
    return telemetry.recorder


def test_operations_nest_into_one_trace(telemetry: Telemetry) -> None:
    with telemetry.operation(vocabulary.HTTP_REQUEST) as outer, telemetry.operation(STAGE, stage="execute") as inner:
        pass
    assert inner.trace is outer.trace
    assert inner.parent_id == outer.span_id
    assert outer.parent_id == ""
    assert [f.type.name for f in observer(telemetry).facts if isinstance(f, Operation)] == ["stage", "http_request"]
    assert outer.duration_ns >= inner.duration_ns > 0


@pytest.mark.parametrize(
    ("error", "reason", "outcome", "event"),
    [
        (None, "ok", "answered", None),
        (PoolTimeout(), "pool_timeout", "failed", None),
        (StatementRefused(), "statement_refused", "refused", "statement_rejected"),
        (errors.QuestionRefused(event="sql_injection_attempt"), "question_refused", "refused", "sql_injection_attempt"),
        (ZeroDivisionError(), "internal", "failed", "unexpected_error"),
        (KeyboardInterrupt(), "cancelled", "cancelled", None),
        (asyncio.CancelledError(), "cancelled", "cancelled", None),
    ],
)
def test_an_exception_sets_the_outcome(
    telemetry: Telemetry, error: BaseException | None, reason: str, outcome: str, event: str | None
) -> None:
    operation = telemetry.operation(STAGE, stage="execute")
    try:
        with telemetry.operation(vocabulary.HTTP_REQUEST), operation:
            if error is not None:
                raise error
    except BaseException as caught:  # noqa: BLE001 - that is what is tested
        assert caught is error
    assert (operation.reason, operation.outcome) == (reason, outcome)
    assert [e.type.name for e in recorder(telemetry).records] == ([event] if event else [])


def test_every_error_has_a_stable_reason_and_a_known_event() -> None:
    reasons = [cls.reason for cls in error_classes() if "reason" in vars(cls)]
    assert len(reasons) == len(set(reasons))
    for cls in error_classes():
        assert 400 <= cls.status < 600
        assert cls.event is None or cls.event in vocabulary.SECURITY_EVENTS
        assert cls.outcome in vocabulary.OUTCOME


def test_a_question_leaves_its_event_whatever_happens(telemetry: Telemetry) -> None:
    with telemetry.operation(vocabulary.QUESTION, query_type="select") as operation:
        operation.details.sql = "SELECT 1"
    with pytest.raises(PoolTimeout), telemetry.operation(vocabulary.QUESTION):
        raise PoolTimeout
    first, second = recorder(telemetry).records
    assert first.type.name == second.type.name == "query_execution"
    assert first.details["sql"] == "SELECT 1"
    assert (first.details["outcome"], second.details["outcome"]) == ("answered", "failed")


def test_settle_waits_only_for_requests_that_left_a_record(telemetry: Telemetry) -> None:
    recorder(telemetry).failing = AuditUnavailable()
    with telemetry.operation(vocabulary.HTTP_REQUEST):
        telemetry.settle()
        telemetry.emit(vocabulary.SECURITY_EVENTS["schema_access"])
        with pytest.raises(AuditUnavailable):
            telemetry.settle()


class _Broken:
    signal = "logs"

    def fold(self, facts: Sequence[Fact]) -> None:
        raise RuntimeError

    def close(self) -> None:
        raise RuntimeError


def test_a_broken_observer_is_counted_and_harms_nobody(telemetry: Telemetry) -> None:
    telemetry.observers.insert(0, _Broken())
    with telemetry.operation(STAGE, stage="execute"):
        pass
    telemetry.fold(readings=True)
    telemetry.fold(readings=True)
    memory = telemetry.observers[1]
    assert isinstance(memory, MemoryObserver)
    assert memory.operations(STAGE)
    errors_seen = memory.events("telemetry_error")
    assert errors_seen
    assert {e.details["signal"] for e in errors_seen} == {"logs"}


def test_a_full_queue_drops_and_says_how_much() -> None:
    telemetry = Telemetry(capacity=10)
    telemetry.observers.append(MemoryObserver())
    for _ in range(25):
        with telemetry.operation(STAGE, stage="execute"):
            pass
    memory = observer(telemetry)
    telemetry.fold(readings=True)
    assert len(memory.operations(STAGE)) == 10
    assert sum(e.count for e in memory.events("telemetry_dropped")) == 15


def test_nothing_is_lost_between_threads_and_close(telemetry: Telemetry) -> None:
    telemetry.start()

    def work() -> None:
        for _ in range(500):
            with telemetry.operation(STAGE, stage="execute"):
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    telemetry.close()
    assert len(observer(telemetry).operations(STAGE)) == 2000


def test_what_is_carried_runs_under_what_was_current(telemetry: Telemetry) -> None:
    host = contextvars.ContextVar("host", default="")

    def parent() -> tuple[str, str]:
        with telemetry.operation(STAGE, stage="execute") as operation:
            return operation.parent_id, host.get()

    with telemetry.operation(vocabulary.HTTP_REQUEST) as above, ThreadPoolExecutor(4) as pool:
        host.set("theirs")
        carried = carry(parent)
        found = {pool.submit(carried).result() for _ in range(8)} | set(pool.map(lambda _: carried(), range(8)))
        host.set("changed")
    assert found == {(above.span_id, "theirs")}
    assert carried() == (above.span_id, "theirs")
    assert parent() == ("", "changed")


def test_a_parent_that_is_given_wins(telemetry: Telemetry) -> None:
    with telemetry.operation(vocabulary.HTTP_REQUEST) as above:
        above.trace.actor = "somebody"
        given = (above.trace.trace_id, above.span_id, False)
        with telemetry.operation(vocabulary.COMMAND, parent=given) as below:
            assert (below.trace.trace_id, below.parent_id, below.trace.sampled) == given
            assert below.trace.actor == ""


def test_what_nobody_foresaw_is_reported_once(telemetry: Telemetry) -> None:
    def fail() -> None:
        try:
            with telemetry.operation(STAGE):
                raise ValueError
        except ValueError as error:
            raise errors.UnexpectedError from error

    with pytest.raises(errors.UnexpectedError), telemetry.operation(vocabulary.HTTP_REQUEST):
        fail()
    assert [record.type.name for record in recorder(telemetry).records] == ["unexpected_error"]


def test_an_error_names_the_trace_that_it_ended(telemetry: Telemetry) -> None:
    with pytest.raises(errors.Declined) as caught, telemetry.operation(STAGE) as operation:
        raise errors.Declined
    assert caught.value.trace_id == operation.trace.trace_id


def test_asyncio_carries_by_itself(telemetry: Telemetry) -> None:
    async def child() -> str:
        await asyncio.sleep(0)
        with telemetry.operation(STAGE, stage="execute") as operation:
            return operation.parent_id

    async def main() -> list[str]:
        with telemetry.operation(vocabulary.HTTP_REQUEST) as above:
            return [above.span_id, *await asyncio.gather(child(), child())]

    assert len(set(asyncio.run(main()))) == 1


def test_readings_are_asked_for_and_a_failing_source_is_counted(telemetry: Telemetry) -> None:
    telemetry.read(vocabulary.POOL_IN_USE, lambda: [({"database_type": "sqlite"}, 3)])
    telemetry.read(vocabulary.POOL_LIMIT, lambda: [({}, 1 / 0)])
    telemetry.fold(readings=True)
    memory = observer(telemetry)
    telemetry.fold(readings=True)
    levels = {f.type.name: f.value for f in memory.facts if not hasattr(f, "trace")}
    assert levels["pool_in_use"] == 3
    assert "pool_limit" not in levels
    assert memory.events("telemetry_error")


def test_a_route_is_a_label_value_with_its_methods(telemetry: Telemetry) -> None:
    declared = telemetry.declared
    assert not declared.accepts(vocabulary.ROUTE, "/things/<id>")
    declared.declare_route("/things/<id>", "GET", "HEAD")
    assert declared.accepts(vocabulary.ROUTE, "/things/<id>")
    assert declared.methods["/things/<id>"] == ("GET", "HEAD")


def test_readings_are_taken_when_they_are_due(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql_synthesizer.telemetry.facade.READING_INTERVAL", 2 * HANG)
    taken: list[int] = []
    telemetry.read(vocabulary.POOL_IN_USE, lambda: [({"database_type": "sqlite"}, taken.append(1) or 3)])
    telemetry.fold(readings=True)
    telemetry.fold()
    assert len(taken) == 1


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01", ("a" * 32, "b" * 16, True)),
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-00", ("a" * 32, "b" * 16, False)),
        ("cc-" + "a" * 32 + "-" + "b" * 16 + "-01-future", ("a" * 32, "b" * 16, True)),
        ("00-" + "a" * 32 + "-" + "b" * 16 + "-01-extra", None),
        ("ff-" + "a" * 32 + "-" + "b" * 16 + "-01", None),
        ("00-" + "0" * 32 + "-" + "b" * 16 + "-01", None),
        ("00-" + "a" * 32 + "-" + "0" * 16 + "-01", None),
        ("00-" + "A" * 32 + "-" + "b" * 16 + "-01", None),
        ("00-" + "a" * 31 + "-" + "b" * 16 + "-01", None),
        ("00-" + "g" * 32 + "-" + "b" * 16 + "-01", None),
        ("", None),
        (None, None),
    ],
)
def test_traceparent(header: str | None, expected: tuple[str, str, bool] | None) -> None:
    assert parse_traceparent(header) == expected


def test_traceparent_round_trip(telemetry: Telemetry) -> None:
    with telemetry.operation(vocabulary.HTTP_REQUEST, parent=("a" * 32, "b" * 16, True)) as operation:
        assert operation.trace.trace_id == "a" * 32
        assert operation.parent_id == "b" * 16
        assert parse_traceparent(format_traceparent(operation)) == ("a" * 32, operation.span_id, True)


def test_sampling_is_decided_once_a_trace() -> None:
    telemetry = Telemetry(sample_ratio=0.0)
    with telemetry.operation(vocabulary.HTTP_REQUEST) as outer, telemetry.operation(STAGE) as inner:
        assert not outer.trace.sampled
        assert not inner.trace.sampled
    with telemetry.operation(vocabulary.HTTP_REQUEST, parent=("a" * 32, "b" * 16, True)) as remote:
        assert remote.trace.sampled


@pytest.mark.parametrize("value", ["select", "SELECT", "'; DROP", None, 3])
def test_vocabularies_are_closed(value: object) -> None:
    assert vocabulary.QUERY_TYPE(value) in {*vocabulary.QUERY_TYPE.values, "other"}


def test_declared_vocabularies_are_bounded() -> None:
    words, declared = vocabulary.Vocabulary("words", declared=True), vocabulary.Declared()
    declared.declare(words, *(f"w{n}" for n in range(200)))
    assert len(declared.values(words)) == declared.LIMIT
    assert declared.accepts(words, "w0")
    assert not declared.accepts(words, "w199")
    assert not vocabulary.Declared().accepts(words, "w0")
    with pytest.raises(TypeError):
        declared.declare(vocabulary.QUERY_TYPE, "new")


def test_a_facade_has_one_owner() -> None:
    telemetry, lasting = Telemetry(), [MemoryObserver()]
    telemetry.observers = list(lasting)
    telemetry.claim()
    telemetry.observers = [MemoryObserver()]
    with pytest.raises(ConfigurationError, match="already reports"):
        telemetry.claim()
    telemetry.close()
    assert telemetry.observers == lasting
    telemetry.claim()


def test_an_operation_within_one_of_another_facade_shares_its_trace_and_nothing_else(telemetry: Telemetry) -> None:
    other = Telemetry()
    other.recorder = MemoryRecorder()
    with telemetry.operation(vocabulary.HTTP_REQUEST) as outer, other.operation(STAGE) as inner:
        outer.trace.actor = "anna"
        other.emit(vocabulary.SECURITY_EVENTS["csrf_failure"])
        assert (inner.trace.trace_id, inner.parent_id) == (outer.trace.trace_id, outer.span_id)
        assert (inner.trace.actor, outer.trace.ticket, inner.trace.ticket) == ("", 0, 1)
        assert telemetry.current() is None
        assert telemetry.emit(vocabulary.FEEDBACK).trace.trace_id == outer.trace.trace_id


def test_a_forked_child_makes_ids_of_its_own_and_reports_nothing_of_its_parent(telemetry: Telemetry) -> None:
    with telemetry.operation(STAGE):
        pass
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        ids = [telemetry.operation(STAGE).span_id for _ in range(3)]
        facts = len(observer(telemetry).operations(STAGE))
        os.write(writing, f"{facts} {' '.join(ids)}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    facts, *ids = os.read(reading, 1000).decode().split()
    assert facts == "0"
    assert not set(ids) & {telemetry.operation(STAGE).span_id for _ in range(3)}


def test_an_operation_settles_its_own_event(telemetry: Telemetry) -> None:
    recorder(telemetry).failing = AuditUnavailable()
    operation = telemetry.operation(vocabulary.QUESTION)
    with pytest.raises(AuditUnavailable), operation:
        operation.settle()
    assert operation.reason == "audit_unavailable"
    told = [record.type.name for record in recorder(telemetry).records]
    assert told == ["query_execution", "answer_withheld"]


def test_an_operation_ends_even_when_its_record_is_refused(telemetry: Telemetry) -> None:
    class Full(MemoryRecorder):
        def append(self, event: Event) -> int:
            raise AuditUnavailable

    telemetry.recorder = Full()
    with pytest.raises(AuditUnavailable), telemetry.operation(vocabulary.HTTP_REQUEST):
        raise StatementRefused
    assert telemetry.current() is None
    assert len(observer(telemetry).operations(vocabulary.HTTP_REQUEST)) == 1
