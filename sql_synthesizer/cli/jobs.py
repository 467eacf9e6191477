"""``sql-synthesizer jobs``: many questions handed in at once, and looked after later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
import orjson
from pydantic import BaseModel, ValidationError

from sql_synthesizer.cli.session import open_rooms, record_command
from sql_synthesizer.errors import InvalidRequest
from sql_synthesizer.jobs.bodies import job_json, result_json
from sql_synthesizer.jobs.queue import MOST_QUESTIONS
from sql_synthesizer.model import Caller
from sql_synthesizer.model.display import escape_unprintable

if TYPE_CHECKING:
    from sql_synthesizer.jobs import JobView
    from sql_synthesizer.wiring import Rooms

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FILE_BYTES = 16_000_000
PAGE = 100

Body = TypeVar("Body", bound=BaseModel)


@click.group("jobs")
def command() -> None:
    """Submit, list, show and cancel jobs, and print their results; a running service or worker asks the questions."""


@contextmanager
def recorded_rooms() -> Iterator[tuple[Rooms, Caller]]:
    """The rooms for one command, whose caller and records they are."""
    with open_rooms() as rooms, record_command(rooms) as caller:
        yield rooms, caller


def read_questions(questions: Sequence[str], path: Path | None) -> list[str]:
    """Those of the command line and those of a file. Raises InvalidRequest."""
    lines = _read_lines(path) if path else []
    asked = [*questions, *(line for line in lines if line.strip())]
    if not 1 <= len(asked) <= MOST_QUESTIONS:
        raise InvalidRequest(
            f"A job has 1 to {MOST_QUESTIONS} questions.",
            hint='For example: sql-synthesizer jobs submit "how many customers are there".',
        )
    return asked


def read_body(kind: type[Body], given: dict[str, object]) -> Body:
    """What the options say, checked as a request's body is. Raises InvalidRequest."""
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"]))
        raise InvalidRequest(f"The {field} is not valid: {fault['msg']}.", hint="--help lists the options.") from None


def _read_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES + 1)
        if len(text) <= FILE_BYTES:
            return text.decode("utf-8-sig").splitlines()
        fault = f"it is larger than {FILE_BYTES // 1_000_000} MB"
    except UnicodeDecodeError:
        fault = "it is no text in UTF-8"
    except OSError as error:
        fault = error.strerror or type(error).__name__
    raise InvalidRequest(f"The file {str(path)!r} cannot be read: {fault}.", hint="It has a question on each line.")


@command.command()
@click.argument("questions", nargs=-1)
@click.option("--file", "path", type=FILE, help="File of further questions, one a line.")
@click.option("--name", help="Which of several configured databases to ask.")
@click.option("--max-rows", type=click.IntRange(1), help="Rows of each answer at most.")
@click.option("--webhook", help="Address that is told when the job has ended.")
@click.option("--results", is_flag=True, help="Send it the results too.")
@click.option("--key", help="Idempotency key: given again with the same questions, it is the same job.")
def submit(
    questions: tuple[str, ...],
    path: Path | None,
    name: str | None,
    max_rows: int | None,
    webhook: str | None,
    results: bool,
    key: str | None,
) -> None:
    """Hand in QUESTIONS, and print the job's id."""
    asked = read_questions(questions, path)
    with recorded_rooms() as (rooms, caller):
        from sql_synthesizer.web.jobs import JobBody, submit_questions  # noqa: PLC0415

        given = {"database": name, "max_rows": max_rows, "webhook": webhook, "webhook_results": results}
        body = read_body(JobBody, {"questions": asked, "idempotency_key": key, **given})
        click.echo(submit_questions(rooms, caller, body).job.id)


@command.command(name="list")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
def list_jobs(limit: int) -> None:
    """List the latest jobs of all callers: id, state, questions that have ended, owner, reason."""
    with recorded_rooms() as (rooms, caller):
        for view in rooms.jobs.list_jobs(caller, limit, everybody=True):
            job = view.job
            done = f"{job.ended}/{job.total}"
            line = f"{job.id}  {job.state:<9}  {done:>9}  {job.owner:<16}  {job.reason}"
            click.echo(escape_unprintable(line, keep="").rstrip())


@command.command()
@click.argument("job_id")
def show(job_id: str) -> None:
    """Show how far the job with this id is."""
    with recorded_rooms() as (rooms, caller):
        _print_job(rooms.jobs.show(caller, job_id))


@command.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Take the job with this id back; what runs for it in a database is cancelled."""
    with recorded_rooms() as (rooms, caller):
        _print_job(rooms.jobs.cancel(caller, job_id))


@command.command()
@click.argument("job_id")
def results(job_id: str) -> None:
    """Print the results of the job with this id, a line of JSON for each question."""
    with recorded_rooms() as (rooms, caller):
        for offset in range(0, rooms.jobs.show(caller, job_id).job.total, PAGE):
            _, found = rooms.jobs.results(caller, job_id, offset, PAGE)
            for question in found:
                click.echo(orjson.dumps(result_json(question)).decode())


def _print_job(view: JobView) -> None:
    for name, value in job_json(view.job, view.ahead).items():
        if value not in (None, ""):
            click.echo(f"{name:<13} {value}")
