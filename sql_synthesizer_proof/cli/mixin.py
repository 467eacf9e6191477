"""``sql-synthesizer mixin``: rules, dashboards and reference pages from the catalogue."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from sql_synthesizer.errors import ConfigurationError


@click.group("mixin")
def command() -> None:
    """Build alert rules, dashboards and reference pages, and check them."""


@command.command("build")
@click.option("--output", type=Path, help="Directory to write under, instead of the repository.")
@click.option("--runbooks", metavar="URL", help="Where runbooks are read; {name} stands for the alert.")
@click.option("--dashboards", metavar="URL", help="Where dashboards are shown; {uid} stands for the dashboard.")
def command_build(output: Path | None, **patterns: str | None) -> None:
    """Write the generated files; links in alerts lead to the compose deployment by default."""
    with _explain_errors():
        from sql_synthesizer_proof.mixin import build as mixin  # noqa: PLC0415
        from sql_synthesizer_proof.mixin.alert import Links  # noqa: PLC0415

        links = Links(**{name: pattern for name, pattern in patterns.items() if pattern})
        for path in mixin.build_files(output or mixin.find_repository(), links):
            click.echo(path)


@command.command("check")
@click.option("--root", type=Path, help="Directory to look under, instead of the repository.")
def command_check(root: Path | None) -> None:
    """Report what is stale, wrong, missing or orphaned; the exit status is 1 when anything is."""
    with _explain_errors():
        from sql_synthesizer_proof.mixin.checks.dialects import dialect_faults  # noqa: PLC0415

        found = _print_faults(dialect_faults())
        if not found:  # else what judges statements does not load
            from sql_synthesizer_proof.mixin import build as mixin  # noqa: PLC0415

            found = _print_faults(mixin.check_tables())
            found += _print_faults(mixin.check_files(root or mixin.find_repository()))
    sys.exit(1 if found else 0)


def _print_faults(faults: Iterator[str]) -> list[str]:
    """Prints a line for each, and returns them."""
    found = list(faults)
    for fault in found:
        click.echo(fault, err=True)
    return found


@contextmanager
def _explain_errors() -> Iterator[None]:
    """Rows are checked when they are imported; a fault is one line."""
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(
            f"The mixin does not build: {error}.",
            hint="An alert or a panel names what the catalogue no longer has; change both together.",
        ) from None
