"""Ages and the time, by the clock of the host on which they were taken."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family

from sql_synthesizer.monitoring import catalog

AGES = {
    "last_fold_timestamp_seconds": "last_fold_age_seconds",
    "audit_verified_timestamp_seconds": "audit_verified_age_seconds",
    "job_worker_beat_timestamp_seconds": "job_worker_beat_age_seconds",
}
"""A moment -> its age.

A rule that compared the moment with the time of Prometheus would take a clock that is behind for something that stands
still.
"""
CLOCK = "clock_timestamp_seconds"


def with_ages(families: Iterable[Family]) -> Iterator[Family]:
    """The families, each moment whose age is wanted followed by its age, and the time at the end."""
    now = time.time()
    for family in families:
        yield family
        age = AGES.get(family.name.removeprefix(catalog.PREFIX))
        if age is not None and family.samples:
            yield _make_family(age, max(0.0, now - min(sample.value for sample in family.samples)))
    yield _make_family(CLOCK, now)


def _make_family(name: str, value: float) -> Family:
    full = catalog.PREFIX + name
    return GaugeMetricFamily(full, catalog.BY_NAME[full].help, value=value, unit="seconds")
