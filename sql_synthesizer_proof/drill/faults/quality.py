"""What makes answers wrong while the service works."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.faults.locks import rename_column
from sql_synthesizer_proof.drill.scenario import AlertScenario, lasting_fault, share_fault


def column_renamed(chain: Chain) -> AbstractContextManager[None]:
    """A column that a question with a known result needs gets another name."""
    return lasting_fault(
        lambda: rename_column(chain, "orders", "status", "state"),
        lambda: rename_column(chain, "orders", "state", "status"),
    )


RENAMED = share_fault(column_renamed)
CANARIES = Path(__file__).with_name("canaries.yml")
SETTINGS = (("job_threads", 1), ("canary_file", CANARIES), ("canary_seconds", 60.0))

SCENARIOS = (
    AlertScenario("SqlSynthesizerSchemaDrift", RENAMED, "drift", settings=SETTINGS),
    AlertScenario("SqlSynthesizerCanaryFailing", RENAMED, "drift", settings=SETTINGS),
)
