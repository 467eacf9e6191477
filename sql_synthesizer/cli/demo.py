"""``sql-synthesizer demo``: the shop that questions can be tried on."""

from __future__ import annotations

from pathlib import Path

import click

from sql_synthesizer.demo import create_demo, load_demo
from sql_synthesizer.errors import ConfigurationError


@click.group("demo")
def command() -> None:
    """Make the demo database, as a file or in a database of yours."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
def create(file: Path) -> None:
    """Write the demo shop as a SQLite database to FILE."""
    if file.exists():
        raise ConfigurationError(f"{file} exists already.", hint="Choose another name, or remove it first.")
    create_demo(file)
    click.echo(f"sqlite:///{file.resolve()}")


@command.command()
@click.argument("url")
def load(url: str) -> None:
    """Load the demo shop into the empty PostgreSQL or MariaDB database at URL."""
    load_demo(url)
    click.echo("loaded")
