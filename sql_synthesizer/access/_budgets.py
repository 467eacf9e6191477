"""What teams have used of what they may in a month, and the refusal of what would be more."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

from sql_synthesizer.errors import BudgetSpent, StoreUnavailable
from sql_synthesizer.model import Caller
from sql_synthesizer.settings import Settings
from sql_synthesizer.settings.business import NO_TEAM, parse_teams
from sql_synthesizer.telemetry import Telemetry, vocabulary

LOOK_EVERY = 1.0
"""Seconds that what was used is believed; a budget is exceeded by what is asked within these."""
BACK_OFF = 5.0
"""Seconds without another look while one is under way or has failed: one caller waits for a slow store, not all."""

Used = Mapping[str, tuple[int, int]]
"""Team -> its answered questions, and millionths of a US dollar."""


class UsageStore(Protocol):
    """Where the use of teams is added up."""

    def team_usage(self, month: str) -> Used:
        """What each team has used in a month, written ``2030-01``. Raises StoreUnavailable."""


class Budgets:
    """The teams of the settings and their budgets. While the store does not answer, what it last told goes on."""

    def __init__(self, settings: Settings, store: UsageStore, telemetry: Telemetry) -> None:
        self.teams = parse_teams(settings.teams)
        self._budgets = {team: budget for team, budget in self.teams.items() if budget is not None}
        self._store = store
        self._lock = threading.Lock()
        self._seen: tuple[str, Used] = ("", {})
        self._due = 0.0
        telemetry.declared.declare(vocabulary.TEAM, NO_TEAM, *self.teams)
        telemetry.read(vocabulary.TEAM_BUDGET, lambda: [({"caller_team": t}, self._share(t)) for t in self._budgets])

    def check(self, caller: Caller) -> float | None:
        """The share of its budget that the caller's team has used; None where it has none. Raises BudgetSpent."""
        if caller.team not in self._budgets:
            return None
        if (share := self._share(caller.team)) >= 1:
            raise BudgetSpent(retry_after=_seconds_left(datetime.now(UTC)), details={"team": caller.team})
        return round(share, 3)

    def _share(self, team: str) -> float:
        return self._budgets[team].used(*self._look().get(team, (0, 0)))

    def _look(self) -> Used:
        month = f"{datetime.now(UTC):%Y-%m}"
        with self._lock:
            known, used = self._seen
            if known == month and time.monotonic() < self._due:
                return used
            self._due = time.monotonic() + BACK_OFF
            self._seen = (month, used if known == month else {})  # for who asks meanwhile, and if it fails
        with suppress(StoreUnavailable):
            self._seen = (month, self._store.team_usage(month))
            self._due = time.monotonic() + LOOK_EVERY
        return self._seen[1]


def _seconds_left(now: datetime) -> int:
    """Until the next month begins."""
    following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return int((following - now).total_seconds()) + 1
