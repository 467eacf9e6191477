"""The report of a month, beside the metrics."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from click.testing import CliRunner

from sql_synthesizer.cli import group
from sql_synthesizer.monitoring import business
from sql_synthesizer.monitoring.report import format_report, format_usd, make_report, month_bounds
from sql_synthesizer.settings.business import Budget
from tests.support.app import App

MODEL = {"provider": "openai", "model": "small"}
DAY = "2030-05-01T10:00:00.000000Z"


def record(actor: str = "k1", time: str = DAY, **details: Any) -> dict[str, Any]:
    usual = {"outcome": "answered", "reason": "ok", "source": "llm", "milliseconds": 100.0, "database": "shop"}
    return {"event_type": "query_execution", "time": time, "actor": actor, "details": {**usual, **details}}


def records() -> Iterator[dict[str, Any]]:
    spent = {**MODEL, "input_tokens": 1000, "output_tokens": 10, "cost_microusd": 5_004}
    yield record(team="lab", tables=["orders"], row_count=7, **spent)
    yield record(
        "k2", "2030-05-02T00:00:00.000000Z", source="cache", milliseconds=1.5, saved_microusd=5_004, saved_ms=99
    )
    yield record(
        "k2", team="lab", source="none", outcome="declined", reason="declined", topic="future", unpriced=2, **MODEL
    )
    yield record("k3", outcome="limited", reason="budget_spent", source="none")
    yield record(business.CANARY, cost_microusd=10**9, **MODEL)
    yield {"event_type": "query_execution", "time": DAY, "actor": "host", "details": {"said": "by others"}}
    yield {"event_type": "answer_rated", "time": DAY, "actor": "k1", "details": {"rating": "up"}}


def test_a_month_in_figures() -> None:
    figures = make_report("2030-05", records()).to_json({"lab": Budget(10_000, "usd"), "idle": None})
    assert figures["first_record"] == DAY
    assert (figures["questions"], figures["answered"], figures["answer_rate"]) == (4, 2, 0.6667)
    assert figures["by_source"] == {"none": 2, "llm": 1, "cache": 1}
    assert figures["by_reason"] == {"ok": 2, "declined": 1, "budget_spent": 1}
    assert figures["declined_by_topic"] == {"future": 1}
    assert figures["callers"] == {"month": 3, "most_in_a_day": 3, "mean_of_active_days": 2.0}
    assert figures["seconds_to_answer"] == {"mean": 0.051, "median": 0.002, "p95": 0.1}
    assert figures["rows_delivered"] == 7
    assert figures["models"] == {
        "openai small": {"input_tokens": 1000, "output_tokens": 10, "cost_microusd": 5_004, "unpriced_calls": 2}
    }
    assert (figures["cost_microusd"], figures["cost_per_answer_microusd"], figures["unpriced_calls"]) == (
        5_004,
        2_502,
        2,
    )
    assert figures["saved_by_cache"] == {"cost_microusd": 5_004, "seconds": 0.099, "unpriced_calls": 0}
    assert figures["busiest_tables"] == {"shop.orders": 1}
    assert figures["ratings"] == {"up": 1}
    none = {"callers": 0, "cost_microusd": 0, "budget_used": None, "questions": 0, "answered": 0}
    assert figures["teams"] == {
        "idle": none,
        "lab": {"questions": 2, "answered": 1, "callers": 2, "cost_microusd": 5_004, "budget_used": 0.5004},
        "none": {**none, "questions": 2, "answered": 1, "callers": 2},
    }


def test_what_a_manager_reads() -> None:
    text = "\n".join(format_report(make_report("2030-05", records()).to_json({"lab": Budget(10_000, "usd")})))
    for part in (
        "4 by 3 callers, 3 on the busiest day",
        "2, 66.7% of those answered, declined or failed",
        "0.01 USD, 0.002502 USD an answer, and 2 calls without a price",
        "Team lab         2 questions by 2 callers, 0.01 USD, 50% of its budget",
    ):
        assert part in text


def test_a_month_without_questions() -> None:
    figures = make_report("2030-05", ()).to_json({})
    assert figures["questions"] == 0
    assert "2030-05 (UTC), from the audit record since never" in list(format_report(figures))


def test_sums_of_money_are_exact() -> None:
    many = (record(**MODEL, cost_microusd=100_001) for _ in range(9_999))
    figures = make_report("2030-05", many).to_json({})
    assert figures["cost_microusd"] == 999_909_999
    assert format_usd(999_909_999) == "999.91 USD"
    assert format_usd(1_234_567_000_000) == "1,234,567.00 USD"


def test_months() -> None:
    assert [f"{bound:%Y-%m-%d}" for bound in month_bounds("2030-12")] == ["2030-12-01", "2031-01-01"]


@pytest.mark.parametrize("month", ["2030", "2030-13", "may"])
def test_no_month(month: str) -> None:
    assert CliRunner().invoke(group, ["report", "--month", month]).exit_code == 2


def test_the_verb_reads_the_record_and_is_on_it(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.ask("How many customers are there?")
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(app.rooms.settings.state_dir))
    monkeypatch.setenv("SQL_SYNTHESIZER_DATABASES_FILE", str(app.rooms.settings.databases_file))
    shown = CliRunner().invoke(group, ["report", "--json"])
    figures = json.loads(shown.stdout)
    assert (figures["questions"], figures["busiest_tables"]) == (1, {"shop.customers": 1})
    assert "Questions        0 by 0 callers" in CliRunner().invoke(group, ["report", "--month", "2001-01"]).stdout
    assert [r["details"]["action"] for r in app.records("audit_access")] == ["report", "report"]
