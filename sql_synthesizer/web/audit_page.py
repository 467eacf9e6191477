"""The security officer's page: the audit record, searched and read by operators, each look a record of its own."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import orjson
from flask import Response, g, make_response, render_template, request, url_for
from flask_openapi3 import OpenAPI
from pydantic import AfterValidator, BaseModel, Field, ValidationError

from sql_synthesizer.audit.backwards import ReadBudget, find_record, newest_first
from sql_synthesizer.audit.manifest import Manifest, collect_writers, parse_entries
from sql_synthesizer.audit.reading import RecordFilter
from sql_synthesizer.audit.record import Record
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.errors import InvalidRequest, NotFound
from sql_synthesizer.model import Role
from sql_synthesizer.model.display import escape_unprintable
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.web.admission import Strangers, allow
from sql_synthesizer.wiring import Rooms

READ_BYTES = 64_000_000
READ_SECONDS = 2.0
"""What one request may read of the record; the page says how far back that was, and goes on from there."""
TRACE_WINDOW = timedelta(minutes=10)
"""How far around a record others of its trace are looked for."""
TRACE_LIMIT = 50
WHAT_CHARS = 200
"""Characters of the summary of a record."""

_OMITTED = frozenset(
    ("question", "sql", "milliseconds", "database_type", "query_type", "truncated", "address", "tables", "identity")
)
"""Details that a summary leaves out, or starts with."""
_PLAIN = {("outcome", "answered"), ("reason", "ok")}


_A_MOMENT = "Give a moment of this millennium such as 2030-01-31T12:00:00."
_WRONG = {
    "event_type": "Choose one of the list.",
    "severity": "Choose one of the list.",
    "value": "Give 16 or 32 hexadecimal digits, as the record shows them.",
    "limit": "Give a number from 1 to 500.",
    **dict.fromkeys(("since", "until", "before"), _A_MOMENT),
}
"""Filter -> what to do when it cannot be used; for the others it is the length."""


def _to_utc(value: datetime) -> datetime:
    value = value if value.tzinfo else value.replace(tzinfo=UTC)
    if not 2000 <= value.year < 9000:
        raise ValueError(value)
    return value.astimezone(UTC)


UtcMoment = Annotated[datetime, AfterValidator(_to_utc)]


class Filters(BaseModel):
    """Which records the page shows; times without a zone are UTC. ``before`` is where a page goes on."""

    event_type: str | None = Field(None, pattern=f"^({'|'.join(vocabulary.SECURITY_EVENTS)})$")
    severity: str | None = Field(None, pattern=f"^({'|'.join(vocabulary.SEVERITY.values)})$")
    actor: str | None = Field(None, max_length=256)
    trace_id: str | None = Field(None, max_length=256)
    question_id: str | None = Field(None, max_length=256)
    value: str | None = Field(None, pattern=r"^#?[0-9a-f]{16,32}$")
    since: UtcMoment | None = None
    until: UtcMoment | None = None
    before: UtcMoment | None = None
    limit: int = Field(50, ge=1, le=500)

    def search_criteria(self) -> RecordFilter:
        """What to look for in the record."""
        ends = [moment for moment in (self.until, self.before) if moment is not None]
        hashes = [f"#{self.value.removeprefix('#')}"] if self.value else []
        same = self.model_dump(exclude={"value", "until", "before", "limit"})
        return RecordFilter(**same, hashes=hashes, until=min(ends, default=None))


@dataclass(slots=True)
class RecordPage:
    """A page of the record, newest first: where the next one begins, and how far back the search read."""

    records: list[Record]
    older: datetime | None = None
    searched: datetime | None = None
    damaged: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """The result of the last verification of the record: ``never``, ``sound``, ``overdue`` or ``failed``.

    A failure before ``searched`` would not have been seen.
    """

    status: str
    verified_at: datetime | None = None
    full_at: datetime | None = None
    records: int = 0
    failure: Record | None = None
    searched: datetime | None = None


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the page and the view of one record."""
    directory = rooms.settings.audit_path
    app.jinja_env.filters |= {
        "visible": escape_unprintable,
        "what": record_summary,
        "address": _record_url,
        "moment": _format_moment,
        "ago": _format_age,
    }

    @app.route("/audit")
    @allow(Role.OPERATOR, Strangers.SIGN_IN)
    def audit() -> Response:
        given = {name: text for name, value in request.args.items() if (text := value.strip())}
        try:
            filters, faults = Filters.model_validate(given), {}
        except ValidationError as error:
            names = [str(fault["loc"][0]) for fault in error.errors(include_url=False)]
            faults = {name: _WRONG.get(name, "Give at most 256 characters.") for name in names}
            g.operation.fail(InvalidRequest(f"Filters are not valid: {', '.join(sorted(faults))}."))
            filters = Filters()
        search = filters.model_dump(mode="json", exclude_none=True)
        rooms.telemetry.emit(vocabulary.SECURITY_EVENTS["audit_access"], action="page", search=search)
        page = RecordPage([]) if faults else search_records(directory, filters)
        older = None if page.older is None else {**given, "before": page.older.isoformat()}
        return _render_page(
            rooms,
            "audit.html",
            status=400 if faults else 200,
            page=page,
            given=given,
            faults=faults,
            filters=filters,
            newest=_audit_url({name: value for name, value in given.items() if name != "before"}),
            older=older and _audit_url(older),
            event_types=sorted(vocabulary.SECURITY_EVENTS),
            severities=vocabulary.SEVERITY.values,
        )

    @app.route("/audit/<writer>/<int:sequence>")
    @allow(Role.OPERATOR, Strangers.SIGN_IN)
    def audit_record(writer: str, sequence: int) -> Response:
        access = vocabulary.SECURITY_EVENTS["audit_access"]
        rooms.telemetry.emit(access, action="record", writer=writer, sequence=sequence)
        record = find_record(directory, writer, sequence)
        if record is None:
            raise NotFound("There is no such record.", hint="Retention may have removed it; the page /audit searches.")
        before, after = _find_neighbours(directory, record)
        pretty = orjson.dumps(record.get("details"), option=orjson.OPT_INDENT_2).decode()
        return _render_page(rooms, "audit_record.html", record=record, pretty=pretty, before=before, after=after)


