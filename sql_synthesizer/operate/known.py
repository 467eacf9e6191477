"""All that is known of one trace: its spans, audit records, job, log lines, and the alerts that fired around it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from sql_synthesizer.audit import Record, RecordFilter, search_records
from sql_synthesizer.errors import InvalidRequest, NotFound
from sql_synthesizer.monitoring.trace_reading import StoredTrace, find_trace
from sql_synthesizer.store.jobs import Job
from sql_synthesizer.telemetry.traceparent import parse_hex, parse_traceparent
from sql_synthesizer.wiring import Rooms

RECORDS = 100
"""Audit records and log lines of one trace that are shown."""
LOG_BYTES = 64_000_000
"""How far from its end a log file is read."""
MARGIN = timedelta(minutes=10)
"""How far before the first span, and after the last one, records and alerts are looked for."""
PROMETHEUS_WAIT = 2.0
STEP = 15
"""Seconds between two looks at an alert."""


@dataclass(frozen=True, slots=True)
class AlertTime:
    """An alert that fired, in UTC: first and last seen around the trace."""

    name: str
    severity: str
    first: datetime
    last: datetime


@dataclass(frozen=True, slots=True)
class KnownTrace:
    """``alerts`` is None where Prometheus did not say; ``logs`` is None where no log file was given."""

    trace_id: str
    stored: StoredTrace | None
    records: list[Record]
    job: Job | None
    logs: list[Mapping[str, Any]] | None
    alerts: list[AlertTime] | None

    def to_json(self) -> dict[str, object]:
        """For programs."""
        spans: Mapping[str, object] = self.stored.to_json() if self.stored else {"spans": [], "fragments": []}
        alerts = None if self.alerts is None else [asdict(alert) for alert in self.alerts]
        job = None if self.job is None else asdict(self.job)
        return {**spans, "trace_id": self.trace_id, "audit": self.records, "job": job, "logs": self.logs} | {
            "alerts": alerts
        }


def gather_trace(rooms: Rooms, id: str, *, logs: Sequence[Path] = (), prometheus: str = "") -> KnownTrace:
    """What there is on a trace, question or job id. Raises InvalidRequest, NotFound, StoreUnavailable."""
    settings = rooms.settings
    stored = find_trace(settings.trace_store_path, id)
    trace_id = stored.trace_id if stored else _find_trace_id(rooms, id)
    start, end = _time_range(stored)
    criteria = RecordFilter(trace_id=trace_id, since=start and start - MARGIN)
    records = list(search_records(settings.audit_path, criteria, limit=RECORDS)) if trace_id else []
    lines = list(_read_lines(logs, trace_id))[-RECORDS:] if logs else None
    if not (stored or records or lines):
        raise NotFound(
            "Nothing is known of this id.",
            hint="The store keeps traces that were sampled, failed or slow, for a time; audit records stay longer.",
        )
    if start is None and records:
        start, end = (datetime.fromisoformat(record["time"]) for record in (records[0], records[-1]))
    job_ids = [record["details"].get("job_id") for record in records]
    job = next((found for name in job_ids if name and (found := rooms.jobs.store.get_job(str(name)))), None)
    alerts = find_alerts(prometheus, start - MARGIN, end + MARGIN) if prometheus and start and end else None
    return KnownTrace(trace_id, stored, records, job, lines, alerts)


def check_id(text: str) -> str:
    """A trace, question or job id, also out of a ``traceparent``. Raises InvalidRequest."""
    parent = parse_traceparent(text)
    id = parent[0] if parent else text.strip().lower()
    if len(id) not in (16, 32) or parse_hex(id) is None:
        raise InvalidRequest(
            "This is no trace id.", hint="Give the 32 hexadecimal digits of a trace, or the 16 of a question or job."
        )
    return id


def _find_trace_id(rooms: Rooms, id: str) -> str:
    """The trace of a question or job that is not in the store of traces; empty when there is none."""
    if len(id) == 32:
        return id
    job = rooms.jobs.store.get_job(id)
    parent = parse_traceparent(job.traceparent) if job else None
    if parent:
        return parent[0]
    found = list(search_records(rooms.settings.audit_path, RecordFilter(question_id=id), limit=1))
    return found[0]["trace_id"] if found else ""


def _time_range(stored: StoredTrace | None) -> tuple[datetime | None, datetime | None]:
    if stored is None:
        return None, None
    starts = [span["started_ns"] for span in stored.spans]
    ends = [span["started_ns"] + span["duration_ns"] for span in stored.spans]
    return datetime.fromtimestamp(min(starts) / 1e9, UTC), datetime.fromtimestamp(max(ends) / 1e9, UTC)


def _read_lines(paths: Iterable[Path], trace_id: str) -> Iterator[Mapping[str, Any]]:
    """The JSON lines that name the trace, from the last ``LOG_BYTES`` of each file."""
    needle = trace_id.encode()
    for path in paths if trace_id else ():
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            for line in file:
                if needle in line:
                    try:
                        record = json.loads(line)
                    except ValueError:
                        continue
                    if isinstance(record, dict) and record.get("trace_id") == trace_id:
                        yield record


def find_alerts(url: str, start: datetime, end: datetime) -> list[AlertTime] | None:
    """The alerts that fired in this time, as Prometheus tells; None when it does not answer."""
    asked = {"query": 'ALERTS{alertstate="firing",severity!="none"}', "step": STEP}
    asked |= {"start": start.timestamp(), "end": min(end, datetime.now(UTC)).timestamp()}
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=PROMETHEUS_WAIT)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/api/v1/query_range?{urlencode(asked)}")
        reply = json.loads(connection.getresponse().read())
        return [
            AlertTime(
                series["metric"]["alertname"],
                series["metric"].get("severity", ""),
                *(datetime.fromtimestamp(series["values"][at][0], UTC) for at in (0, -1)),
            )
            for series in reply["data"]["result"]
        ]
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return None
    finally:
        connection.close()
