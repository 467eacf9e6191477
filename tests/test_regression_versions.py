"""A new version beside an old one: what is found, what is not, and what is asked of Prometheus."""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_left
from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from sql_synthesizer.cli import group
from sql_synthesizer.errors import ConfigurationError, InvalidRequest
from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.http_server import JSON, HttpHandler, HttpServer
from sql_synthesizer.monitoring.regression import buckets, versions
from sql_synthesizer.monitoring.regression.buckets import compare_durations, compare_shares, quantile_of
from sql_synthesizer.monitoring.regression.prometheus import Labels, Prometheus, Series

BOUNDS = catalog.QUERY_BUCKETS
OLD, NEW = {"instance": "a:1", "version": "1.0"}, {"instance": "b:1", "version": "1.1"}


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least chance is then 0.01, two looks at each."""
    monkeypatch.setattr(buckets, "DRAWS", 199)
    monkeypatch.setattr(buckets, "ALPHA", 0.15)


def minutes(seed: int, factor: float = 1.0, requests: int = 60, count: int = 20) -> list[list[float]]:
    """Minutes of requests whose load differs from one minute to the next."""
    draw, made = random.Random(seed), []
    for _ in range(count):
        load, counts = math.exp(draw.gauss(0, 0.15)), [0.0] * (len(BOUNDS) + 1)
        for _ in range(requests):
            counts[bisect_left(BOUNDS, factor * load * 0.08 * math.exp(draw.gauss(0, 0.8)))] += 1
        made.append(counts)
    return made


def test_a_slower_version_is_worse_and_an_equal_or_faster_one_is_not() -> None:
    old = minutes(1)
    slower = compare_durations("questions", BOUNDS, old, minutes(2, 1.5))
    assert slower.verdict == "worse"
    assert 1.2 < slower.ratio < 2
    assert compare_durations("questions", BOUNDS, old, minutes(3)).verdict == "not worse"
    assert compare_durations("questions", BOUNDS, old, minutes(2, 0.5)).verdict == "not worse"


def test_too_few_say_nothing() -> None:
    old = minutes(1)
    assert compare_durations("questions", BOUNDS, old, minutes(2, 9, requests=40)).verdict == "too few"
    assert compare_durations("questions", BOUNDS, old, minutes(2, 9, requests=600, count=4)).verdict == "too few"
    assert compare_shares("failures", [[1, 99]] * 20, [[50, 50]] * 4).verdict == "too few"


def test_a_minute_of_load_on_one_side_is_no_regression() -> None:
    """Taken for independent, the thousands of requests of two bad minutes would be proof."""
    busy = [*minutes(2, count=18), *minutes(3, 4.0, count=2)]
    assert compare_durations("questions", BOUNDS, minutes(1), busy, looks=8).verdict == "not worse"


def test_failures() -> None:
    old = [[1.0, 99.0]] * 10 + [[0.0, 100.0]] * 10
    worse = compare_shares("failures", old, [[4.0, 96.0]] * 20)
    assert (worse.verdict, worse.before, worse.after) == ("worse", 0.005, 0.04)
    assert compare_shares("failures", old, old).verdict == "not worse"
    assert compare_shares("failures", [[0.0, 100.0]] * 20, [[0.0, 100.0]] * 20).ratio == 1
    assert compare_shares("failures", [[0.0, 1000.0]] * 20, [[3.0, 997.0]] * 20).verdict == "not worse"  # too small


def test_the_quantile_is_that_of_prometheus() -> None:
    assert quantile_of((1.0, 2.0, 4.0), [0, 100, 0, 0], 0.5) == pytest.approx(1.5)
    assert quantile_of((1.0, 2.0, 4.0), [50, 0, 50, 0], 0.95) == pytest.approx(3.8)
    assert quantile_of((1.0, 2.0), [1, 0, 99], 0.95) == 2.0
    assert quantile_of((1.0, 2.0), [0, 0, 0]) == 0.0


def test_what_has_too_few_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chance that a comparison may have is divided among those that are made."""
    seen: list[int] = []
    answers = Answers("execute")
    answers.quiet = True
    monkeypatch.setattr(versions, "compare_shares", lambda *_, looks: seen.append(looks))
    versions.compare_versions(answers, "1.0", "1.1", 20)  # type: ignore[arg-type]
    assert seen == [3]


