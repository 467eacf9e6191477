"""``sql-synthesizer trace`` and ``traces``: what happened to one request, and which were slow or failed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import orjson

from sql_synthesizer.cli.audit import MomentParam, recorded_access
from sql_synthesizer.monitoring.trace_reading import LIMIT, StoredSpan, TraceRow, list_traces
from sql_synthesizer.operate.known import KnownTrace, check_id, gather_trace
from sql_synthesizer.settings import load

BAR = 32
"""Characters of the longest bar."""
NAME = 36
_AGE = re.compile(r"(\d{1,6})([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SHOWN = ("reason", "outcome", "change", "database", "row_count", "rule")
"""Details of an audit record that one line has room for."""


class _SinceParam(MomentParam):
    """A moment, or how long ago, such as ``30m``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        age = _AGE.fullmatch(str(value))
        if age:
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        return super().convert(value, param, ctx)


@click.command("traces")
@click.option("--slow", is_flag=True, help="Slow ones; with --failed either.")
@click.option("--failed", is_flag=True, help="Those in which the service failed.")
@click.option("--since", type=_SinceParam(), help="Not before this moment (ISO 8601), or so long ago: 30m, 2h, 1d.")
@click.option("--limit", type=click.IntRange(1, LIMIT), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def list_command(*, as_json: bool, **options: Any) -> None:
    """List the newest traces of the service's own store."""
    rows = list_traces(load().trace_store_path, **options)
    for row in rows:
        click.echo(orjson.dumps(row.to_json()).decode() if as_json else _format_row(row))
    if not rows and not as_json:
        click.echo("No such trace is stored.")


@click.command("trace")
@click.argument("id")
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of the service's log lines.",
)
@click.option("--prometheus", default="http://127.0.0.1:9090", show_default=True, help="Which one to ask for alerts.")
@click.option("--spans", type=click.IntRange(1), default=40, show_default=True, help="Spans shown at most.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def command(id: str, logs: tuple[Path, ...], prometheus: str, spans: int, *, as_json: bool) -> None:
    """Show all that is known of the trace, question or job with this ID; that somebody looked is on record."""
    id = check_id(id)
    with recorded_access("trace", search={"id": id}) as rooms:
        known = gather_trace(rooms, id, logs=logs, prometheus=prometheus)
    click.echo(orjson.dumps(known.to_json()).decode() if as_json else "\n".join(_format_trace(known, spans)))


def _format_row(row: TraceRow) -> str:
    ended = datetime.fromtimestamp(row.ended, UTC).isoformat(" ", "seconds")[:19]
    words = " ".join([*(["slow"] * row.slow), *(["failed"] * row.failed)]) or "-"
    reason = "" if row.reason == "ok" else row.reason
    return f"{ended}  {row.trace_id}  {row.seconds:>8.3f} s  {words:<11}  {row.name:<28.28}  {reason}".rstrip()


def _format_trace(known: KnownTrace, most: int) -> Iterator[str]:
    yield f"Trace {known.trace_id}"
    yield ""
    yield from _format_spans(known, most)
    yield f"\nAudit records ({len(known.records)})"
    for record in known.records:
        details = record["details"]
        told = "  ".join(f"{name}={details[name]}" for name in _SHOWN if details.get(name) not in (None, ""))
        yield f"  {record['time'][:23]}  {record['event_type']:<24} {record['actor']:<12}  {told}".rstrip()
    if (job := known.job) is not None:
        yield f"\nJob {job.id}  {job.state}  {job.ended}/{job.total} questions  {job.reason}".rstrip()
    yield from _format_logs(known)
    if known.alerts is None:
        yield "\nAlerts: not known, Prometheus did not answer"
    else:
        yield f"\nAlerts that fired around it ({len(known.alerts)})"
    for alert in known.alerts or ():
        yield f"  {alert.first:%Y-%m-%dT%H:%M:%S} to {alert.last:%H:%M:%S}  {alert.name} ({alert.severity})"


def _format_logs(known: KnownTrace) -> Iterator[str]:
    if known.logs is None:
        yield "\nLog lines: give the file with --log, the service keeps none"
        return
    yield f"\nLog lines ({len(known.logs)})"
    for line in known.logs:
        told = " ".join(str(line[name]) for name in ("reason", "status", "ms") if name in line)
        yield f"  {str(line.get('time', ''))[:23]}  {line.get('level', ''):<8} {line.get('event', '')}  {told}"


def _format_spans(known: KnownTrace, most: int) -> Iterator[str]:
    if known.stored is None:
        yield "Spans: none are stored"
        return
    spans = known.stored.spans
    start = min(span["started_ns"] for span in spans)
    whole = max(max(span["started_ns"] + span["duration_ns"] for span in spans) - start, 1)
    shown = list(draw_waterfall(spans, start, whole))[:most]
    processes = len({span["instance"] for span in spans})
    began = datetime.fromtimestamp(start / 1e9, UTC).isoformat(timespec="milliseconds")[:23]
    plural = "" if processes == 1 else "es"
    yield f"Spans ({len(spans)}, {processes} process{plural}, {whole / 1e6:.1f} ms from {began})"
    yield from shown
    if len(spans) > len(shown) or not known.stored.complete:
        yield "  more spans are stored; see --spans and --json" if known.stored.complete else "  more spans were there"


def draw_waterfall(spans: Sequence[StoredSpan], start: int, whole: int) -> Iterator[str]:
    """A line for each span below that of its parent: name, when it ran within ``whole`` nanoseconds, how long, how."""
    ids = {span["span_id"] for span in spans}
    below: defaultdict[str, list[StoredSpan]] = defaultdict(list)
    for span in spans:
        below[span["parent_id"] if span["parent_id"] in ids else ""].append(span)
    waiting = [(0, span) for span in reversed(below[""])]
    while waiting:
        depth, span = waiting.pop()
        at = int((span["started_ns"] - start) / whole * BAR)
        width = min(max(1, round(span["duration_ns"] / whole * BAR)), BAR - min(at, BAR - 1))
        bar = (" " * min(at, BAR - 1) + "█" * width).ljust(BAR)
        reason = "" if span["reason"] == "ok" else span["reason"]
        name = (". " * depth + span["name"])[:NAME]
        yield f"  {name:<{NAME}} {bar} {span['duration_ns'] / 1e6:>9.1f} ms  {reason}".rstrip()
        for event in span["events"]:
            yield f"  {'. ' * (depth + 1)}! {event['name']}"
        waiting += [(depth + 1, child) for child in reversed(below[span["span_id"]])]
