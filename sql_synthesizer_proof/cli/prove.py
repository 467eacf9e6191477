"""``sql-synthesizer prove``: verifies claims about the audit record, traces and jobs on the real service."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from sql_synthesizer_proof.drill.chain import end_on_signal, make_workspace
from sql_synthesizer_proof.evidence import events, traces
from sql_synthesizer_proof.evidence.batch import prove_batch
from sql_synthesizer_proof.evidence.business import prove_business
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.evidence.disk import prove_disk
from sql_synthesizer_proof.evidence.drift import prove_drift
from sql_synthesizer_proof.evidence.edits import prove_edits
from sql_synthesizer_proof.evidence.jobs import prove_jobs
from sql_synthesizer_proof.evidence.kills import prove_kills
from sql_synthesizer_proof.evidence.world import run_world
from sql_synthesizer_proof.servers import make_redis

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("prove")
def command() -> None:
    """Verify claims about the audit record, traces and jobs, by measurements on a private copy of the service."""


@command.command("events")
@click.option("--json", "json_file", type=FILE, help="Write everything that was seen here.")
def command_events(json_file: Path | None) -> None:
    """Cause every type of security event, and look for its record, count and log line.

    The exit status is 1 when one of them is missing.
    """
    end_on_signal()
    with make_workspace("sql-synthesizer-prove-") as home, run_world(home / "service") as world:
        rows = events.run_scenarios(world)
    click.echo(events.as_text(rows))
    if json_file:
        json_file.write_text(events.as_json(rows), encoding="utf-8")
    sys.exit(any(row.missing for row in rows))


@command.command("audit")
@click.option("--kills", "count", type=click.IntRange(1, 1000), default=50, show_default=True, help="Workers to kill.")
@click.option("--json", "json_file", type=FILE, help="Write every claim here.")
def command_audit(count: int, json_file: Path | None) -> None:
    """Kill workers under load, fail the disk, edit the record, and verify that each is detected.

    The exit status is 1 when a claim does not hold.
    """
    end_on_signal()
    with make_workspace("prove-") as home:
        claims, ended = prove_kills(home / "kills", count)
        claims += prove_disk(home / "disk")
        claims += prove_edits(ended.state / "audit", ended.child.log, home)
    _report_claims(claims, json_file)


@command.command("jobs")
@click.option("--jobs", "count", type=click.IntRange(3, 5000), default=300, show_default=True, help="Jobs to submit.")
@click.option("--kills", type=click.IntRange(1, 1000), default=30, show_default=True, help="Processes to kill.")
@click.option("--redis", is_flag=True, help="Wake workers through a Redis of its own, and kill that too.")
@click.option("--json", "json_file", type=FILE, help="Write every claim here.")
def command_jobs(count: int, kills: int, redis: bool, json_file: Path | None) -> None:
    """Kill workers and the service while jobs run, and verify that each job ends once, with a result or a reason.

    Then a batch over three workers has to be one trace.

    The exit status is 1 when a claim does not hold.
    """
    end_on_signal()
    with make_workspace("prove-") as home, ExitStack() as stack:
        server, wakeups = None, dict[str, object]()
        if redis:
            server, url = make_redis(home / "redis")
            stack.enter_context(server)
            wakeups = {"job_wakeups": "redis", "redis_url": url}
        claims = prove_jobs(home / "service", count, kills, wakeups, server)
        claims += prove_batch(home / "batch", wakeups)
    _report_claims(claims, json_file)


@command.command("drift")
@click.option("--runs", type=click.IntRange(1, 100), default=3, show_default=True, help="Renames of each kind.")
@click.option("--json", "json_file", type=FILE, help="Write every claim here.")
def command_drift(runs: int, json_file: Path | None) -> None:
    """Rename columns and tables in a running PostgreSQL, and time what tells of it, by name.

    The exit status is 1 when a claim does not hold.
    """
    end_on_signal()
    with make_workspace("prove-") as home:
        claims = prove_drift(home, runs)
    _report_claims(claims, json_file)


@command.command("business")
@click.option("--questions", "count", type=click.IntRange(10, 1_000_000), default=5000, show_default=True)
@click.option("--kills", type=click.IntRange(0, 1000), default=0, show_default=True, help="Workers to kill meanwhile.")
@click.option("--json", "json_file", type=FILE, help="Write every claim here.")
def command_business(count: int, kills: int, json_file: Path | None) -> None:
    """Ask mixed questions, kill workers if wanted, and compare the month's report with the metrics.

    The exit status is 1 when a claim does not hold.
    """
    end_on_signal()
    with make_workspace("prove-") as home:
        claims = prove_business(home / "service", count, kills)
    _report_claims(claims, json_file)


def _report_claims(claims: Sequence[Claim], json_file: Path | None) -> NoReturn:
    for claim in claims:
        click.echo(str(claim))
    if json_file:
        json_file.write_text(json.dumps([asdict(claim) for claim in claims], indent=2) + "\n", encoding="utf-8")
    sys.exit(any(claim.kept is False for claim in claims))


@command.command("traces")
@click.option("--requests", "count", type=click.IntRange(1, 10_000), default=500, show_default=True)
@click.option("--json", "json_file", type=FILE, help="Write everything that was seen here.")
def command_traces(count: int, json_file: Path | None) -> None:
    """Send mixed requests and jobs, each in a trace of its own, and look for each in spans, log, record and exemplars.

    The exit status is 1 when one of them is not found wherever it has to be.
    """
    end_on_signal()
    with make_workspace("prove-") as home:
        sent = traces.prove_traces(home / "service", count)
    click.echo(traces.as_text(sent))
    if json_file:
        json_file.write_text(traces.as_json(sent), encoding="utf-8")
    sys.exit(not all(one.complete for one in sent))