class Answers:
    """Stands for Prometheus: one instance of each version, the new one slower in ``stage``."""

    def __init__(self, stage: str = "") -> None:
        self.stage = stage
        self.asked: list[str] = []
        self.quiet = False

    def read_now(self, expr: str) -> list[tuple[Labels, float]]:
        return [(OLD, 1.0), (NEW, 1.0)]

    def read_range(self, expr: str, start: float, end: float, step: float) -> list[tuple[Labels, Series]]:
        self.asked.append(expr)
        moments = [start + step * n for n in range(20)]
        new = "b:1" in expr
        if "queries_total" in expr:
            return [({"success": "success"}, dict.fromkeys(moments, 60.0))]
        if "query_duration" in expr:
            return self._histogram({}, BOUNDS, minutes(1 + new), moments)
        slow = minutes(3 + new, 2.0 if new and self.stage == "execute" else 1.0)
        stages = {"execute": slow, "schema": minutes(5 + new, requests=4 if self.quiet else 60)}
        return [
            series
            for stage, made in stages.items()
            for series in self._histogram({"stage": stage}, BOUNDS, made, moments)
        ]

    def _histogram(
        self, labels: Labels, bounds: Sequence[float], made: list[list[float]], moments: list[float]
    ) -> list[tuple[Labels, Series]]:
        edges = [*map(str, bounds), "+Inf"]
        return [
            ({**labels, "le": edge}, {at: sum(counts[: n + 1]) for at, counts in zip(moments, made, strict=True)})
            for n, edge in enumerate(edges)
        ]


def test_the_stage_that_became_slower_is_named() -> None:
    answers = Answers("execute")
    found = versions.compare_versions(answers, "1.0", "b:1", 20)  # type: ignore[arg-type]
    assert {one.name: one.verdict for one in found} == {
        "questions": "not worse",
        "execute": "worse",
        "schema": "not worse",
        "failures": "not worse",
    }
    assert sum('instance=~"a:1"' in expr for expr in answers.asked) == 3
    with pytest.raises(InvalidRequest, match="no version or instance 2"):
        versions.compare_versions(answers, "1.0", "2", 20)  # type: ignore[arg-type]


class _Handler(HttpHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if "start=1.000" in body:
            result = [{"metric": {"le": "+Inf"}, "values": [[1, "2"], [61.5, "NaN"]]}]
        else:
            result = [{"metric": OLD, "value": [1, "1"]}]
        status = 400 if "bad" in body else 200
        self.send_reply(status, json.dumps({"data": {"result": result}}).encode(), JSON)


def test_the_interface_of_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    with HttpServer(_Handler, None) as server:
        url = f"http://127.0.0.1:{server.port}/"
        prometheus = Prometheus(url)
        assert prometheus.read_now("up") == [(OLD, 1.0)]
        ((labels, series),) = prometheus.read_range("up", 1, 61, 60)
        assert (labels, series[1.0], math.isnan(series[61.5])) == ({"le": "+Inf"}, 2.0, True)
        with pytest.raises(ConfigurationError, match="gives no series: 400"):
            prometheus.read_now("bad")
        monkeypatch.setenv("SQL_SYNTHESIZER_PROMETHEUS_URL", url)
        assert "no version or instance 9" in str(
            CliRunner().invoke(group, ["regress", "versions", "1.0", "9"]).exception
        )
    with pytest.raises(ConfigurationError, match="URLError"):
        prometheus.read_now("up")
    with pytest.raises(ConfigurationError, match="no address"):
        Prometheus("file:///etc/passwd")


@pytest.mark.parametrize(("stage", "status"), [("execute", 1), ("", 0)])
def test_the_verb(monkeypatch: pytest.MonkeyPatch, stage: str, status: int) -> None:
    monkeypatch.setattr("sql_synthesizer.cli.regress.Prometheus", lambda _: Answers(stage))
    done = CliRunner().invoke(group, ["regress", "versions", "1.0", "1.1", "--prometheus", "http://x", "--json"])
    assert done.exit_code == status
    assert {row["name"] for row in json.loads(done.stdout)} == {"questions", "execute", "schema", "failures"}
    assert "not worse" in CliRunner().invoke(group, ["regress", "versions", "1.0", "1.1", "--prometheus", "x"]).stdout


def test_without_an_address() -> None:
    done = CliRunner().invoke(group, ["regress", "versions", "1.0", "1.1"])
    assert isinstance(done.exception, ConfigurationError)


@pytest.mark.parametrize("url", ["http://u:secretpw@127.0.0.1:1", "ftp://u:secretpw@x", "u:secretpw@x"])
def test_no_message_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Prometheus(url).read_now("up")
    assert "secretpw" not in str(caught.value)
