"""What the questions of jobs suffer from."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

from sql_synthesizer_proof.drill.chain import ANEW, Chain
from sql_synthesizer_proof.drill.faults.parts import database_killed, freeze_processes
from sql_synthesizer_proof.drill.scenario import AlertScenario, share_fault


def _submit_job(chain: Chain, **more: object) -> None:
    """Hands in a question that no cache has the answer of."""
    with chain.service.client() as client:
        client.send("POST", "/api/jobs", {"questions": [f"{ANEW}{random.random():.6f}"], **more})


@contextmanager
def worker_frozen(chain: Chain) -> Iterator[None]:
    """The worker of jobs is stopped, not ended, and a job waits."""
    with freeze_processes(chain.service.job_workers()):
        _submit_job(chain)
        yield


@contextmanager
def database_gone(chain: Chain) -> Iterator[None]:
    """The database's processes are killed while a job is to be answered."""
    with database_killed(chain):
        _submit_job(chain)
        yield


@contextmanager
def webhook_leads_home(chain: Chain) -> Iterator[None]:
    """The host of a webhook has come to have the address of this machine, which none may call."""
    _submit_job(chain, webhook="https://localhost/ended")
    yield


WORKER_FROZEN = share_fault(worker_frozen)
SETTINGS = (("job_threads", 1),)
WEBHOOKS = (("webhook_hosts", "localhost"), ("webhook_secret", "whsec_" + "drill" * 8))

SCENARIOS = (
    AlertScenario("SqlSynthesizerJobWorkersStuck", WORKER_FROZEN, "jobs", settings=SETTINGS),
    AlertScenario("SqlSynthesizerJobBacklog", WORKER_FROZEN, "jobs", settings=SETTINGS),
    AlertScenario("SqlSynthesizerJobDeadLetters", database_gone, "letters", settings=SETTINGS),
    AlertScenario("SqlSynthesizerWebhooksLost", webhook_leads_home, "webhooks", settings=SETTINGS + WEBHOOKS),
)
