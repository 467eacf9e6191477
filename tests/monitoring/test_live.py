"""A live run: what rules and dashboards look at is there, and what is there is in the catalogue."""

from __future__ import annotations

import time
import urllib.parse
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.metric import Metric
from sql_synthesizer_proof.mixin.lint import KNOWN, TARGET
from sql_synthesizer_proof.mixin.promql import FOREIGN
from tests.monitoring.live import Live, running, table
from tests.support.serving import fetch, until

pytestmark = pytest.mark.server
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NOT_OURS = ("process_", "python_", "sql_synthesizer_exporter_")
"""What the client library adds of its own."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with running(tmp_path_factory.mktemp("live")) as made:
        yield made


def test_no_panel_is_empty(live: Live) -> None:
    empty = [row for row in table(live) if row[2] == 0]
    assert empty == []


def test_every_rule_is_evaluated_without_error(live: Live) -> None:
    groups = live.prometheus.get("/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}
    assert len(rules) > 60


@pytest.mark.parametrize("name", FOREIGN)
def test_metrics_of_the_monitoring_exist(live: Live, name: str) -> None:
    series = until(lambda: live.query(name))
    labels = set().union(*(one["metric"] for one in series)) - {"__name__"}
    assert set(FOREIGN[name][1]) <= labels | {"reason"}, "reason is of Alertmanager 0.26 and later"


@pytest.fixture(scope="module")
def families(live: Live) -> dict[str, object]:
    until(lambda: live.served.counted("audit_checkpoint_fingerprint"))  # from the first checkpoint on, after 30 s
    text = fetch(live.served.metrics_url, Accept=OPENMETRICS).body.decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def _named(metric: Metric) -> str:
    return (catalog.PREFIX + metric.name).removesuffix("_total")


@pytest.mark.parametrize("metric", catalog.METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_exposed_as_its_row_says(families: dict, metric: Metric) -> None:
    family = families[_named(metric)]
    assert (family.type, family.unit) == (metric.kind, metric.unit)
    for sample in family.samples:
        known = KNOWN[sample.name.removesuffix("_created")]
        assert sample.labels.keys() == known.labels.keys()
        for label, value in sample.labels.items():
            allowed = known.labels[label]
            assert allowed is None or value in allowed, (sample.name, label, value)


def test_nothing_is_exposed_that_has_no_row(families: dict) -> None:
    rows = {_named(metric) for metric in catalog.METRICS}
    assert [name for name in families if name not in rows and not name.startswith(NOT_OURS)] == []


def test_labels_of_targets_are_not_ours() -> None:
    assert not TARGET & {label for known in KNOWN.values() for label in known.labels}


def test_slow_questions_lead_to_their_traces(live: Live) -> None:
    now = time.time()
    query = {"query": "sql_synthesizer_query_duration_seconds_bucket", "start": now - 300, "end": now}
    found = live.prometheus.get("/api/v1/query_exemplars?" + urllib.parse.urlencode(query))["data"]
    traces = {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
    assert traces
    assert all(len(trace) == 32 for trace in traces)


def test_the_attacks_reached_the_security_officer(live: Live) -> None:
    def told() -> bool:
        return any("SQLInjectionAttempts" in message.subject for message in live.inbox.messages)

    until(told)
