"""The command line: one file a verb group, imported when the verb is used; other packages join their own verbs.

A package joins a verb by an entry point in the group ``sql_synthesizer.verbs`` that names a click command.
"""

from __future__ import annotations

import gc
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from sql_synthesizer import __version__
from sql_synthesizer.errors import Declined, SqlSynthesizerError

VERBS = {
    "serve": "Serve the application and its metrics.",
    "stack": "Serve it, watched by Prometheus and Alertmanager on this machine.",
    "ask": "Ask a question and print the answer.",
    "jobs": "Submit many questions at once, and look after them.",
    "schedules": "Have questions asked again and again.",
    "worker": "Ask the questions of jobs, beside those that serve asks.",
    "canaries": "Ask the questions with known results once, and say which answers are right.",
    "regress": "Look for what has become slower, dearer or wrong.",
    "keys": "Create, list and revoke API keys.",
    "trace": "Show all that is known of a trace, question or job.",
    "traces": "List recent traces, or the slow and failed ones.",
    "audit": "Search the audit record.",
    "report": "Print what a manager asks of a month: questions, callers, costs, savings, teams.",
    "store": "Back up and restore the service's own state.",
    "doctor": "Look through a set-up and say what is to be mended.",
    "inbox": "Catch notifications on this machine and show them on a page.",
    "traffic": "Send ordinary load to a running service.",
    "demo": "Make the demo database, also in a database of yours.",
}
PROOF_PACKAGE = "sql-synthesizer-proof"
PROOF_VERBS = {
    "mixin": "Build and check alert rules, dashboards and reference pages.",
    "drill": "Fire every alert for real, and time its notification.",
    "silence": "Run ordinary traffic and see that no alert fires.",
    "eval": "Score the guards on labelled texts.",
    "coverage": "Show which critical paths leave every signal.",
    "prove": "Show what the audit record and traces promise, by measurements.",
}
"""Verbs of the proof package, which production images do not hold."""


def load_verb(name: str) -> click.Command | None:
    """The command of a verb of this package.

    Imports stand here because each verb loads what it needs alone: ``keys`` takes a third of the time of ``serve``.
    """
    # ruff: noqa: PLC0415
    command: click.Command
    match name:
        case "serve":
            from sql_synthesizer.cli.serve import command
        case "stack":
            from sql_synthesizer.cli.stack import command
        case "ask":
            from sql_synthesizer.cli.ask import command
        case "jobs":
            from sql_synthesizer.cli.jobs import command
        case "schedules":
            from sql_synthesizer.cli.schedules import command
        case "worker":
            from sql_synthesizer.cli.worker import command
        case "canaries":
            from sql_synthesizer.cli.canaries import command
        case "regress":
            from sql_synthesizer.cli.regress import command
        case "keys":
            from sql_synthesizer.cli.keys import command
        case "audit":
            from sql_synthesizer.cli.audit import command
        case "report":
            from sql_synthesizer.cli.report import command
        case "trace":
            from sql_synthesizer.cli.trace import command
        case "traces":
            from sql_synthesizer.cli.trace import list_command as command
        case "store":
            from sql_synthesizer.cli.store import command
        case "doctor":
            from sql_synthesizer.cli.doctor import command
        case "inbox":
            from sql_synthesizer.cli.inbox import command
        case "traffic":
            from sql_synthesizer.cli.traffic import command
        case "demo":
            from sql_synthesizer.cli.demo import command
        case _:
            return None
    return command


def joined_verbs() -> dict[str, EntryPoint]:
    """Verbs that other installed packages bring; none of them takes the place of one of this package."""
    return {entry.name: entry for entry in entry_points(group="sql_synthesizer.verbs") if entry.name not in VERBS}


class _Lazy(click.Group):
    """Knows its verbs by name and loads one only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*VERBS, *joined_verbs()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (own := load_verb(cmd_name)) is not None:
            return own
        if (entry := joined_verbs().get(cmd_name)) is not None:
            return _load_joined(entry)
        if cmd_name in PROOF_VERBS:
            raise click.UsageError(
                f"'{cmd_name}' is a verb of the package {PROOF_PACKAGE}, which is not installed here. "
                f"Install it: pip install {PROOF_PACKAGE}=={__version__}"
            )
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        joined = [(name, PROOF_VERBS.get(name) or f"From {entry.value}.") for name, entry in joined_verbs().items()]
        with formatter.section("Commands"):
            formatter.write_dl([*VERBS.items(), *joined])


def _load_joined(entry: EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except ImportError as error:
        raise click.UsageError(f"The verb '{entry.name}' cannot be loaded from {entry.value}: {error}.") from None
    if not isinstance(command, click.Command):
        raise click.UsageError(f"The verb '{entry.name}' is no command: {entry.value}.")
    return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def group() -> None:
    """Answers questions in plain language from a SQL database, and watches itself doing it."""


def format_error(error: SqlSynthesizerError) -> str:
    """What a person at the terminal reads about an error."""
    text = f"{error.message}\n{error.hint}"
    if isinstance(error, Declined):
        for title, lines in (("It could have meant:", error.choices), ("You could ask:", error.suggestions)):
            text += "\n  ".join([f"\n{title}", *lines]) if lines else ""
    return text


def main(**kwargs: Any) -> None:
    """Runs the command line; a known error is printed and ends with status 2."""
    # Nearly all that a command makes is code it has loaded, which stays: garbage is looked for rarely.
    gc.set_threshold(100_000)
    try:
        group.main(prog_name="sql-synthesizer", standalone_mode=True, **kwargs)
    except SqlSynthesizerError as error:
        click.echo(f"Error: {format_error(error)}", err=True)
        sys.exit(2)
