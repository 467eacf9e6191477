"""``sql-synthesizer report``: what a manager asks of a month."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import click

from sql_synthesizer.audit.reading import RecordFilter, filter_records
from sql_synthesizer.cli.audit import recorded_access
from sql_synthesizer.monitoring.business import EVENTS
from sql_synthesizer.monitoring.report import format_report, make_report, month_bounds


class MonthParam(click.ParamType[str]):
    """A month of a year."""

    name = "month"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The month; anything else is a usage error."""
        try:
            return f"{month_bounds(value)[0]:%Y-%m}"
        except ValueError:
            self.fail(f"'{value}' is not a month such as 2030-01.", param, ctx)


@click.command("report")
@click.option("--month", type=MonthParam(), help="Which, in UTC, such as 2030-01; default: the current one.")
@click.option("--json", "as_json", is_flag=True, help="Print every figure as JSON.")
def command(month: str | None, *, as_json: bool) -> None:
    """Print questions, answers, callers, costs, savings and teams of a month, from the audit record."""
    month = month or f"{datetime.now(UTC):%Y-%m}"
    start, end = month_bounds(month)
    with recorded_access("report", month=month) as rooms:
        place = rooms.settings.audit_path
        filters = [RecordFilter(event_type=event, since=start, until=end) for event in EVENTS]
        report = make_report(month, chain.from_iterable(filter_records(place, each) for each in filters))
        figures = report.to_json(rooms.access.budgets.teams)
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        click.echo("\n".join(format_report(figures)))
