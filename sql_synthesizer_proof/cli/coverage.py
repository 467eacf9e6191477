"""``sql-synthesizer coverage``: which critical paths leave every signal that they owe."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import click

from sql_synthesizer.operate.child import module_command
from sql_synthesizer_proof.cli import print_progress
from sql_synthesizer_proof.coverage import report
from sql_synthesizer_proof.coverage.run import choose_tenth, find_paths, run_paths
from sql_synthesizer_proof.drill.chain import end_on_signal, make_workspace
from sql_synthesizer_proof.drill.report import describe_machine

SEEN, REMOVED = "coverage.json", "coverage-removed.json"
"""Files of the documents that a run is kept in."""
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("coverage")
@click.option("--path", "patterns", multiple=True, metavar="PATTERN", help="Only paths whose name is like this.")
@click.option("--tenth", is_flag=True, help="Only the tenth that the tests drive.")
@click.option("--list", "only_list", is_flag=True, help="Print the names of the paths, and drive none.")
@click.option("--mutate", is_flag=True, help="Remove every instrument, one at a time, and say which path tells.")
@click.option("--json", "json_file", type=FILE, help="Write what was seen here.")
@click.option(
    "--docs", type=click.Path(file_okay=False, path_type=Path), help="Write what was seen into these documents."
)
def command(
    patterns: tuple[str, ...], json_file: Path | None, docs: Path | None, *, tenth: bool, only_list: bool, mutate: bool
) -> None:
    """Drive every critical path on private instances, and look for the metric, span, log line and record of each.

    The paths are derived from the service itself. The exit status is 1 when one leaves less than it owes.
    """
    end_on_signal()
    logging.getLogger().addHandler(logging.NullHandler())  # what an instance logs is looked at afterwards
    paths = choose_tenth(find_paths()) if tenth else [*find_paths()]
    paths = [path for path in paths if any(fnmatchcase(str(path), pattern) for pattern in patterns or ("*",))]
    if only_list:
        click.echo("\n".join(map(str, paths)))
        return
    if mutate:
        sys.exit(_remove_instruments(json_file or (docs and docs / REMOVED), docs))
    with make_workspace("sql-synthesizer-coverage-") as home:
        results = run_paths(paths, home, print_progress)
    click.echo(report.as_text(results))
    if json_file or docs:
        text = report.as_json(results, describe_machine())
        (json_file or Path(docs or ".") / SEEN).write_text(text, encoding="utf-8")
    if docs:
        _write_page(docs)
    sys.exit(bool(report.find_gaps(results)) or report.sum_up(results).share_of_all < report.GOAL)


def _remove_instruments(file: Path | None, docs: Path | None) -> bool:
    """Prints what found each instrument gone; whether one is missed by nothing."""
    with make_workspace("sql-synthesizer-coverage-") as home:
        kept = file or home / REMOVED
        subprocess.run(module_command("sql_synthesizer_proof.coverage.mutate", str(kept)), check=True)  # noqa: S603
        table = json.loads(kept.read_text(encoding="utf-8"))
    for name, path in table:
        click.echo(f"{name:<90}  {path or 'NOTHING'}")
    found = sum(bool(path) for _, path in table)
    click.echo(f"{found} of {len(table)} instruments are found gone")
    if docs:
        _write_page(docs)
    return found < len(table)


def _write_page(docs: Path) -> None:
    removed = json.loads((docs / REMOVED).read_text(encoding="utf-8")) if (docs / REMOVED).exists() else []
    page = report.format_page(report.read_report(docs / SEEN), removed)
    (docs / "coverage.md").write_text(page, encoding="utf-8")
