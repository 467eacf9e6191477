"""``sql-synthesizer regress``: what has become worse, over time or from one version to the next."""

from __future__ import annotations

import json
import math
import sys
import time
from dataclasses import asdict

import click

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring.regression.looking import look_for_regressions
from sql_synthesizer.monitoring.regression.prometheus import Prometheus
from sql_synthesizer.monitoring.regression.versions import compare_versions
from sql_synthesizer.monitoring.regression.watch import describe
from sql_synthesizer.settings import load

ADDRESS = click.option("--prometheus", "address", metavar="URL", help="Prometheus that watches the service.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")


@click.group("regress")
def command() -> None:
    """Look for what has become slower, dearer or wrong, in Prometheus' series of the service."""


@command.command("versions")
@click.argument("old")
@click.argument("new")
@click.option("--minutes", type=click.IntRange(5, 1440), default=30, show_default=True, help="How far to look back.")
@ADDRESS
@AS_JSON
def versions(old: str, new: str, minutes: int, address: str | None, *, as_json: bool) -> None:
    """Compare version NEW with OLD while both answer questions; either may be an instance instead.

    The exit status is 1 when NEW is worse in something, 3 when there were too few questions to say so of any.
    """
    found = compare_versions(find_prometheus(address), old, new, minutes)
    rows = [asdict(one) | {"ratio": one.ratio if math.isfinite(one.ratio) else None} for one in found]
    lines = [f"{'':18} {'requests':>17} {'p95 or share':>22} {'ratio':>7} {'chance':>7}  verdict"]
    lines += [
        f"{one.name:18} {one.requests[0]:8,} {one.requests[1]:8,} {one.before:10.4f} {one.after:11.4f} "
        f"{one.ratio:7.2f} {one.chance:7.4f}  {one.verdict}"
        for one in found
    ]
    click.echo(json.dumps(rows, indent=2) if as_json else "\n".join(lines))
    verdicts = {one.verdict for one in found}
    sys.exit(1 if "worse" in verdicts else 3 if verdicts == {"too few"} else 0)


@command.command("check")
@ADDRESS
@AS_JSON
def check(address: str | None, *, as_json: bool) -> None:
    """Look once for steps for the worse in the past weeks, as the service does by itself.

    The exit status is 1 when there is one.
    """
    found = look_for_regressions(find_prometheus(address), time.time(), load().regression_week)
    click.echo(json.dumps([one.to_json() for one in found], indent=2) if as_json else "\n".join(map(describe, found)))
    sys.exit(bool(found))


def find_prometheus(address: str | None) -> Prometheus:
    """Prometheus by the option, else by the setting. Raises ConfigurationError."""
    settings = load()
    if not (url := address or settings.prometheus_url):
        raise ConfigurationError(
            "It is not known where Prometheus is.", hint="Name it with --prometheus or SQL_SYNTHESIZER_PROMETHEUS_URL."
        )
    return Prometheus(url)
