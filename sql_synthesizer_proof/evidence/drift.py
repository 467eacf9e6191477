"""Is a name that is gone from a running database told, and how soon? Measured on PostgreSQL."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
from sqlalchemy.engine import make_url

from sql_synthesizer.demo import load_demo
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.operate.programs import direct
from sql_synthesizer_proof.drill.faults.quality import CANARIES
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.servers import make_postgres
from sql_synthesizer_proof.service import ServiceProcess, parse_samples

LIMIT = 120.0
"""Seconds within which it has to be told."""
POLL = 0.2
RENAMES = {
    "orders.status": ("ALTER TABLE orders RENAME COLUMN status TO state", "ALTER TABLE orders RENAME state TO status"),
    "orders": ("ALTER TABLE orders RENAME TO purchases", "ALTER TABLE purchases RENAME TO orders"),
}
"""What is gone -> how it goes, and comes back."""
ASIDE = 7.0
"""Seconds by which one rename is later than the one before, within the time between two looks at the schema."""


def prove_drift(home: Path, runs: int) -> list[Claim]:
    """Renames a column and a table, ``runs`` times each, while the service runs.

    Raises ConfigurationError where there is no PostgreSQL, TimeoutError.
    """
    server, owner = make_postgres(home / "postgres")
    settings = {
        "database_url": owner,
        "allow_privileged_login": True,  # it asks as the owner of a server that it made for itself
        "job_threads": 1,
        "canary_file": CANARIES,
    }
    with server:
        load_demo(owner)
        with ServiceProcess(home / "service", settings) as service:
            if not becomes_true(lambda: _count_right(service) >= 2, LIMIT, POLL):
                raise TimeoutError("the canaries were not answered rightly at first")
            return [claim for name in RENAMES for claim in _time_renames(service, owner, name, runs)]


def _time_renames(service: ServiceProcess, owner: str, name: str, runs: int) -> list[Claim]:
    told, mended = [], []
    go, back = RENAMES[name]
    for run in range(runs):
        time.sleep(run * ASIDE)
        _execute(owner, go)
        told.append(_time_until(lambda: _is_told(service, name)))
        _execute(owner, back)
        mended.append(_time_until(lambda: _levels(service).get(name) == 0))
    return [
        Claim(f"{name}, renamed, is told by name: metric, log, API", _describe(told), max(told) <= LIMIT),
        Claim(f"{name}, there again, is told", _describe(mended), max(mended) <= LIMIT),
    ]


def _is_told(service: ServiceProcess, name: str) -> bool:
    line = f"{name} is gone from database main"
    request = urllib.request.Request(  # noqa: S310 - of a service that this process started
        f"{service.url}/api/ops/canaries", headers={"Authorization": f"Bearer {service.key}"}
    )
    with direct.open(request, timeout=LIMIT) as reply:
        gone = json.load(reply)["gone"]
    return (
        _levels(service).get(name) == 1
        and line in service.child.log.read_text(encoding="utf-8", errors="replace")
        and {"database": "main", "name": name} in gone
    )


def _levels(service: ServiceProcess) -> dict[str, float]:
    samples = parse_samples(service.exposition(), "sql_synthesizer_schema_drift")
    return {labels["object"]: value for labels, value in samples}


def _count_right(service: ServiceProcess) -> float:
    samples = parse_samples(service.exposition(), "sql_synthesizer_canary_questions_total")
    return sum(value for labels, value in samples if labels["result"] == "right")


def _time_until(met: Callable[[], bool]) -> float:
    """Seconds until it is; more than the limit when it is not by then."""
    begun = time.monotonic()
    becomes_true(met, LIMIT, POLL)
    return time.monotonic() - begun


def _describe(seconds: list[float]) -> str:
    return f"after {', '.join(f'{one:.1f}' for one in seconds)} s; at most {LIMIT:g} s are promised"


def _execute(owner: str, statement: str) -> None:
    url = make_url(owner).set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False)) as connection:
        connection.execute(statement)
