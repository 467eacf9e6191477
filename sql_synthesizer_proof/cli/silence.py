"""``sql-synthesizer silence``: ordinary traffic on a private chain, and no alert."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from sql_synthesizer_proof import silence
from sql_synthesizer_proof.cli import print_progress
from sql_synthesizer_proof.drill import report
from sql_synthesizer_proof.drill.chain import end_on_signal


@click.command("silence")
@click.option("--minutes", type=click.FloatRange(0.1, 1440), default=60.0, show_default=True, help="How long.")
@click.option("--rate", type=click.FloatRange(0.1, 200), default=4.0, show_default=True, help="Requests a second.")
@click.option("--attacks", type=click.FloatRange(0.0, 0.5), default=0.0, help="Share of attacks, for instance 0.01.")
@click.option(
    "--questions", type=click.Path(path_type=Path), help="Further harmless questions, one a line or JSON lines."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write everything that was seen here.")
def command(minutes: float, rate: float, attacks: float, questions: Path | None, json_file: Path | None) -> None:
    """Verify that ordinary traffic fires nothing; with --attacks, that few harmless requests are taken for attacks.

    The exit status is 1 when an alert fires without a reason, or too many harmless requests are taken for attacks.
    """
    end_on_signal()
    about = report.describe_machine()
    seen = silence.measure_silence(minutes * 60, rate, attacks, silence.load_questions(questions), print_progress)
    for (kind, answer), count in seen.sent.most_common():
        click.echo(f"{count:8}  {kind}: {answer}")
    click.echo(f"{seen.requests} requests, {seen.failed} failed by the service")
    click.echo(f"fired: {', '.join(seen.fired) or 'nothing but Watchdog'}; {len(seen.notified)} notifications")
    if attacks:
        click.echo(
            f"{seen.attacked} attacks; {seen.flagged} requests taken for attacks, {seen.false} of them harmless "
            f"(at most {seen.false_bound:.1%} with 95% confidence)"
        )
    if json_file:
        json_file.write_text(json.dumps({"about": about, **seen.as_dict()}, indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if seen.kept else 1)