def search_records(directory: Path, filters: Filters) -> RecordPage:
    """The newest records that match the filters, as far back as one request may read."""
    budget, faults = ReadBudget(bytes=READ_BYTES, seconds=READ_SECONDS), Counter[str]()
    criteria = filters.search_criteria()
    reader = newest_first(directory, criteria, budget=budget, report=lambda *fault: faults.update(fault[2:]))
    records, more = _take_page(reader, filters.limit)
    page = RecordPage(records, older=budget.stopped, searched=budget.stopped, damaged=faults["damaged"])
    if more:
        page.older = next((moment for record in reversed(records) if (moment := _record_time(record))), None)
    return page


def _take_page(records: Iterator[Record], limit: int) -> tuple[list[Record], bool]:
    """The next ``limit`` records or so, and whether there are more."""
    page = list(islice(records, limit))
    following = next(records, None)
    # The next page begins before a moment: what was recorded in one microsecond stays together, or a part is lost.
    if following and (newer := [record for record in page if record["time"] > following["time"]]):
        return newer, True
    while following and following["time"] == page[-1]["time"]:
        page.append(following)
        following = next(records, None)
    return page, following is not None


def read_standing(rooms: Rooms) -> Standing:
    """The result of the last verification, from its state and the record; nothing is verified here."""
    directory, settings = rooms.settings.audit_path, rooms.settings
    state = VerificationState.load(settings.audit_state_path, rooms.audit.keyring)
    verified = datetime.fromtimestamp(state.verified_at, UTC) if state.verified_at else None
    criteria = RecordFilter(event_type="audit_verification_failed", since=verified)
    budget = ReadBudget(bytes=READ_BYTES, seconds=READ_SECONDS)
    failure = next(newest_first(directory, criteria, budget=budget, report=lambda *_: None), None)
    if failure is not None:
        status = "failed"
    elif verified is None:
        return Standing("never", searched=budget.stopped)
    else:
        overdue = time.time() - state.verified_at > 2 * 60 * settings.audit_verify_minutes > 0
        status = "overdue" if overdue else "sound"
    full = datetime.fromtimestamp(state.full_at, UTC) if state.full_at else None
    return Standing(status, verified, full, _count_verified_records(directory, state), failure, budget.stopped)


def record_summary(record: Record) -> str:
    """A record in one line: the question or statement, then what else its details say."""
    details = record.get("details")
    if not isinstance(details, dict):
        return ""
    texts = [str(details[name]) for name in ("question", "sql") if details.get(name)][:1]
    for name, value in details.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        if name not in _OMITTED and (name, text) not in _PLAIN and text:
            texts.append(f"{name} {text}")
    summary = " · ".join(texts)
    return summary if len(summary) <= WHAT_CHARS else summary[: WHAT_CHARS - 1] + "…"


def _find_neighbours(directory: Path, record: Record) -> tuple[Record | None, Record | None]:
    """The records of the same trace before and after this one, within ``TRACE_WINDOW``."""
    moment, trace_id = _record_time(record), record.get("trace_id")
    if moment is None or not trace_id:
        return None, None
    criteria = RecordFilter(trace_id=trace_id, since=moment - TRACE_WINDOW, until=moment + TRACE_WINDOW)
    budget = ReadBudget(bytes=READ_BYTES, seconds=READ_SECONDS)
    trace = list(islice(newest_first(directory, criteria, budget=budget, report=lambda *_: None), TRACE_LIMIT))
    if record not in trace:
        return None, None
    at = trace.index(record)
    return trace[at + 1] if at + 1 < len(trace) else None, trace[at - 1] if at else None


def _count_verified_records(directory: Path, state: VerificationState) -> int:
    """Records, of all writers, up to where the verification came; those that retention removed count too."""
    try:
        known = collect_writers(parse_entries(Manifest(directory).lines())[: state.manifest])
    except OSError:
        return 0
    ends = {name: writer.ended.sequence for name, writer in known.items() if writer.ended is not None}
    return sum((ends | {name: position.sequence for name, position in state.places.items()}).values())


def _render_page(rooms: Rooms, template: str, *, status: int = 200, **shown: object) -> Response:
    return make_response(render_template(template, standing=read_standing(rooms), **shown), status)


def _record_url(record: Record) -> str:
    return url_for("audit_record", writer=str(record.get("writer") or "-"), sequence=record["sequence"])


def _audit_url(arguments: dict[str, str]) -> str:
    return url_for("audit") + ("?" + urlencode(arguments) if arguments else "")


def _record_time(record: Record) -> datetime | None:
    try:
        return _to_utc(datetime.fromisoformat(record["time"]))
    except ValueError:
        return None


def _format_moment(moment: datetime | str) -> str:
    """A moment to the millisecond, as the table shows it; a record's text that is no moment is only cut."""
    text = moment.isoformat(timespec="milliseconds") if isinstance(moment, datetime) else moment
    return text[:23].replace("T", " ")


def _format_age(moment: datetime) -> str:
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for size, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= size:
            number = seconds // size
            return f"{number} {name}{'s' * (number > 1)} ago"
    return "less than a minute ago"
