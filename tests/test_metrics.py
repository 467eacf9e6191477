"""Metrics: folding facts, the decorators as foreign code uses them, and the contract's names."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from sql_synthesizer import telemetry
from sql_synthesizer.errors import Declined, PoolTimeout
from sql_synthesizer.monitoring import metrics, resources
from sql_synthesizer.monitoring.observer import MetricsObserver
from sql_synthesizer.telemetry import Reading, Telemetry, vocabulary
from sql_synthesizer.telemetry.vocabulary import EventType

PREFIX = "sql_synthesizer_"


@pytest.fixture
def registry():
    return CollectorRegistry()


@pytest.fixture
def facade(registry):
    facade = Telemetry()
    facade.observers.append(MetricsObserver(registry, facade.declared))
    return facade


@pytest.fixture
def sample(registry, facade):
    def read(name, **labels):
        facade.fold()
        return registry.get_sample_value(PREFIX + name, labels)

    return read


def shown(name, **labels):
    telemetry.default.fold()
    return metrics.METRICS_REGISTRY.get_sample_value(PREFIX + name, labels) or 0.0


@pytest.fixture
def counted():
    """How much a metric of the process's own registry grew since the test began."""
    begun = {}

    def growth(name, **labels):
        key = (name, *sorted(labels.items()))
        return shown(name, **labels) - begun.setdefault(key, 0.0)

    def mark(name, **labels):
        begun[name, *sorted(labels.items())] = shown(name, **labels)
        return functools.partial(growth, name, **labels)

    return mark


# --- folding ------------------------------------------------------------------------------------


def ask(facade, error=None):
    labels = {"query_type": "select", "database_type": "sqlite", "source": "rules"}
    with suppress(type(error) if error else Exception), facade.operation(vocabulary.QUESTION, **labels):
        if error is not None:
            raise error


@pytest.mark.parametrize(
    ("error", "success", "outcome", "reason"),
    [
        (None, "success", "answered", "ok"),
        (PoolTimeout(), "error", "failed", "pool_timeout"),
        (Declined(), "success", "declined", "declined"),
        (KeyboardInterrupt(), "success", "cancelled", "cancelled"),
        (ZeroDivisionError(), "error", "failed", "internal"),
    ],
)
def test_only_failures_of_the_service_are_errors(facade, sample, error, success, outcome, reason):
    ask(facade, error)
    labels = {"query_type": "select", "database_type": "sqlite", "success": success}
    assert sample("queries_total", **labels) == 1
    assert sample("query_duration_seconds_count", **labels) == 1
    assert sample("question_outcomes_total", outcome=outcome, reason=reason, source="rules") == 1


def test_equal_facts_add_up_over_batches(facade, sample):
    for _ in range(1000):
        ask(facade)
    assert sample("queries_total", query_type="select", database_type="sqlite", success="success") == 1000
    assert sample("security_events_total", event_type="query_execution", severity="info") == 1000


def test_an_event_counts_as_many_as_it_stands_for(facade, sample):
    facade.emit(vocabulary.EVENTS["access_denied"], count=40)
    facade.emit(vocabulary.AUDIT_RECORDED, count=3, sink="file")
    assert sample("security_events_total", event_type="access_denied", severity="medium") == 40
    assert sample("audit_records_total", sink="file") == 3


def test_http_errors_are_counted_by_reason_and_successes_are_not(facade, sample, registry):
    with facade.operation(vocabulary.HTTP_REQUEST, method="GET", route="other", status="2xx"):
        pass
    with (
        pytest.raises(Declined),
        facade.operation(vocabulary.HTTP_REQUEST, method="POST", route="other", status="4xx"),
    ):
        raise Declined
    assert sample("errors_total", reason="declined") == 1
    assert sample("errors_total", reason="ok") is None
    assert sample("http_requests_total", method="POST", route="other", status="4xx") == 1
    assert sample("label_values_refused_total") == 0


