"""``sql-synthesizer schedules``: questions that are asked again and again."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sql_synthesizer.cli.jobs import FILE, read_body, read_questions, recorded_rooms
from sql_synthesizer.jobs.bodies import schedule_json
from sql_synthesizer.model.display import escape_unprintable


@click.group("schedules")
def command() -> None:
    """Make, list, pause and delete schedules; a running service or worker asks the questions when it is time."""


@command.command()
@click.argument("cron")
@click.argument("questions", nargs=-1)
@click.option("--zone", default="UTC", show_default=True, help="Time zone of CRON, such as Europe/Berlin.")
@click.option("--file", "path", type=FILE, help="File of further questions, one a line.")
@click.option("--label", default="", help="What it is called in lists.")
@click.option("--name", help="Which of several configured databases to ask.")
@click.option("--max-rows", type=click.IntRange(1), help="Rows of each answer at most.")
@click.option("--missed", type=click.Choice(["run", "skip"]), default="run", show_default=True, help="Missed times.")
@click.option("--webhook", help="Address that is told when the questions were answered.")
@click.option("--results", is_flag=True, help="Send it the results too.")
def create(
    cron: str,
    questions: tuple[str, ...],
    zone: str,
    path: Path | None,
    label: str,
    name: str | None,
    max_rows: int | None,
    missed: str,
    webhook: str | None,
    results: bool,
) -> None:
    """Ask QUESTIONS at the times of CRON (minute hour day month weekday), and print the schedule's id."""
    asked = read_questions(questions, path)
    given = {"database": name, "max_rows": max_rows, "webhook": webhook, "webhook_results": results, "missed": missed}
    with recorded_rooms() as (rooms, caller):
        from sql_synthesizer.web.schedules import ScheduleBody, read_plan  # noqa: PLC0415

        body = read_body(ScheduleBody, {"questions": asked, "cron": cron, "time_zone": zone, "name": label, **given})
        click.echo(rooms.schedules.create(caller, read_plan(rooms, body)).id)


@command.command(name="list")
def list_schedules() -> None:
    """List the schedules of all callers: id, next time, expression, zone, owner, label."""
    with recorded_rooms() as (rooms, caller):
        for schedule in rooms.schedules.list(caller, everybody=True):
            following = schedule_json(schedule)["next_at"] or f"paused {schedule.reason}".strip()
            when = f"{schedule.cron} {schedule.zone}"
            line = f"{schedule.id}  {following:<29}  {when:<24}  {schedule.owner:<16}  {schedule.name}"
            click.echo(escape_unprintable(line, keep="").rstrip())


@command.command()
@click.argument("schedule_id")
def show(schedule_id: str) -> None:
    """Print the schedule with this id as JSON."""
    with recorded_rooms() as (rooms, caller):
        found = schedule_json(rooms.schedules.show(caller, schedule_id))
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())


@command.command()
@click.argument("schedule_id")
def pause(schedule_id: str) -> None:
    """Let the schedule with this id make no jobs until it is resumed."""
    _set_paused(schedule_id, paused=True)


@command.command()
@click.argument("schedule_id")
def resume(schedule_id: str) -> None:
    """Let the schedule with this id go on, from its next time."""
    _set_paused(schedule_id, paused=False)


@command.command()
@click.argument("schedule_id")
def delete(schedule_id: str) -> None:
    """End the schedule with this id; jobs that it has made go on."""
    with recorded_rooms() as (rooms, caller):
        rooms.schedules.delete(caller, schedule_id)


def _set_paused(schedule_id: str, *, paused: bool) -> None:
    with recorded_rooms() as (rooms, caller):
        rooms.schedules.pause(caller, schedule_id, paused=paused)
