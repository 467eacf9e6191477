"""Steps for the worse: which are found, when they began, and what changed near them."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from sql_synthesizer.cli import group
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring.regression import looking
from sql_synthesizer.monitoring.regression import watch as module
from sql_synthesizer.monitoring.regression.looking import look_for_regressions
from sql_synthesizer.monitoring.regression.prometheus import Labels, Series
from sql_synthesizer.monitoring.regression.steps import Scale, find_changes, find_split, find_step
from sql_synthesizer.monitoring.regression.watch import Regressions
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.serving import until

WEEK = 6 * 3600.0
"""A point every fifteen seconds."""
SCALE = Scale(WEEK)
NOW = 1_800_000_000.0
FLOOR = 0.001


def week_after_week(weeks: float, since: int = 0, factor: float = 1.0, seed: int = 1) -> Series:
    """Seconds that have a daily cycle of half their size, and are ``factor`` times as long in the last points."""
    draw, count = random.Random(seed), round(weeks * SCALE.points)
    made = {}
    for n in range(count):
        moment = NOW - (count - 1 - n) * SCALE.step
        day = 0.5 * math.sin(2 * math.pi * moment / (WEEK / 7))
        made[moment] = 0.2 * math.exp(day + draw.gauss(0, 0.05)) * (factor if n >= count - since else 1.0)
    return made


def test_the_scale_of_a_week() -> None:
    week = Scale(604_800.0)
    assert (week.step, week.points, week.hour, week.hold, week.near) == (300.0, 2016, 12, 6, 96)
    shortest = Scale(600.0)
    assert (shortest.step, shortest.points, shortest.hour, shortest.hold, shortest.near) == (15.0, 40, 1, 2, 10)


def test_a_step_that_lasts_is_found_with_its_time_and_size() -> None:
    step = find_step(week_after_week(4.1, since=20, factor=1.5), NOW, SCALE, FLOOR)
    assert step is not None
    assert step.began == pytest.approx(NOW - 19 * SCALE.step, abs=2 * SCALE.step)
    assert step.ratio == pytest.approx(1.5, rel=0.1)
    assert step.score > 4


@pytest.mark.parametrize(
    ("since", "factor"), [(0, 1.0), (20, 1.1), (20, 0.5), (2, 3.0)], ids=["none", "small", "better", "has yet to last"]
)
def test_what_is_no_regression(since: int, factor: float) -> None:
    assert find_step(week_after_week(4.1, since, factor), NOW, SCALE, FLOOR) is None


def test_the_daily_cycle_is_none_and_before_three_weeks_only_large_steps_are_found() -> None:
    """The same hour of other weeks is the past; without them it is the whole last week, with its cycle."""
    assert find_step(week_after_week(4.1), NOW, SCALE, FLOOR) is None
    assert find_step(week_after_week(1.5, 20, 1.5), NOW, SCALE, FLOOR) is None
    assert find_step(week_after_week(1.5, 20, 9.0), NOW, SCALE, FLOOR) is not None
    assert find_step(week_after_week(0.4, 20, 9.0), NOW, SCALE, FLOOR) is None  # too little is known


def test_what_is_below_the_floor_does_not_differ() -> None:
    series = week_after_week(4.1, 20, 1.5)
    assert find_step(series, NOW, SCALE, 10.0) is None
    assert find_step(series | {NOW - 15 * n: math.nan for n in range(10)}, NOW, SCALE, FLOOR) is None


def test_where_ranks_differ_most() -> None:
    assert find_split([1, 2, 1, 2, 1, 2, 9, 8, 9, 8, 9, 8])[0] == 6
    assert find_split([1.0] * 4 + [99.0] + [1.0] * 5)[0] == 5


def test_changes_of_a_level() -> None:
    assert find_changes({1.0: 5, 3.0: 7, 2.0: 5, 4.0: 7}) == [3.0]


class Answers:
    """Stands for Prometheus: ``execute`` is slower since twenty points ago, when the configuration changed."""

    down = False

    def read_now(self, expr: str) -> list[tuple[Labels, float]]:
        raise NotImplementedError

    def read_range(self, expr: str, start: float, end: float, step: float) -> list[tuple[Labels, Series]]:
        if self.down:
            raise ConfigurationError("Prometheus gives no series.")
        changed = NOW - 20 * SCALE.step
        if "fingerprint" in expr:
            return [({}, {start: 1.0, changed: 2.0 if "configuration" in expr else 1.0})]
        if "build_info" in expr:
            return [({"version": "1.0"}, {start: 1.0}), ({"version": "1.1"}, {changed - 30 * SCALE.step: 1.0})]
        if "stage" in expr:
            made = {"execute": week_after_week(4.1, 20, 1.5), "schema": week_after_week(4.1, seed=2)}
            return [({"stage": stage}, series) for stage, series in made.items()]
        return [({}, week_after_week(4.1, seed=3))] if "query_duration" in expr else []


def test_the_stage_and_the_nearest_change_are_named() -> None:
    (found,) = look_for_regressions(Answers(), NOW, WEEK)  # type: ignore[arg-type]
    assert (found.series, found.change) == ("execute", "configuration")
    assert abs(found.changed_at - found.began) <= 3 * SCALE.step
    assert "execute is 1.5" in module.describe(found)
    assert "nearest change: configuration at 2027-" in module.describe(found)


def test_every_series_that_is_read_has_a_name() -> None:
    class Everything(Answers):
        def read_range(self, expr: str, start: float, end: float, step: float) -> list[tuple[Labels, Series]]:
            labels = [{"stage": stage} for stage in vocabulary.STAGE.values] if "stage" in expr else [{}]
            return [(one, {}) for one in labels]

    names = [name for name, *_ in looking._read_series(Everything(), 0, 1, 1)]  # type: ignore[arg-type]
    assert sorted(names) == sorted(vocabulary.REGRESSION.values)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(None, tmp_path)) as made:
        yield made


def exported(telemetry: Telemetry) -> set[str]:
    seen = MemoryObserver()
    telemetry.observers = [seen]
    telemetry.fold(readings=True)
    readings = [fact for fact in seen.facts if fact.type is vocabulary.REGRESSIONS]
    assert len(readings) == len(vocabulary.REGRESSION.values)
    return {fact.labels["series"] for fact in readings if fact.value}


def test_one_worker_looks_and_all_export(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module.time, "time", lambda: NOW)
    facades = [Telemetry(), Telemetry()]
    prometheus = Answers()
    first, second = (Regressions(prometheus, store.notes, facade, WEEK) for facade in facades)  # type: ignore[arg-type]
    first.look()
    prometheus.down = True
    second.look()
    assert [exported(facade) for facade in facades] == [{"execute"}, {"execute"}]
    assert caplog.text.count("regression: execute is") == 1
    monkeypatch.setattr(module.time, "time", lambda: NOW + 60)
    first.look()  # Prometheus does not answer: what was found is believed
    assert "Prometheus gives no series" in caplog.text
    assert exported(facades[0]) == {"execute"}


def test_the_thread_looks_until_the_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(module, "look_for_regressions", lambda *_: [looking.Regression("cost", NOW, 2.0, 5.0)])
    with Regressions(Answers(), store.notes, Telemetry(), WEEK) as watch:  # type: ignore[arg-type]
        until(lambda: watch.found)
    assert watch.found[0].series == "cost"


def test_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sql_synthesizer.cli.regress.Prometheus", lambda _: Answers())
    monkeypatch.setattr("sql_synthesizer.cli.regress.time.time", lambda: NOW)
    monkeypatch.setenv("SQL_SYNTHESIZER_REGRESSION_WEEK", str(WEEK))
    done = CliRunner().invoke(group, ["regress", "check", "--prometheus", "http://x", "--json"])
    assert (done.exit_code, json.loads(done.stdout)[0]["series"]) == (1, "execute")
    assert "execute is 1.5" in CliRunner().invoke(group, ["regress", "check", "--prometheus", "http://x"]).stdout
