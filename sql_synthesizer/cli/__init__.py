"""The command line: one file a verb group, imported when the verb is used."""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any

import click

from sql_synthesizer import __version__
from sql_synthesizer.errors import Declined, SqlSynthesizerError

VERBS = {
    "serve": ("serve", "Serve the application and its metrics."),
    "stack": ("stack", "Serve it, watched by Prometheus and Alertmanager on this machine."),
    "ask": ("ask", "Ask a question and print the answer."),
    "keys": ("keys", "Create, list and revoke API keys."),
    "audit": ("audit", "Search the audit record."),
    "store": ("store", "Back up and restore the service's own state."),
    "mixin": ("mixin", "Build and check alert rules, dashboards and reference pages."),
    "drill": ("drill", "Fire every alert for real, and time its notification."),
    "silence": ("silence", "Run ordinary traffic and see that no alert fires."),
    "eval": ("eval", "Score the guards on labelled texts."),
    "inbox": ("inbox", "Catch notifications on this machine and show them on a page."),
    "prove": ("prove", "Show what the record promises, by measurements."),
    "traffic": ("traffic", "Send ordinary load to a running service."),
    "demo": ("demo", "Make the demo database, also in a database of yours."),
}


class _Lazy(click.Group):
    """Knows its verbs by name and loads one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"sql_synthesizer.cli.{VERBS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, help) for verb, (_, help) in VERBS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Answers questions in plain language from a SQL database, and watches itself doing it."""


def told(error: SqlSynthesizerError) -> str:
    """What a person at the terminal reads about an error."""
    suggestions = error.suggestions if isinstance(error, Declined) else ()
    return "\n  ".join([f"{error.message}\n{error.hint}" + "\nYou could ask:" * bool(suggestions), *suggestions])


def main(**kwargs: Any) -> None:
    """Runs the command line; a known error is told and ends with status 2."""
    # Nearly all that a command makes is code it has loaded, which stays: garbage is looked for rarely.
    gc.set_threshold(100_000)
    try:
        group.main(prog_name="sql-synthesizer", standalone_mode=True, **kwargs)
    except SqlSynthesizerError as error:
        click.echo(f"Error: {told(error)}", err=True)
        sys.exit(2)
