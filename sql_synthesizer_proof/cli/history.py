"""``./run bench --keep`` and ``--history``: what the benchmarks said at each commit."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from sql_synthesizer_proof import history

SHOWN = 10


@click.group("history")
def command() -> None:
    """Keep what the benchmarks say at each commit, and look where they took a step."""


@command.command("keep")
@click.option("--rounds", type=click.IntRange(5, 100), default=7, show_default=True, help="Rounds of each benchmark.")
def keep(rounds: int) -> None:
    """Run the benchmarks, and add a line for this commit to docs/benchmarks.jsonl."""
    kept = history.measure(rounds)
    history.keep(kept)
    click.echo(json.dumps(kept))


@command.command("show")
@click.option("--json", "as_json", is_flag=True, help="Print the steps as JSON.")
def show(*, as_json: bool) -> None:
    """Print the newest ratios, and each that took a step. The exit status is 1 when one became larger."""
    kept = history.read()
    steps = history.find_steps(kept)
    if as_json:
        click.echo(json.dumps([asdict(step) for step in steps], indent=2))
    else:
        for name in sorted({name for one in kept for name in one["ratios"]}):
            newest = [one["ratios"][name] for one in kept if name in one["ratios"]][-SHOWN:]
            click.echo(f"{name:72} {' '.join(f'{ratio:6.2f}' for ratio in newest)}")
        for step in steps:
            click.echo(
                f"step at {step.commit}: {step.name}: {step.before:.2f} to {step.after:.2f} (z {step.score:.1f})"
            )
    sys.exit(any(step.after > step.before for step in steps))


if __name__ == "__main__":
    command()
