"""``sql-synthesizer ask``: a question on the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import orjson

from sql_synthesizer.cli import format_error
from sql_synthesizer.cli.session import open_rooms, record_command
from sql_synthesizer.errors import QuestionEmpty, SqlSynthesizerError
from sql_synthesizer.model import Answer
from sql_synthesizer.web.csv import csv_lines

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
@click.option("--fresh", is_flag=True, help="Ask the database even if the answer is in the cache.")
@click.option("--interactive", is_flag=True, help="Ask question after question until an empty line.")
def command(
    question: str | None, database_url: str | None, name: str | None, interactive: bool, **options: Any
) -> None:
    """Ask QUESTION and print the answer."""
    if question is None and not interactive:
        raise QuestionEmpty('Give a question: sql-synthesizer ask "how many customers are there".')
    with open_rooms(database_url=database_url) as rooms:
        if question is not None:
            _ask_question(rooms, question, name, **options)
        while interactive and (line := _read_line()):
            try:
                _ask_question(rooms, line, name, **options)
            except SqlSynthesizerError as error:
                click.echo(format_error(error), err=True)


def _read_line() -> str:
    try:
        return input("? " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return ""


def _ask_question(
    rooms: Rooms, text: str, name: str | None, *, max_rows: int | None, fresh: bool, **options: Any
) -> None:
    with record_command(rooms) as caller:
        answer = rooms.service.ask(rooms.build_question(caller, text, name, max_rows, fresh=fresh))
    _print_answer(answer, **options)


def _print_answer(answer: Answer, *, sql_only: bool, explain: bool, output: str) -> None:
    if sql_only:
        click.echo(answer.sql)
    elif output == "json":
        click.echo(orjson.dumps(answer.to_json(), option=orjson.OPT_INDENT_2).decode())
    elif output == "csv":
        click.echo("".join(csv_lines([answer.rows.columns, *answer.rows.rows])), nl=False)
    else:
        _print_table(answer)
    if not answer.sure and not (explain or sql_only or output == "json"):
        click.echo(f"\n{answer.explanation}", err=True)
    if explain and output != "json":
        timings = " · ".join(f"{stage} {ms:g} ms" for stage, ms in answer.timings_ms.items())
        click.echo(
            f"\n{answer.explanation}\n{answer.sql}\nsource {answer.source} · {timings}\ntrace {answer.trace_id}",
            err=output == "csv",
        )


def _print_table(answer: Answer) -> None:
    cells = [[_format_cell(value) for value in row] for row in answer.rows.rows]
    widths = [max(map(len, column)) for column in zip(answer.rows.columns, *cells, strict=True)]
    for line in [list(answer.rows.columns), ["-" * width for width in widths], *cells]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    more = " (more exist; raise --max-rows)" if answer.rows.truncated else ""
    click.echo(f"({len(cells)} row{'' if len(cells) == 1 else 's'}){more}")


def _format_cell(value: object) -> str:
    return "NULL" if value is None else str(value).replace("\n", "⏎")
