"""``sql-synthesizer stack``: the service, and beside it everything that watches it."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from sql_synthesizer.cli.serve import command as serve
from sql_synthesizer.operate.stack import run_stack
from sql_synthesizer.settings import child_environment, load


@click.command("stack", params=[*serve.params])
def command(**overrides: Any) -> None:
    """Serve the application, watched by Prometheus and Alertmanager, until SIGTERM.

    Alerts come to an inbox on this machine. A chat address in the file stack/secrets/slack_api_url of the state
    directory is used instead of it.
    """
    sys.exit(run_stack(load(**overrides), child_environment(overrides), partial(click.echo, err=True)))
