"""The drill itself: critical alerts arrive, and a break in the chain is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from sql_synthesizer_proof.drill import report
from sql_synthesizer_proof.drill.faults import SCENARIOS
from sql_synthesizer_proof.drill.run import Drill
from sql_synthesizer_proof.drill.scenario import Timeline
from tests.support import program
from tests.support.serving import ROOT

pytestmark = pytest.mark.server

CRITICAL = ("SQLInjectionAttempts", "SqlSynthesizerCacheDown", "SqlSynthesizerLLMFailures")
ATTACK = CRITICAL[:1]


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert old in text
        (root / file).write_text(text.replace(old, new), encoding="utf-8")

    return change


def without_alerting(root: Path) -> None:
    text = (root / "prometheus/prometheus.yml").read_text(encoding="utf-8")
    before, _, rest = text.partition("alerting:\n")
    after = rest[rest.index("scrape_configs:") :]
    (root / "prometheus/prometheus.yml").write_text(before + after, encoding="utf-8")


SEEDED: dict[str, tuple[Callable[[Path], None], str]] = {
    "a receiver's address": (
        replaced("alertmanager/config.yml", "security@company.com", "security@elsewhere.com"),
        "alertmanager/config.yml: the mail about SQLInjectionAttempts went to security@elsewhere.com",
    ),
    "a template": (
        replaced("alertmanager/config.yml", 'template "sql-synthesizer.text"', 'template "sql-synthesizer.txt"'),
        "sql-synthesizer.txt",
    ),
    "a rule's matcher": (
        replaced("prometheus/alerts.yml", 'event_type="sql_injection_attempt"', 'event_type="sql_injection"'),
        'event_type="sql_injection",job="sql-synthesizer"}, which no series matches',
    ),
    "no alerting section": (
        without_alerting,
        "prometheus.yml: alerting names no Alertmanager, so alerts are sent nowhere",
    ),
}


def drilled(alerts: tuple[str, ...], **options: object) -> list[Timeline]:
    """The first event of a counter is seen only after a scrape that has seen it at 0, hence the warm-up."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.alert in alerts]
    return Drill(scenarios, print, resolve=False, warm_up=40, **options).run(1)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def drills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[list[Timeline]]]]:
    """All drills of this file, side by side: each mostly waits."""
    for name in ("initdb", "redis-server", "prometheus", "prometheus-alertmanager"):
        program(name)
    with ThreadPoolExecutor(len(SEEDED) + 1) as pool:
        started = {"sound": pool.submit(drilled, CRITICAL)}
        for name, (seed, _) in SEEDED.items():
            files = tmp_path_factory.mktemp("seeded") / "monitoring"
            shutil.copytree(ROOT / "monitoring", files)
            seed(files)
            started[name] = pool.submit(drilled, ATTACK, files=files, limit=75.0)
        yield started


def test_critical_alerts_arrive(drills: dict[str, Future[list[Timeline]]]) -> None:
    lines = drills["sound"].result()
    assert {line.alert for line in lines} == set(CRITICAL)
    assert [line.problems for line in lines] == [[], [], []]
    assert all(line.mail and line.slack for line in lines)
    assert all(row.fast for row in report.build_rows(lines))


@pytest.mark.parametrize(("name", "told"), [(name, told) for name, (_, told) in SEEDED.items()], ids=SEEDED)
def test_a_break_is_named(drills: dict[str, Future[list[Timeline]]], name: str, told: str) -> None:
    (line,) = drills[name].result()
    assert any(told in problem for problem in line.problems), line.problems
    assert not report.build_rows([line])[0].kept
