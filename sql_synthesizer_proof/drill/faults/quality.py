"""What makes answers wrong while the service works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sql_synthesizer.operate.child import wait_until
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.faults.locks import rename_column
from sql_synthesizer_proof.drill.scenario import AlertScenario, lasting_fault, share_fault


def column_renamed(chain: Chain) -> AbstractContextManager[None]:
    """A column that a question with a known result needs gets another name."""
    return lasting_fault(
        lambda: rename_column(chain, "orders", "status", "state"),
        lambda: rename_column(chain, "orders", "state", "status"),
    )


def model_slower(chain: Chain) -> AbstractContextManager[None]:
    """Each reply of the model takes a second longer."""

    def delay(seconds: float) -> None:
        chain.model.delay = seconds

    return lasting_fault(lambda: delay(SLOWER), lambda: delay(0.0))


@contextmanager
def history_made(chain: Chain) -> Iterator[None]:
    """Prometheus has seen ordinary traffic for most of the shortened week that regressions are judged by."""
    wait_until(lambda: (chain.query_value(SEEN) or 0) >= WEEK * 0.75, 2 * WEEK, "a history")
    yield


RENAMED = share_fault(column_renamed)
CANARIES = Path(__file__).with_name("canaries.yml")
SETTINGS = (("job_threads", 1), ("canary_file", CANARIES), ("canary_seconds", 60.0))

WEEK = 600.0
"""Seconds that a week lasts for regressions: as short as it may be."""
SLOWER = 1.0
SEEN = "time() - min(min_over_time(timestamp(sql_synthesizer_app_up)[1h:15s]))"

SCENARIOS = (
    AlertScenario("SqlSynthesizerSchemaDrift", RENAMED, "drift", settings=SETTINGS),
    AlertScenario("SqlSynthesizerCanaryFailing", RENAMED, "drift", settings=SETTINGS),
    AlertScenario(
        "SqlSynthesizerRegression",
        model_slower,
        "slower",
        labels={"series": "model"},
        settings=(("job_threads", 1), ("regression_week", WEEK)),
        prepare=history_made,
    ),
)
