"""``sql-synthesizer eval``: scores of the guards and of the embedded engine on labelled data."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import click

from sql_synthesizer.settings import load
from sql_synthesizer_proof import answers, fit, security

THRESHOLDS = (0.4, 0.5, 0.6, 0.66, 0.7, 0.8, 0.9, 0.92)


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


@command.command("answers")
@click.argument("path", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--by", type=click.Choice(["source", "difficulty", "db"]), default="source", show_default=True)
@click.option("--synthesizer", type=click.Choice(["rules"]), default="rules", show_default=True, help="What answers.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--stdio", is_flag=True, help="Answer lines of JSON from standard input, one answer a line.")
@click.option("--postgres", metavar="URL", default="", help="Ask the questions for PostgreSQL of this server instead.")
def command_answers(path: Path | None, by: str, synthesizer: str, *, as_json: bool, stdio: bool, postgres: str) -> None:
    """Ask the questions of PATH, or of PATH/questions.jsonl, and compare rows with those of their gold SQL."""
    del synthesizer  # there is one that needs no network
    answerer = answers.Answerer(load())
    if stdio:
        answers.answer_lines(answerer, sys.stdin, sys.stdout)
        return
    if path is None:
        raise click.UsageError("name the questions, or give --stdio")
    found = answers.evaluate_lines(answerer, answers.read_lines(path, postgres), by)
    if as_json:
        click.echo(json.dumps({name: score.as_dict() for name, score in found.items()}, indent=2))
        return
    if broken := found["all"].broken:
        click.echo(f"{broken} answers are in no score: a gold statement cannot be run.", err=True)
    click.echo(f"{'':32} {'n':>6} {'right':>7} {'declined':>9}  right of answers: all    sure  unsure  share sure")
    for name, score in sorted(found.items()):
        row = defaultdict(lambda: float("nan"), score.as_dict())
        click.echo(
            f"{name:32} {score.questions:6} {row['right']:7.1%} {row['declined']:9.1%}  {row['right_of_all']:21.1%} "
            f"{row['right_of_sure']:7.1%} {row['right_of_unsure']:7.1%} {row['sure']:11.1%}"
        )


@command.command("fit")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--write", type=click.Path(path_type=Path), help="Write the coefficients to this file.")
def command_fit(path: Path, *, as_json: bool, write: Path | None) -> None:
    """Fit the engine's confidence on the questions of PATH; figures are of databases that were left out."""
    examples = fit.read_examples(answers.Answerer(load()), answers.read_lines(path))
    foretold = fit.cross_validate(examples)
    tenths, error = fit.calibrate(examples, foretold)
    model = fit.fit_model(examples)
    if write is not None:
        write.write_text(fit.model_text(model), encoding="utf-8")
    curve = {least: fit.answered_from(examples, foretold, least) for least in THRESHOLDS}
    if as_json:
        found = {"error": error, "tenths": [asdict(tenth) for tenth in tenths], "coefficients": model, "from": curve}
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"{len(examples)} questions, expected calibration error {error:.1%}\nfrom       n  foretold  right")
    for tenth in tenths:
        click.echo(f"{tenth.low:4.1f}  {tenth.count:6} {tenth.foretold:9.1%} {tenth.right:6.1%}")
    click.echo("answered from  share of questions  right of them  right of answers")
    for least, (answered, right, precision) in curve.items():
        click.echo(f"{least:13.2f} {answered:19.1%} {right:14.1%} {precision:17.1%}")


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
