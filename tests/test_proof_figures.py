"""The figures of the proofs: silences, promises, reports, and the traffic that they are measured with."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate import programs
from sql_synthesizer.operate.inbox import Notification
from sql_synthesizer.operate.traffic import Client, request_mix
from sql_synthesizer_proof import silence
from sql_synthesizer_proof.drill import report
from sql_synthesizer_proof.drill.faults import SCENARIOS
from sql_synthesizer_proof.drill.faults.escalation import EscalationCheck
from sql_synthesizer_proof.drill.run import load_rules
from sql_synthesizer_proof.drill.scenario import Timeline
from sql_synthesizer_proof.silence import Silence

ABOUT = {"date": "2026-01-01", "machine": "<b>"}


@pytest.mark.parametrize(
    ("false", "total", "bound"),
    [(0, 60, 0.0487), (0, 300, 0.0099), (1, 100, 0.0466), (5, 10, 0.7776), (0, 0, 1.0), (3, 3, 1.0)],
)
def test_the_upper_bound_of_a_share(false: int, total: int, bound: float) -> None:
    assert silence.upper_bound(false, total) == pytest.approx(bound, abs=1e-4)


def seen(attacks: float = 0.0, **changes: object) -> Silence:
    sent = Counter({("asked before", "ok"): 990, ("refused", "422 statement_refused"): 10})
    made = Silence(60.0, 4.0, attacks, sent + Counter({("attack", silence.REFUSED): 100 if attacks else 0}))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        (seen(), True),
        (seen(fired={"HighErrorRate": 3.0}), False),
        (seen(notified=["mail [FIRING]"]), False),
        (seen(sent=Counter({("statement", "503 overloaded"): 2, ("asked before", "ok"): 998})), False),
        (seen(sent=Counter({("statement", "unreachable"): 1, ("asked before", "ok"): 99})), False),
        (seen(0.01, flagged=100), True),
        (seen(0.01, flagged=104), True),
        (seen(0.01, flagged=110), False),
        (seen(0.01, flagged=0), False),
        (seen(0.01, flagged=100, fired={"SQLInjectionAttempts": 1.0}), True),
        (seen(0.01, flagged=100, fired={"SqlSynthesizerLLMSpend": 1.0}), True),
    ],
)
def test_when_a_silence_is_one(found: Silence, kept: bool) -> None:
    assert found.kept is kept


@pytest.mark.parametrize("answer", ["ok", "422 declined", "429 rate_limited", "503 overloaded", "unreachable"])
def test_attacks_that_were_missed_make_no_harmless_request_an_attack(answer: str) -> None:
    found = seen(0.1, sent=Counter({("attack", "422 question_refused"): 90, ("attack", answer): 10}), flagged=92)
    assert (found.false, found.attacked) == (2, 100)


class Arriving:
    """A chain without alerts; a notification arrives after each look at the inbox, one of the switch among them."""

    def __init__(self) -> None:
        self.inbox = self
        self.kept = [notification(1)]

    def active_alerts(self) -> list[object]:
        return []

    @property
    def messages(self) -> list[Notification]:
        before, number = list(self.kept), len(self.kept) + 1
        self.kept.append(notification(number, "watchdog" if number == 2 else "mail"))
        return before


def notification(number: int, kind: str = "mail") -> Notification:
    return Notification(number, kind, 0.0, (), f"alert {number}", "", "", None)


def test_no_notification_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    made, found = Arriving(), Silence(60.0, 4.0, 0.0)
    moments = iter(range(10))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(moments)))
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    silence._watch_alerts(made, found, 0.0, 2.0, print)  # type: ignore[arg-type]
    silence._watch_alerts(made, found, 0.0, 4.0, print)  # type: ignore[arg-type]
    assert found.notified == ["mail alert 1", "mail alert 3", "mail alert 4", "mail alert 5"]
    assert not found.kept


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("how many\n\nwho was\n", ("how many", "who was")),
        ('{"text": "a", "label": "attack"}\n{"text": "b", "label": "benign"}\n{"question": "c"}', ("b", "c")),
        ('{"text": "SELECT 1", "kind": "sql"}', ()),
    ],
)
def test_harmless_questions_from_a_file(tmp_path: Path, text: str, found: tuple[str, ...]) -> None:
    file = tmp_path / "questions"
    file.write_text(text)
    assert silence.load_questions(file) == found


def test_a_missing_file_of_questions_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        silence.load_questions(tmp_path / "none")


@pytest.mark.parametrize("line", ['{"text": ', '{"a":' * 100_000])
def test_a_malformed_question_is_a_clear_error(tmp_path: Path, line: str) -> None:
    file = tmp_path / "questions"
    file.write_text(f"how many\n{line}\n")
    with pytest.raises(ConfigurationError, match=r"begins like JSON and is none"):
        silence.load_questions(file)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5])
def test_the_share_of_attacks(share: float) -> None:
    kinds = request_mix(attacks=share)
    weight = sum(kind.weight for kind in kinds if kind.name == "attack") / sum(kind.weight for kind in kinds)
    assert weight == pytest.approx(share)


def test_equal_seeds_make_equal_requests() -> None:
    made = [[kind.make(Random(5)) for kind in request_mix(("more",), 0.1)] for _ in range(2)]
    assert made[0] == made[1]
    assert all(method in ("GET", "POST") and path.startswith("/api/") for method, path, _ in made[0])


def test_a_client_never_raises() -> None:
    assert Client(f"http://127.0.0.1:{programs.free_port()}", "key").send("GET", "/api/me") == "unreachable"


def line(
    run: int = 1, *, alert: str = "SQLInjectionAttempts", mail: float | None = 30.0, **changes: object
) -> Timeline:
    return Timeline(alert, "a <fault>", run, firing=20.0, mail=mail, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([line()], True),
        ([line(), line(2, mail=95.0)], False),
        ([line(n) for n in range(20)] + [line(21, mail=110.0)], True),
        ([line(n) for n in range(20)] + [line(21, mail=121.0)], False),
        ([line(mail=None, problems=["not within 100 s: a mail"])], False),
        ([line(problems=["mail does not link the runbook"])], False),
        ([line(alert="HighCPUUsage", mail=600.0)], True),
    ],
    ids=["in time", "p95 too late", "one late of many", "beyond the limit", "missing", "incomplete", "slow by design"],
)
def test_when_an_alert_keeps_its_promise(lines: list[Timeline], kept: bool) -> None:
    (row,) = report.build_rows(lines)
    assert row.kept is kept


def test_scaled_timelines_stay_out_of_the_figures() -> None:
    real, scaled = report.build_rows([line(mail=30.0), line(2, mail=5.0, scaled=True)])
    assert (real.most, real.scaled, scaled.most, scaled.scaled) == (30.0, False, 5.0, True)


def test_the_first_message_counts() -> None:
    assert line(mail=30.0, slack=28.0).notified == 28.0
    assert line(mail=None).notified is None


@pytest.mark.parametrize(("share", "value"), [(0.5, 3), (0.95, 5), (1.0, 5), (0.01, 1)])
def test_nearest_rank(share: float, value: float) -> None:
    assert report.nearest_rank_percentile([5, 1, 4, 2, 3], share) == value


def test_reports_tell_the_same() -> None:
    lines = [line(), line(alert="HighCPUUsage", mail=None, problems=["not within 9 s: a mail"])]
    seen = report.Seen((*lines,), (EscalationCheck("a <check>", True, "it was"),))
    document = json.loads(report.as_json(seen, ABOUT))
    assert [alert["alert"] for alert in document["alerts"]] == ["HighCPUUsage", "SQLInjectionAttempts"]
    page, text = report.as_html(seen, ABOUT), report.as_text(seen)
    for told in (page, text):
        assert "SQLInjectionAttempts" in told
        assert "not within 9 s: a mail" in told
    assert "<b>" not in page
    assert "a &lt;fault&gt;" in page
    assert "a &lt;check&gt;" in page


def test_an_earlier_drill_is_reported_with_this_one(tmp_path: Path) -> None:
    file = tmp_path / "drill.json"
    file.write_text(report.as_json(report.Seen((line(),), (EscalationCheck("c", False, "not"),)), ABOUT))
    seen = report.Seen((line(2),)).merge_earlier([report.read_report(file)])
    assert [one.run for one in seen.lines] == [1, 2]
    assert not seen.kept
    file.write_text("{}")
    with pytest.raises(ConfigurationError, match="no report"):
        report.read_report(file)


def test_every_alert_has_a_scenario() -> None:
    fired = {scenario.alert for scenario in SCENARIOS}
    assert fired == load_rules().keys()


def test_every_scenario_describes_its_fault() -> None:
    assert all(re.fullmatch(r"[A-Z0-9][^\n]{8,120}", scenario.fault) for scenario in SCENARIOS)
