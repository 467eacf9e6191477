"""``sql-synthesizer ask``: a question on the command line."""

from __future__ import annotations

import csv
import sys
import time
from typing import TYPE_CHECKING, Any

import click
import orjson

from sql_synthesizer.cli import told
from sql_synthesizer.cli.session import recorded, session
from sql_synthesizer.errors import QuestionEmpty, SqlSynthesizerError
from sql_synthesizer.model import Answer, Question

if TYPE_CHECKING:
    from sql_synthesizer.wiring import Rooms


@click.command("ask")
@click.argument("question", required=False)
@click.option("--database", "database_url", metavar="URL", help="SQLAlchemy URL of the database to ask.")
@click.option("--name", help="Which of several configured databases to ask.")
@click.option("--sql-only", is_flag=True, help="Print the statement only.")
@click.option("--explain", is_flag=True, help="Print the explanation, the statement and the timings too.")
@click.option("--output", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--max-rows", type=click.IntRange(1), help="Rows at most.")
@click.option("--interactive", is_flag=True, help="Ask question after question until an empty line.")
def command(
    question: str | None, database_url: str | None, name: str | None, interactive: bool, **options: Any
) -> None:
    """Ask QUESTION and print the answer."""
    if question is None and not interactive:
        raise QuestionEmpty('Give a question: sql-synthesizer ask "how many customers are there".')
    with session(database_url=database_url) as rooms:
        if question is not None:
            _ask(rooms, question, name, **options)
        while interactive and (line := _line()):
            try:
                _ask(rooms, line, name, **options)
            except SqlSynthesizerError as error:
                click.echo(told(error), err=True)


def _line() -> str:
    try:
        return input("? " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""


def _ask(rooms: Rooms, text: str, name: str | None, *, max_rows: int | None, **options: Any) -> None:
    settings = rooms.settings
    rows = min(max_rows or settings.max_rows, settings.row_cap)
    with recorded(rooms) as caller:
        database = rooms.databases.config(name or rooms.databases.default).name
        question = Question(text, database, caller, rows, time.monotonic() + settings.deadline)
        answer = rooms.service.ask(question)
    _print(answer, **options)


def _print(answer: Answer, *, sql_only: bool, explain: bool, output: str) -> None:
    if sql_only:
        click.echo(answer.sql)
    elif output == "json":
        click.echo(orjson.dumps(answer.to_json(), option=orjson.OPT_INDENT_2).decode())
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.rows.columns)
        writer.writerows(answer.rows.rows)
    else:
        _table(answer)
    if explain and output != "json":
        timings = " · ".join(f"{stage} {ms:g} ms" for stage, ms in answer.timings_ms.items())
        click.echo(
            f"\n{answer.explanation}\n{answer.sql}\nsource {answer.source} · {timings}\ntrace {answer.trace_id}",
            err=output == "csv",
        )


def _table(answer: Answer) -> None:
    cells = [[_cell(value) for value in row] for row in answer.rows.rows]
    widths = [max(map(len, column)) for column in zip(answer.rows.columns, *cells, strict=True)]
    for line in [list(answer.rows.columns), ["-" * width for width in widths], *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    more = " (more exist; raise --max-rows)" if answer.rows.truncated else ""
    click.echo(f"({len(cells)} row{'' if len(cells) == 1 else 's'}){more}")


def _cell(value: object) -> str:
    return "NULL" if value is None else str(value).replace("\n", "⏎")
