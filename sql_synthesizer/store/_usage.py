"""What teams have used, by month, added up with the questions that are kept; and how many callers there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol

from sqlalchemy import Connection, TableClause, column, func, select, table

from sql_synthesizer.model import CANARY

_KEYS = table("api_keys", column("id"), column("last_used_at"))
_HISTORY = table("history", column("identity"), column("asked_at"))
_USAGE = table("team_usage", *map(column, ("team", "month", "answered", "microusd")))


class Question(Protocol):
    """What is looked at of a question: of which team, when, with what end and cost."""

    @property
    def team(self) -> str: ...
    @property
    def asked_at(self) -> float: ...
    @property
    def outcome(self) -> str: ...
    @property
    def cost_microusd(self) -> int: ...


def add_usage(connection: Connection, insert: Callable[[TableClause], Any], questions: Iterable[Question]) -> None:
    """Adds questions to what their teams have used in their months; those of no team are left out."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for question in questions:
        if question.team:
            used = sums[question.team, f"{datetime.fromtimestamp(question.asked_at, UTC):%Y-%m}"]
            used[0] += question.outcome == "answered"
            used[1] += question.cost_microusd
    for (team, month), (answered, microusd) in sorted(sums.items()):
        adding = insert(_USAGE).values(team=team, month=month, answered=answered, microusd=microusd)
        more = {name: _USAGE.c[name] + adding.excluded[name] for name in ("answered", "microusd")}
        connection.execute(adding.on_conflict_do_update(index_elements=["team", "month"], set_=more))


def read_usage(connection: Connection, month: str) -> dict[str, tuple[int, int]]:
    """Team -> its answered questions and cost in a month."""
    rows = connection.execute(select(_USAGE.c.team, _USAGE.c.answered, _USAGE.c.microusd).filter_by(month=month))
    return {team: (answered, microusd) for team, answered, microusd in rows}


def count_callers(connection: Connection, since: float) -> int:
    """Callers that have asked since then, in Unix time."""
    asked = select(_HISTORY.c.identity).where((_HISTORY.c.asked_at >= since) & (_HISTORY.c.identity != CANARY))
    used = select(_KEYS.c.id).where(_KEYS.c.last_used_at >= since)  # of those whose questions are forgotten
    return int(connection.execute(select(func.count()).select_from(asked.union(used).subquery())).scalar_one())