def test_details_with_numbers_feed_counters(facade, sample):
    facade.declared.declare(vocabulary.PROVIDER, "openai")
    facade.declared.declare(vocabulary.MODEL, "small")
    with facade.operation(vocabulary.LLM_REQUEST, provider="openai", model="small", outcome="success") as operation:
        details = operation.details
        details.input_tokens, details.output_tokens, details.cost_usd, details.sent_bytes = 120, 30, 0.5, 900
    labels = {"provider": "openai", "model": "small"}
    assert sample("llm_tokens_total", **labels, direction="input") == 120
    assert sample("llm_tokens_total", **labels, direction="output") == 30
    assert sample("llm_cost_usd_total", **labels) == 0.5
    assert sample("llm_sent_bytes_total", **labels) == 900
    assert sample("llm_unpriced_requests_total", **labels) is None


@pytest.mark.parametrize("value", ["bobby'; drop table", 7, ["list"], b"bytes"])
def test_a_value_outside_its_vocabulary_becomes_other(facade, sample, value):
    facade.emit(vocabulary.FEEDBACK, rating=value)
    assert sample("feedback_total", rating="other") == 1
    assert sample("label_values_refused_total") == 1


def test_refused_values_are_not_remembered(facade, registry):
    observer = facade.observers[0]
    for number in range(3000):
        facade.emit(vocabulary.FEEDBACK, rating=f"value {number}")
    facade.fold()
    assert generate_latest(registry).decode().count("feedback_total{") == 1
    assert all(len(series._children) <= 1 for feeds in observer._feeds.values() for series in feeds)
    assert len(observer._logged) <= 100


def test_a_missing_label_takes_the_vocabularys_word_for_it(facade, sample):
    with facade.operation(vocabulary.QUESTION, database_type="sqlite"):
        pass
    assert sample("queries_total", query_type="unknown", database_type="sqlite", success="success") == 1
    assert sample("question_outcomes_total", outcome="answered", reason="ok", source="none") == 1
    assert sample("label_values_refused_total") == 0


def test_a_bad_fact_does_not_cost_the_others(facade, sample):
    facade.emit(vocabulary.AUDIT_RECORDED, count="many", sink="file")
    facade.emit(vocabulary.AUDIT_RECORDED, count=float("nan"), sink="file")
    facade.emit(vocabulary.AUDIT_RECORDED, count=-5, sink="file")
    facade.emit(vocabulary.AUDIT_RECORDED, count=2, sink="file")
    assert sample("audit_records_total", sink="file") == 2
    assert sample("telemetry_errors_total", signal="metrics") == 1


def test_a_level_nobody_reported_is_absent(facade, sample, registry):
    assert sample("audit_free_bytes") is None
    facade.observers[0].fold([Reading(vocabulary.AUDIT_FREE_BYTES, {}, 17.0)])
    assert sample("audit_free_bytes") == 17


def test_levels_are_read_from_their_sources(facade, registry):
    facade.read(vocabulary.POOL_IN_USE, lambda: [({"database_type": "postgresql"}, 4)])
    facade.fold(readings=True)
    assert registry.get_sample_value(PREFIX + "active_connections", {"database_type": "postgresql"}) == 4


def test_unknown_types_of_facts_are_ignored(facade, registry):
    facade.emit(EventType("something_else"))
    facade.fold()
    assert registry.get_sample_value(PREFIX + "telemetry_errors_total", {"signal": "metrics"}) == 0


def test_precreated_series_stand_at_zero(registry):
    observer = MetricsObserver(registry, vocabulary.Declared())
    observer.precreate({"database_type": ["postgresql"], "cache_type": ["redis"]})
    text = generate_latest(registry).decode()
    assert 'queries_total{database_type="postgresql",query_type="join",success="error"} 0.0' in text
    assert 'hit_miss="error",operation="get"} 0.0' in text
    assert 'database_type="mysql"' not in text
    assert 'hit_miss="hit",operation="set"' not in text
    assert "active_connections{" not in text


def test_sampled_operations_leave_an_exemplar(facade, registry):
    ask(facade)
    trace_id = facade._queue[0].trace.trace_id
    facade.fold()
    family = next(f for f in registry.collect() if f.name == PREFIX + "query_duration_seconds")
    assert {s.exemplar.labels["trace_id"] for s in family.samples if s.exemplar} == {trace_id}


def test_unsampled_operations_leave_none(registry):
    facade = Telemetry(sample_ratio=0)
    facade.observers.append(MetricsObserver(registry, facade.declared))
    ask(facade)
    facade.fold()
    assert not any(s.exemplar for family in registry.collect() for s in family.samples)


