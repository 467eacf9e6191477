"""``sql-synthesizer eval``: scores of the guards on labelled texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from sql_synthesizer.settings import load
from sql_synthesizer_proof import security


@click.group("eval")
def command() -> None:
    """Score what the service promises on labelled data."""


@command.command("security")
@click.argument("directory", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--by", type=click.Choice(["class", "source"]), default="class", show_default=True, help="Rows to print.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--stdio", is_flag=True, help="Judge lines of JSON from standard input, one answer a line.")
def command_security(directory: Path | None, by: str, as_json: bool, stdio: bool) -> None:
    """Judge the labelled texts of DIRECTORY/*.jsonl with the service's guards and print the rates by class."""
    judge = security.Judge(load())
    if stdio:
        security.answer_lines(judge, sys.stdin, sys.stdout)
        return
    if directory is None:
        raise click.UsageError("name the directory of labelled texts, or give --stdio")
    told = security.evaluate_lines(judge, security.read_lines(directory), by)
    click.echo(json.dumps(told, indent=2) if as_json else _format_table(told))


def _format_table(told: dict[str, Any]) -> str:
    by = told["by"]
    width = max([24, *(len(row[by]) for row in told["groups"])])
    lines = [
        f"{'kind':9} {'label':7} {by:{width}} {'n':>6} {'flagged':>8} {'rate':>7}  {'95 % interval':15} attack-grade"
    ]
    for row in told["groups"]:
        layers = ", ".join(f"{name} {count}" for name, count in sorted(row["layers"].items()))
        lines.append(
            f"{row['kind']:9} {row['label']:7} {row[by]:{width}} {row['n']:6} {row['flagged']:8} {row['rate']:7.2%}  "
            f"{row['low']:6.2%}-{row['high']:7.2%} {row['attack_grade']:6}  {layers}"
        )
    benign = told["benign_attack_grade"]
    if benign["n"]:
        bound = f"; at most {benign['bound']:.3%} with 95 % confidence (3/n)" if benign["bound"] is not None else ""
        lines.append(f"attack-grade among benign questions: {benign['attack_grade']} of {benign['n']}{bound}")
    lines += [
        f"CPU ms a {row['kind']} ({row['label']}): p50 {row['p50_ms']}, p95 {row['p95_ms']}" for row in told["cpu"]
    ]
    return "\n".join(lines)
