"""The contract's functions and decorators, as somebody else's code uses them."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys

import pytest
from prometheus_client import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from sql_synthesizer import telemetry
from sql_synthesizer.errors import Declined
from sql_synthesizer.monitoring import metrics
from sql_synthesizer.telemetry import vocabulary
from tests.support.metrics import PREFIX


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


def test_decorated_coroutines_are_counted_but_for_those_that_were_cancelled(counted):
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
    assert (good(), bad()) == (1, 0)


def test_a_time_limit_that_a_decorated_coroutine_runs_into_itself_is_an_error(counted):
    bad = counted("queries_total", query_type="join", database_type="trino", success="error")

    @metrics.track_query_metrics("join", "trino")
    async def run():
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(run())
    assert bad() == 1


def test_a_cancelled_look_up_is_no_failure_of_the_cache(counted):
    results = [
        counted("cache_operations_total", operation="get", cache_type="redis", hit_miss=result)
        for result in ("hit", "miss", "error")
    ]
    refused = counted("label_values_refused_total")

    @metrics.track_cache_metrics("get", "redis")
    async def get():
        await asyncio.Event().wait()

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(get(), 0.01)

    asyncio.run(main())
    assert [count() for count in results] == [0, 0, 0]
    assert refused() == 0


def test_an_error_of_ours_in_a_decorated_function_is_one_of_its_own(counted):
    bad = counted("queries_total", query_type="join", database_type="trino", success="error")

    @metrics.track_query_metrics("join", "trino")
    def run():
        raise Declined

    with pytest.raises(Declined):
        run()
    assert bad() == 1


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