# --- the contract, as somebody else's code uses it --------------------------------------------------


@pytest.mark.parametrize("event", vocabulary.SECURITY_EVENTS.values(), ids=vocabulary.SECURITY_EVENTS)
def test_every_security_event_is_born_at_zero(event):
    line = f'{PREFIX}security_events_total{{event_type="{event.name}",severity="{event.severity}"}} '
    assert line in metrics.get_metrics()


def test_the_observer_is_attached_once():
    assert telemetry.default.observers.count(metrics.observer) == 1


def test_decorated_functions_are_counted_and_timed(counted):
    good = counted("queries_total", query_type="select", database_type="mysql", success="success")
    bad = counted("queries_total", query_type="select", database_type="mysql", success="error")
    timed = counted("query_duration_seconds_count", query_type="select", database_type="mysql", success="error")
    unexpected = counted("security_events_total", event_type="unexpected_error", severity="high")

    @metrics.track_query_metrics("select", "mysql")
    def run(divisor):
        """Divides."""
        return 10 / divisor

    assert run.__doc__ == "Divides."
    assert run(5) == 2
    with pytest.raises(ZeroDivisionError):
        run(0)
    assert (good(), bad(), timed(), unexpected()) == (1, 1, 1, 0)


def test_decorated_coroutines_are_counted_and_a_cancelled_one_is_an_error(counted):
    good = counted("queries_total", query_type="join", database_type="trino", success="success")
    bad = counted("queries_total", query_type="join", database_type="trino", success="error")

    @metrics.track_query_metrics("join", "trino")
    async def run(forever):
        return await (asyncio.Event().wait() if forever else asyncio.sleep(0, "done"))

    async def main():
        assert await run(forever=False) == "done"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run(forever=True), 0.01)
        assert telemetry.default.current() is None

    asyncio.run(main())
    assert (good(), bad()) == (1, 1)


def test_a_generator_function_is_refused_where_it_is_decorated():
    async def stream():
        yield 1

    for function in (lambda: (yield 1), stream):
        with pytest.raises(TypeError, match="generator function"):
            metrics.track_query_metrics("set", "clickhouse")(function)


@pytest.mark.parametrize(
    ("operation", "result", "label"),
    [("get", None, "miss"), ("get", 0, "hit"), ("get", "", "hit"), ("set", None, "ok"), ("delete", True, "ok")],
)
@pytest.mark.parametrize("asynchronous", [False, True])
def test_cache_operations(counted, operation, result, label, asynchronous):
    count = counted("cache_operations_total", operation=operation, cache_type="memcached", hit_miss=label)
    if asynchronous:

        @metrics.track_cache_metrics(operation, "memcached")
        async def later():
            return result

        assert asyncio.run(later()) == result
    else:

        @metrics.track_cache_metrics(operation, "memcached")
        def now():
            return result

        assert now() == result
    assert count() == 1


def test_a_cache_that_raises_is_counted_and_raises(counted):
    count = counted("cache_operations_total", operation="get", cache_type="memory", hit_miss="error")

    @metrics.track_cache_metrics("get", "memory")
    def get():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        get()
    assert count() == 1


def test_decorators_create_their_series_at_once():
    metrics.track_query_metrics("aggregate", "mariadb")
    metrics.track_cache_metrics("delete", "redis")
    text = metrics.get_metrics()
    assert 'database_type="mariadb",query_type="aggregate",success="error"} 0.0' in text
    assert 'cache_type="redis",hit_miss="ok",operation="delete"} 0.0' in text


@pytest.mark.parametrize(
    ("given", "severity", "labels"),
    [
        ("sql_injection_attempt", "high", ("sql_injection_attempt", "high")),
        ("sql_injection_attempt", "info", ("sql_injection_attempt", "high")),
        ("api_key_auth_failed", "medium", ("authentication_failure", "medium")),
        ("never_heard_of", "critical", ("other", "critical")),
        ("never_heard_of", "enormous", ("other", "low")),
    ],
)
def test_security_events_take_the_catalogues_severity(counted, given, severity, labels):
    count = counted("security_events_total", event_type=labels[0], severity=labels[1])
    refused = counted("label_values_refused_total")
    metrics.track_security_event(given, severity)
    assert count() == 1
    assert refused() == (1 if labels[0] == "other" else 0)


