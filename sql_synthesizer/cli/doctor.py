"""``sql-synthesizer doctor``: what is to be mended in a set-up."""

from __future__ import annotations

import sys

import click

from sql_synthesizer.operate.doctor import examine
from sql_synthesizer.settings import load

MARKS = {"ok": "ok      ", "doubtful": "doubtful", "wrong": "WRONG   "}


@click.command("doctor")
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, metavar="URL")
@click.option("--alertmanager", default="http://127.0.0.1:9093", show_default=True, metavar="URL")
def command(prometheus: str, alertmanager: str) -> None:
    """Look through permissions, disk, clock, databases, Prometheus and Alertmanager; say what is to be mended.

    Nothing is changed. The exit status is 1 when something is wrong.
    """
    wrong = 0
    for found in examine(load(), prometheus, alertmanager):
        click.echo(f"{MARKS[found.state]}  {found.subject}: {found.said}")
        if found.mend:
            click.echo(f"            mend: {found.mend}")
        wrong += found.state == "wrong"
    click.echo(f"{wrong} to mend" if wrong else "nothing is wrong")
    sys.exit(bool(wrong))
