"""The decorators in code of other programs: callables of every kind, and names of their own."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest

from sql_synthesizer import telemetry
from sql_synthesizer.monitoring import metrics
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared
from tests.support.metrics import PREFIX

WAIT = 0.05


def shown(name: str, **labels: str) -> float:
    telemetry.default.fold()
    return metrics.METRICS_REGISTRY.get_sample_value(PREFIX + name, labels) or 0.0


class Slow:
    """Called as a coroutine function, and raises."""

    async def __call__(self) -> None:
        await asyncio.sleep(WAIT)
        raise ConnectionError


async def slow() -> None:
    await Slow()()


def gives_coroutine() -> Any:
    return slow()


KINDS: dict[str, Any] = {
    "an object": Slow(),
    "a bound method": Slow().__call__,
    "a partial": functools.partial(slow),
    "a function that gives a coroutine": gives_coroutine,
}


@pytest.mark.parametrize("function", KINDS.values(), ids=KINDS)
def test_every_kind_of_asynchronous_callable_is_counted_when_it_ends(function: Any) -> None:
    labels = {"query_type": "set", "database_type": "duckdb_test"}
    metrics.declare(database_types=["duckdb_test"])
    tracked = metrics.track_query_metrics(**labels)(function)
    good, bad = shown("queries_total", **labels, success="success"), shown("queries_total", **labels, success="error")
    spent = shown("query_duration_seconds_sum", **labels, success="error")
    with pytest.raises(ConnectionError):
        asyncio.run(tracked())
    assert shown("queries_total", **labels, success="success") == good
    assert shown("queries_total", **labels, success="error") == bad + 1
    assert shown("query_duration_seconds_sum", **labels, success="error") >= spent + WAIT * 0.9
    assert telemetry.default.current() is None


def test_an_object_that_generates_is_refused() -> None:
    class Stream:
        def __call__(self) -> Any:
            yield 1

    with pytest.raises(TypeError, match="Stream is a generator function"):
        metrics.track_query_metrics("set", "sqlite")(Stream())


@pytest.mark.parametrize(
    ("operation", "result", "expected"),
    [
        ("lookup", None, "miss"),
        ("lookup", 0, "hit"),
        ("get_many", None, "miss"),
        ("set", None, "ok"),
        ("delete", None, "ok"),
        ("clear", None, "ok"),
    ],
)
def test_none_is_a_miss_but_of_what_looks_nothing_up(operation: str, result: object, expected: str) -> None:
    metrics.declare(cache_operations=["lookup", "get_many", "clear"], cache_types=["dict_test"])
    labels = {"operation": operation, "cache_type": "dict_test", "hit_miss": expected}
    tracked = metrics.track_cache_metrics(operation, "dict_test")(lambda: result)
    before = shown("cache_operations_total", **labels)
    assert tracked() == result
    assert shown("cache_operations_total", **labels) == before + 1


def test_declared_names_are_exported_and_others_are_not() -> None:
    metrics.declare(query_types=["my_report"], database_types=["oracle_test"])
    refused = shown("label_values_refused_total")
    metrics.track_query_metrics("my_report", "oracle_test")(lambda: None)()
    assert shown("queries_total", query_type="my_report", database_type="oracle_test", success="success") == 1
    assert shown("label_values_refused_total") == refused
    other = {"query_type": "other", "database_type": "oracle_test", "success": "success"}
    before = shown("queries_total", **other)
    metrics.track_query_metrics("nobodys_report", "oracle_test")(lambda: None)()
    assert shown("queries_total", **other) == before + 1
    assert shown("label_values_refused_total") > refused


def test_a_declared_event_type_has_the_severity_given_and_the_catalogues_its_own() -> None:
    metrics.declare(event_types=["vault_opened", "sql_injection_attempt"])
    refused = shown("label_values_refused_total")
    assert 'event_type="vault_opened",severity="critical"} 0.0' in metrics.get_metrics()
    metrics.track_security_event("vault_opened", "critical")
    assert shown("security_events_total", event_type="vault_opened", severity="critical") == 1
    before = shown("security_events_total", event_type="sql_injection_attempt", severity="high")
    metrics.track_security_event("sql_injection_attempt", "low")
    assert shown("security_events_total", event_type="sql_injection_attempt", severity="high") == before + 1
    assert shown("label_values_refused_total") == refused


def test_names_that_are_declared_are_bounded() -> None:
    declared = Declared()
    declared.declare_foreign(vocabulary.QUERY_TYPE, [f"report_{number}" for number in range(16)])
    declared.declare_foreign(vocabulary.QUERY_TYPE, ["select", "report_3"])
    with pytest.raises(ValueError, match="at most 16"):
        declared.declare_foreign(vocabulary.QUERY_TYPE, ["report_16"])
    for name in ("Report", "a b", "x" * 65, "'"):
        with pytest.raises(ValueError, match="no name"):
            declared.declare_foreign(vocabulary.DATABASE_TYPE, [name])


def test_pairs_of_declared_names_are_bounded() -> None:
    declared = Declared()
    declared.declare_foreign(vocabulary.QUERY_TYPE, [f"report_{number}" for number in range(16)])
    pairs = metrics._ForeignPairs()
    taken = [pairs.take((f"report_{number}", kind), declared) for kind in ("sqlite", "mysql") for number in range(16)]
    assert taken.count(True) == pairs.LIMIT
    assert pairs.take(("report_0", "sqlite"), declared)
    assert pairs.take(("select", "mysql"), declared)
