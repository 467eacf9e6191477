"""The verbs that this package joins to the command line."""

from __future__ import annotations

import time

import click


def print_progress(text: str) -> None:
    """Prints a line with the time of day on standard error."""
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)
