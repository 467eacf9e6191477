"""Teams: keys that belong to one, budgets, and what is counted by team."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sql_synthesizer.access._budgets import Budgets, _seconds_left
from sql_synthesizer.errors import BudgetSpent, ConfigurationError, InvalidRequest, StoreUnavailable
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.settings import load
from sql_synthesizer.settings.business import Budget, parse_teams
from sql_synthesizer.store import Store
from sql_synthesizer.telemetry import Telemetry, vocabulary
from tests.support.app import App, running
from tests.support.store import entry, key
from tests.support.store import url as url

ASKED = "How many customers are there?"


@pytest.fixture
def app(app_settings: dict[str, Any]) -> Iterator[App]:
    with running(load(**app_settings, teams="sales=2questions, lab=0.5usd, web")) as made:
        yield made


def ask_as(app: App, secret: str) -> Any:
    reply = app.post("/api/query", {"question": ASKED}, headers={"Authorization": f"Bearer {secret}"})
    app.rooms.telemetry.fold()
    app.rooms.history.flush(60)
    app.rooms.access.budgets._due = 0.0
    return reply


def test_a_budget_is_told_with_each_answer_and_then_refused(app: App) -> None:
    keys = app.rooms.access.keys
    sales, web = (keys.create_key(team, Role.VIEWER, team=team) for team in ("sales", "web"))
    replies = [ask_as(app, sales) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert [reply.headers.get("X-Team-Budget-Used") for reply in replies] == ["0.0", "0.5", None]
    assert replies[2].get_json()["reason"] == "budget_spent"
    assert 0 < int(replies[2].headers["Retry-After"]) <= 31 * 86_400 + 1
    assert ask_as(app, web).status_code == 200
    assert ask_as(app, "").headers.get("X-Team-Budget-Used") is None
    assert app.counted("team_questions_total", caller_team="sales", outcome="answered") == 2
    assert app.counted("team_questions_total", caller_team="sales", outcome="limited") == 1
    assert app.counted("team_questions_total", caller_team="web") == 1
    assert app.counted("team_questions_total", caller_team="none") == 1
    assert app.counted("team_budget_used_ratio", caller_team="sales") == 1
    first, *_, refused, _, _ = app.records("query_execution")
    assert (first["details"]["team"], first["details"]["budget_used"]) == ("sales", 0)
    assert (refused["details"]["team"], refused["details"]["reason"]) == ("sales", "budget_spent")


def test_a_key_is_given_to_another_team_and_keeps_it_when_it_is_replaced(app: App) -> None:
    keys = app.rooms.access.keys
    key_id = keys.create_key("robot", Role.VIEWER).split("_")[1]
    keys.assign_key(key_id, "lab")
    new = keys.rotate_key(key_id).split("_")[1]
    assert [app.rooms.store.get_key(name).team for name in (key_id, new)] == ["lab", "lab"]  # type: ignore[union-attr]
    assert app.rooms.access.find_owner(new).team == "lab"
    keys.assign_key(new, "")
    assert app.rooms.access.find_owner(new).team == ""
    for refuse in (lambda: keys.assign_key(new, "nobody"), lambda: keys.create_key("x", Role.VIEWER, team="other")):
        with pytest.raises(InvalidRequest, match="sales, lab, web"):
            refuse()
    changes = [record["details"] for record in app.records("credential_change")]
    assert [(change["change"], change.get("team")) for change in changes] == [
        ("created", None),
        ("assigned", "lab"),
        ("rotated", "lab"),
        ("assigned", None),
    ]


def test_use_is_added_up_by_team_and_month_and_once(url: str | None, tmp_path: Any) -> None:
    store = Store(url, tmp_path)
    store.add_key(key("k1", team="sales"))
    assert store.assign_key("k1", "lab")
    assert store.get_key("k1").team == "lab"  # type: ignore[union-attr]
    may, june = (datetime(2030, month, 1, tzinfo=UTC).timestamp() for month in (5, 6))
    asked = [
        entry("q1", team="lab", cost_microusd=7, asked_at=june - 1),
        entry("q2", team="lab", cost_microusd=30, asked_at=june),
        entry("q3", team="lab", cost_microusd=400, asked_at=june, outcome="failed"),
        entry("q4", asked_at=may),
    ]
    store.add_history(asked[:3])
    store.add_history(asked)
    assert store.team_usage("2030-06") == {"lab": (1, 430)}
    assert store.team_usage("2030-05") == {"lab": (1, 7)}
    store.close()


class FailingStore:
    def __init__(self) -> None:
        self.used: dict[str, tuple[int, int]] | None = {"sales": (0, 9_000_000)}

    def team_usage(self, _month: str) -> dict[str, tuple[int, int]]:
        if self.used is None:
            raise StoreUnavailable
        return self.used


def test_while_the_store_is_away_its_last_word_goes_on() -> None:
    store, facade = FailingStore(), Telemetry()
    budgets = Budgets(load(teams="sales=10usd"), store, facade)
    caller = Caller("k1", team="sales")
    assert budgets.check(caller) == 0.9
    for used, share in (({"sales": (0, 9_999_999)}, 1.0), (None, 1.0)):
        store.used, budgets._due = used, 0.0
        assert budgets.check(caller) == share
    store.used = {"sales": (0, 10_000_000)}
    assert budgets.check(caller) == 1.0, "a store that failed is given a rest"
    budgets._due = 0.0
    with pytest.raises(BudgetSpent):
        budgets.check(caller)
    assert budgets.check(Caller("k2")) is None
    assert facade.declared.values(vocabulary.TEAM) == ("none", "sales")


def test_the_month_ends_in_utc() -> None:
    assert _seconds_left(datetime(2030, 12, 31, 23, 59, 59, tzinfo=UTC)) == 2
    assert _seconds_left(datetime(2030, 2, 1, tzinfo=UTC)) == 28 * 86_400 + 1


def test_teams() -> None:
    assert parse_teams(" sales, lab = 0.25 usd,web=5questions") == {
        "sales": None,
        "lab": Budget(250_000, "usd"),
        "web": Budget(5, "questions"),
    }


@pytest.mark.parametrize(
    "text", ["Sales", "none", "other=1usd", "a=1", "a=0usd", "a=0questions", "a=1.5questions", "a b", "a=-1usd"]
)
def test_teams_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SQL_SYNTHESIZER_TEAMS"):
        load(teams=text)


def test_there_are_so_many_teams_at_most() -> None:
    assert len(parse_teams(",".join(f"t{n}" for n in range(32)))) == 32
    with pytest.raises(ConfigurationError, match="32 teams"):
        load(teams=",".join(f"t{n}" for n in range(33)))
