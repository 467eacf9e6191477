"""``sql-synthesizer coverage``: which critical paths leave every signal that they owe."""

from __future__ import annotations

import logging
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import click

from sql_synthesizer_proof.cli import print_progress
from sql_synthesizer_proof.coverage import report
from sql_synthesizer_proof.coverage.run import choose_tenth, find_paths, run_paths
from sql_synthesizer_proof.drill.chain import end_on_signal, make_workspace
from sql_synthesizer_proof.drill.report import describe_machine

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("coverage")
@click.option("--path", "patterns", multiple=True, metavar="PATTERN", help="Only paths whose name is like this.")
@click.option("--tenth", is_flag=True, help="Only the tenth that the tests drive.")
@click.option("--list", "only_list", is_flag=True, help="Print the names of the paths, and drive none.")
@click.option("--json", "json_file", type=FILE, help="Write what every path owes and what was seen of it here.")
def command(patterns: tuple[str, ...], json_file: Path | None, *, tenth: bool, only_list: bool) -> None:
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
    with make_workspace("sql-synthesizer-coverage-") as home:
        results = run_paths(paths, home, print_progress)
    click.echo(report.as_text(results))
    if json_file:
        json_file.write_text(report.as_json(results, describe_machine()), encoding="utf-8")
    sys.exit(bool(report.find_gaps(results)) or report.sum_up(results).share_of_all < report.GOAL)
