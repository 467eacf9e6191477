"""A team that asks for more than was planned."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sql_synthesizer_proof.drill.chain import ANEW, Chain
from sql_synthesizer_proof.drill.scenario import AlertScenario

QUESTIONS = 9
"""Of the ten that the team may ask."""
SETTINGS = (("teams", "drill=10questions"),)


@contextmanager
def budget_used(chain: Chain) -> Iterator[None]:
    """A team asks nine of the ten questions that it may; in the end a new month begins, so far as the store knows."""
    key = chain.service.run("keys", "create", "drill", "--team", "drill").stdout.strip()
    with chain.service.client(key) as client:
        for _ in range(QUESTIONS):
            client.send("POST", "/api/query", {"question": f"{ANEW}{random.random():.6f}"})
    try:
        yield
    finally:
        with closing(sqlite3.connect(chain.service.state / "store.sqlite", isolation_level=None)) as store:
            store.execute("DELETE FROM team_usage")


SCENARIOS = (AlertScenario("SqlSynthesizerTeamBudget", budget_used, "teams", settings=SETTINGS),)
