"""``sql-synthesizer store``: backup and restore of the service's own state."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from sql_synthesizer.settings import load, secret_text
from sql_synthesizer.store import Store


@click.group("store")
def command() -> None:
    """Back up and restore keys, history and feedback."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Write a consistent copy to FILE while the service runs."""
    settings = load()
    with closing(Store(secret_text(load().store_url), settings.state_dir)) as store:
        store.backup(file)
    click.echo(f"written to {file}")


@command.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True))
def restore(file: Path) -> None:
    """Put the copy in FILE in the store's place while the service is stopped."""
    kept = Store.restore(file, secret_text(load().store_url), load().state_dir)
    click.echo("restored" + (f"; the old state is kept in {kept}" if kept else ""))
