"""Ages and the time, by the clock of the host on which they were taken."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric as Family

from sql_synthesizer.monitoring import clock
from tests.support.app import App
from tests.support.metrics import PREFIX


def values(families: Any) -> dict[str, float]:
    return {sample.name.removeprefix(PREFIX): sample.value for family in families for sample in family.samples}


def stamps(**moments: float) -> list[Family]:
    registry = CollectorRegistry()
    for name, moment in moments.items():
        Gauge(PREFIX + name, "x", registry=registry).set(moment)
    return list(registry.collect())


@pytest.mark.parametrize("behind", [0.0, -60.0, 86_400.0])
def test_an_age_is_the_same_whatever_the_clock_says(behind: float, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_700_000_000.0 + behind
    monkeypatch.setattr(clock.time, "time", lambda: now)
    found = values(clock.with_ages(stamps(last_fold_timestamp_seconds=now - 12, other_timestamp_seconds=now - 3)))
    assert found["last_fold_age_seconds"] == 12
    assert found["clock_timestamp_seconds"] == now
    assert "other_age_seconds" not in found
    assert "audit_verified_age_seconds" not in found


def test_a_moment_that_is_still_to_come_has_no_negative_age() -> None:
    found = values(clock.with_ages(stamps(last_fold_timestamp_seconds=time.time() + 3600)))
    assert found["last_fold_age_seconds"] == 0


def test_an_application_exports_them(app: App) -> None:
    app.rooms.telemetry.fold(readings=True)
    found = values(app.rooms.metrics.read_fresh().collect())
    assert 0 <= found["last_fold_age_seconds"] < 60
    assert 0 <= found["audit_verified_age_seconds"] < 60
    assert abs(found["clock_timestamp_seconds"] - time.time()) < 60
