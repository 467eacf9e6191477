"""``sql-synthesizer canaries``: the questions with known results, asked once."""

from __future__ import annotations

import json
import sys

import click

from sql_synthesizer.cli.session import open_rooms
from sql_synthesizer.errors import ConfigurationError


@click.command("canaries")
@click.option("--json", "as_json", is_flag=True, help="Print what came of each as JSON.")
def command(*, as_json: bool) -> None:
    """Ask the questions with known results, which the service asks itself, once each.

    The exit status is 1 when one was not answered rightly.
    """
    with open_rooms() as rooms:
        if (canaries := rooms.canaries()) is None:
            raise ConfigurationError(
                "There are no questions with known results.", hint="Name their file with SQL_SYNTHESIZER_CANARY_FILE."
            )
        results = canaries.ask_all()
    lines = [f"{result:10} {name}" for name, result in results.items()]
    click.echo(json.dumps(results, indent=2) if as_json else "\n".join(lines))
    sys.exit(any(result != "right" for result in results.values()))
