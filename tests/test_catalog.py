"""The catalogue: names, labels, feeds, budget."""

from __future__ import annotations

import re

import pytest

from sql_synthesizer.monitoring import catalog, clock, gap, supervision
from sql_synthesizer.monitoring.metric import Metric
from sql_synthesizer.telemetry import vocabulary

SPECIFIED = {
    "sql_synthesizer_query_duration_seconds": ("histogram", ("query_type", "database_type", "success")),
    "sql_synthesizer_queries_total": ("counter", ("query_type", "database_type", "success")),
    "sql_synthesizer_active_connections": ("gauge", ("database_type",)),
    "sql_synthesizer_cache_operations_total": ("counter", ("operation", "cache_type", "hit_miss")),
    "sql_synthesizer_security_events_total": ("counter", ("event_type", "severity")),
    "sql_synthesizer_memory_usage_bytes": ("gauge", ()),
    "sql_synthesizer_cpu_usage_percent": ("gauge", ()),
}

READINGS = [value for value in vars(vocabulary).values() if isinstance(value, vocabulary.ReadingType)]

every_metric = pytest.mark.parametrize("metric", catalog.METRICS, ids=lambda metric: metric.name)


@pytest.mark.parametrize(("name", "shape"), SPECIFIED.items(), ids=SPECIFIED)
def test_the_specified_metrics_keep_their_names_and_labels(name, shape):
    metric = catalog.BY_NAME[name]
    assert (metric.kind, metric.label_names) == shape


@every_metric
def test_names_follow_the_conventions(metric: Metric):
    assert re.fullmatch(r"[a-z][a-z_]*[a-z]", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.help
    if metric.unit:
        assert metric.name.removesuffix("_total").endswith("_" + metric.unit)


@every_metric
def test_histograms_alone_have_buckets_in_order(metric: Metric):
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))


@every_metric
def test_every_feed_is_a_known_type_and_every_label_can_come_from_it(metric: Metric):
    known = {*vocabulary.OPERATIONS.values(), *vocabulary.EVENTS.values(), *READINGS}
    for feed in metric.feeds:
        assert feed.source in known
        for label in metric.labels:
            if label.key.startswith("@") or label.name in feed.fixed:
                continue
            assert label.vocabulary in feed.source.labels, (metric.name, label.name)


def test_names_of_sources_do_not_collide():
    names = [*vocabulary.OPERATIONS, *vocabulary.EVENTS, *(reading.name for reading in READINGS)]
    assert len(names) == len(set(names))


def test_metric_names_are_unique():
    assert len(catalog.BY_NAME) == len(catalog.METRICS)


def test_only_metrics_that_the_exporter_sets_have_no_feed():
    unfed = {metric.name for metric in catalog.METRICS if not metric.feeds}
    own = {"memory_usage_bytes", "cpu_usage_percent", "app_up", "build_info"}
    own |= {supervision.KILLED, supervision.LOST, supervision.RELOADED, gap.UNCOUNTED, gap.UNRECORDED}
    assert unfed == {*own, *clock.AGES.values(), clock.CLOCK}


def test_known_values_outside_the_vocabulary_make_no_series():
    metric = catalog.BY_NAME["sql_synthesizer_cache_operations_total"]
    assert list(metric.combinations(vocabulary.Declared(), {"cache_type": ["off"]})) == []
    assert set(metric.combinations(vocabulary.Declared(), {"cache_type": ["redis"]})) == {
        ("get", "redis", "hit"),
        ("get", "redis", "miss"),
        ("get", "redis", "error"),
        ("set", "redis", "ok"),
        ("set", "redis", "error"),
        ("delete", "redis", "ok"),
        ("delete", "redis", "error"),
    }


def test_every_security_event_has_one_severity():
    metric = catalog.BY_NAME["sql_synthesizer_security_events_total"]
    assert set(metric.combinations(vocabulary.Declared())) == {
        (e.name, e.severity) for e in vocabulary.SECURITY_EVENTS.values()
    }


@pytest.mark.parametrize("databases", [1, 64])
def test_the_budget_holds_a_usual_configuration(databases):
    known = {"database_type": ["postgresql", "sqlite", "unknown"], "cache_type": ["redis"]}
    declared, count = vocabulary.Declared(), 0
    declared.declare(vocabulary.DATABASE, *(f"database {number}" for number in range(databases)))
    for metric in catalog.METRICS:
        lines = len(metric.buckets) + 3 if metric.kind == "histogram" else 1
        count += lines * len([*metric.combinations(declared, known)])
    assert 0 < count < catalog.SERIES_BUDGET