def test_what_is_pending_is_counted_for_whoever_renders_the_registry():
    labels = {"event_type": "csrf_failure", "severity": "medium"}
    name = PREFIX + "security_events_total"
    before = metrics.METRICS_REGISTRY.get_sample_value(name, labels)
    telemetry.default.emit(vocabulary.SECURITY_EVENTS["csrf_failure"])
    assert metrics.METRICS_REGISTRY.get_sample_value(name, labels) == before + 1
    telemetry.default.emit(vocabulary.SECURITY_EVENTS["csrf_failure"])
    text = generate_latest(metrics.METRICS_REGISTRY.restricted_registry([name])).decode()
    assert f'event_type="csrf_failure",severity="medium"}} {before + 2}' in text


def test_a_registry_that_is_read_while_facts_are_folded_does_no_harm(counted):
    class Curious:
        signal = "all"
        seen = 0

        def fold(self, facts):
            self.seen += len(facts)
            generate_latest(metrics.METRICS_REGISTRY)

        def close(self):
            pass

    count = counted("security_events_total", event_type="csrf_failure", severity="medium")
    curious = Curious()
    telemetry.default.observers.append(curious)
    try:
        for _ in range(600):
            telemetry.default.emit(vocabulary.SECURITY_EVENTS["csrf_failure"])
        assert count() == 600
    finally:
        telemetry.default.observers.remove(curious)
    assert curious.seen >= 600


def test_what_a_script_counted_last_is_not_lost_when_it_ends(tmp_path):
    program = """
from sql_synthesizer.monitoring.metrics import track_security_event
track_security_event("csrf_failure", "medium")
"""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    families = MultiProcessCollector.merge([str(path) for path in tmp_path.glob("counter_*.db")])
    samples = [sample for family in families for sample in family.samples]
    assert [s.value for s in samples if s.labels.get("event_type") == "csrf_failure"] == [1.0]


def test_system_metrics_are_the_processes_own():
    async def main():
        task = asyncio.create_task(metrics.update_system_metrics(0.001))
        while shown("memory_usage_bytes") == 0:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert 10e6 < shown("memory_usage_bytes") < 2e9
    assert 0 <= shown("cpu_usage_percent") <= 100


def test_a_process_that_knows_nothing_else_can_use_it():
    program = """
import asyncio
from sql_synthesizer.monitoring.metrics import *
from sql_synthesizer.monitoring.metrics import get_metrics, track_query_metrics, ACTIVE_CONNECTIONS
@track_query_metrics(query_type="select", database_type="postgresql")
async def query(): return 1
asyncio.run(query())
ACTIVE_CONNECTIONS.labels(database_type="postgresql").set(3)
print(get_metrics())
"""
    text = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert 'queries_total{database_type="postgresql",query_type="select",success="success"} 1.0' in text
    assert 'active_connections{database_type="postgresql"} 3.0' in text
    assert "process_resident_memory_bytes" in text
    assert "_created" not in text
    assert PREFIX + "app_up" not in text


# --- what the process may use ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "membership", "quota"),
    [
        ({"cpu.max": "50000 100000\n"}, "0::/\n", 0.5),
        ({"a/cpu.max": "max 100000", "cpu.max": "20000 100000"}, "0::/a/b\n", 0.2),
        ({"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/\n", 0.25),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu,cpuacct:/\n", None),
        ({"cpu.max": "rubbish"}, "0::/\n", None),
        ({}, "", None),
    ],
)
def test_allowed_cpus(tmp_path: Path, files, membership, quota):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "membership").write_text(membership)
    allowed = resources.allowed_cpus(tmp_path, tmp_path / "membership")
    assert allowed == quota if quota else allowed >= 1


def test_a_tree_includes_its_children():
    alone = resources.ProcessTree().sample()[0]
    child = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
    try:
        child.stdout.readline()
        assert resources.ProcessTree().sample()[0] > alone + 1e6
    finally:
        child.communicate(b"\n")


def test_a_process_that_is_gone_uses_nothing():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert resources.ProcessTree(child.pid).sample() == (0.0, 0.0)
