"""``sql-synthesizer drill``: fires every alert for real and measures the time to its notification."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer_proof.cli import print_progress
from sql_synthesizer_proof.drill import report
from sql_synthesizer_proof.drill.chain import end_on_signal
from sql_synthesizer_proof.drill.faults import SCENARIOS, escalation
from sql_synthesizer_proof.drill.run import WARM_UP, Drill, load_rules
from sql_synthesizer_proof.drill.scenario import AlertScenario


@click.command("drill")
@click.option("--alert", "alerts", multiple=True, metavar="NAME", help="Only this alert; may be given again.")
@click.option("--fast/--slow", default=None, help="Only the alerts marked 'detection: fast', or only the others.")
@click.option("--runs", type=click.IntRange(1, 100), default=1, show_default=True, help="Runs of each fast alert.")
@click.option("--chains", type=click.IntRange(1, 8), default=2, show_default=True, help="Chains at the same time.")
@click.option("--resolve/--no-resolve", default=True, help="Whether to wait for the resolved notices.")
@click.option("--warm-up", type=float, default=WARM_UP, show_default=True, help="Seconds of ordinary traffic first.")
@click.option("--limit", type=float, help="Seconds after which a notification is missing; default: from the rule.")
@click.option(
    "--files", type=click.Path(path_type=Path), help="Directory to drill instead of the shipped 'monitoring'."
)
@click.option("--add", type=click.Path(path_type=Path), multiple=True, help="JSON of an earlier drill to report with.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything that was seen here.")
@click.option("--html", "html_file", type=click.Path(path_type=Path), help="Write a page with every timeline here.")
def command(
    alerts: tuple[str, ...],
    *,
    fast: bool | None,
    runs: int,
    chains: int,
    add: tuple[Path, ...],
    json_file: Path | None,
    html_file: Path | None,
    **options: Any,
) -> None:
    """Break a private copy of the service, and time fault, alert, notification and recovery.

    Without --alert and --fast it also checks escalation: repeated, inhibited and unrelated notifications. The
    exit status is 1 when an alert did not arrive, came too late or incomplete, or a check failed.
    """
    end_on_signal()
    about = report.describe_machine()
    before = [report.read_report(file) for file in add]
    with ThreadPoolExecutor(chains) as pool:
        checking = None if alerts or fast else pool.submit(escalation.run_checks, print_progress, options["files"])
        drills = [
            pool.submit(Drill(s, print_progress, **options).run, n) for n, s in _plan_runs(alerts, runs, fast=fast)
        ]
        lines = [line for drill in drills for line in drill.result()]
        seen = report.Seen((*lines,), (*checking.result(),) if checking else ()).merge_earlier(before)
    click.echo(report.as_text(seen))
    if json_file:
        json_file.write_text(report.as_json(seen, about), encoding="utf-8")
    if html_file:
        html_file.write_text(report.as_html(seen, about), encoding="utf-8")
    sys.exit(0 if seen.kept else 1)


def _plan_runs(alerts: tuple[str, ...], runs: int, *, fast: bool | None) -> list[tuple[int, list[AlertScenario]]]:
    """(number, scenarios) of each run: fast alerts in every one; the others once, those of a chain together."""
    known = load_rules()
    if unknown := set(alerts) - known.keys():
        raise ConfigurationError(
            f"There is no alert {', '.join(sorted(unknown))}.", hint="docs/alerts.md lists the alerts."
        )
    quick = {name for name, found in known.items() if any("detection" in rule["labels"] for rule in found)}
    asked = {None: set(known), True: quick, False: known.keys() - quick}[fast]
    wanted = [s for s in SCENARIOS if s.alert in asked and s.alert in (alerts or known)]
    every = [scenario for scenario in wanted if scenario.alert in quick]
    once: dict[tuple[object, ...], list[AlertScenario]] = {}
    for scenario in wanted:
        if scenario.alert not in quick:
            once.setdefault((scenario.settings, scenario.scaled), []).append(scenario)
    return [*((number, every) for number in range(1, runs + 1) if every), *((1, group) for group in once.values())]
