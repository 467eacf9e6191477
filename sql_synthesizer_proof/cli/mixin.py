"""``sql-synthesizer mixin``: rules, dashboards and reference pages from the catalogue."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from sql_synthesizer.errors import ConfigurationError


@click.group("mixin")
def command() -> None:
    """Build alert rules, dashboards and reference pages, and check them."""


@command.command("build")
@click.option("--output", type=Path, help="Directory to write under, instead of the repository.")
@click.option("--runbooks", metavar="URL", help="Where runbooks are read; {name} stands for the alert.")
@click.option("--dashboards", metavar="URL", help="Where dashboards are shown; {uid} stands for the dashboard.")
def build(output: Path | None, **patterns: str | None) -> None:
    """Write the generated files; links in alerts lead to the compose deployment unless told otherwise."""
    mixin = _mixin()
    links = mixin.Links(**{name: pattern for name, pattern in patterns.items() if pattern})
    for path in mixin.build(output or mixin.ROOT, links):
        click.echo(path)


@command.command("check")
@click.option("--root", type=Path, help="Directory to look under, instead of the repository.")
def check(root: Path | None) -> None:
    """Say what is stale, wrong, missing or orphaned; the exit status is 1 when anything is."""
    mixin = _mixin()
    faults = list(mixin.check(root or mixin.ROOT))
    for fault in faults:
        click.echo(fault, err=True)
    sys.exit(1 if faults else 0)


def _mixin() -> Any:
    try:
        return import_module("sql_synthesizer_proof.mixin.build")
    except ImportError as error:
        raise ConfigurationError(
            f"The mixin needs {error.name}, a package for development.",
            hint="In a checkout, './run check' installs what is needed; then run this again.",
        ) from None
    except ValueError as error:
        raise ConfigurationError(
            f"The mixin does not build: {error}.",
            hint="An alert or a panel names what the catalogue no longer has; change both together.",
        ) from None
