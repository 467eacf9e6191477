"""``sql-synthesizer audit``: who asked what, when, with what result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click
import orjson

from sql_synthesizer import events
from sql_synthesizer.audit import search as search_records
from sql_synthesizer.cli.session import recorded, session


class _Moment(click.ParamType[datetime]):
    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"'{value}' is not an ISO 8601 moment such as 2030-01-31 or 2030-01-31T12:00:00Z.", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@click.group("audit")
def command() -> None:
    """Search the audit record; each search leaves a record itself."""


@command.command()
@click.option("--event", "event_type", type=click.Choice(sorted(events.SECURITY_EVENTS)), metavar="NAME")
@click.option("--actor", help="Key id, 'local' or 'cli:USER'.")
@click.option("--trace", "trace_id", help="Trace id of a reply or a log line.")
@click.option("--question", "question_id", help="Question id of a reply.")
@click.option("--since", type=_Moment(), help="Not before this moment (ISO 8601; UTC unless it says otherwise).")
@click.option("--until", type=_Moment(), help="Before this moment.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
def search(**wanted: Any) -> None:
    """Print the newest matching records, oldest first, as JSON lines."""
    asked = {name: str(value) for name, value in wanted.items() if value is not None}
    with session() as rooms:
        with recorded(rooms):
            rooms.telemetry.emit(events.SECURITY_EVENTS["audit_access"], search=asked)
        for record in search_records(rooms.settings.audit_path, **wanted):
            click.echo(orjson.dumps(record).decode())
