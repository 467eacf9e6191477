"""``sql-synthesizer eval``: scores of the guards on labelled texts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

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
    found = security.evaluate_lines(judge, security.read_lines(directory), by)
    click.echo(json.dumps(found.as_dict(), indent=2) if as_json else _format_table(found))


def _format_table(found: security.Evaluation) -> str:
    width = max([24, *(len(group.name) for group in found.groups)])
    lines = [
        f"{'kind':9} {'label':7} {found.by:{width}} {'n':>6}  flagged    rate  95 % interval     weak  attack-grade"
    ]
    for group in found.groups:
        layers = ", ".join(f"{name} {count}" for name, count in sorted(group.layers.items()))
        rates = "{rate:7.2%}  {low:6.2%}-{high:7.2%}".format(**group.rates)
        lines.append(
            f"{group.kind:9} {group.label:7} {group.name:{width}} {group.n:6} {group.flagged:8} {rates} "
            f"{group.weak:6} {group.attack:13}  {layers}"
        )
    if found.benign.n:
        bound = f"; at most {found.bound:.3%} with 95 % confidence (3/n)" if found.bound is not None else ""
        lines.append(f"attack-grade among benign questions: {found.benign.attack} of {found.benign.n}{bound}")
    lines += [f"CPU ms a {cpu.kind} ({cpu.label}): p50 {cpu.p50_ms}, p95 {cpu.p95_ms}" for cpu in found.cpu]
    return "\n".join(lines)
