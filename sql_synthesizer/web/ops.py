"""What the console shows of the service's own store of traces, as JSON."""

from __future__ import annotations

from typing import Literal

import orjson
from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel, Field

from sql_synthesizer.errors import NotFound
from sql_synthesizer.model import Role
from sql_synthesizer.monitoring.trace_reading import LIMIT, find_trace, list_traces
from sql_synthesizer.service.canary.watch import DRIFT, RESULTS
from sql_synthesizer.web.admission import allow
from sql_synthesizer.web.api import JsonObject, document
from sql_synthesizer.web.audit_page import UtcMoment
from sql_synthesizer.wiring import Rooms


class TraceQuery(BaseModel):
    """Which traces; ``slow`` and ``failed`` together let either pass."""

    slow: bool = False
    failed: bool = False
    since: UtcMoment | None = Field(None, description="Not before this moment; UTC unless it says otherwise.")
    before: int | None = Field(None, ge=1, description="Where the last page ended: its 'next'.")
    limit: int = Field(50, ge=1, le=LIMIT)


class TracePath(BaseModel):
    """A trace id, or the id of a question."""

    id: str = Field(pattern=r"^([0-9a-f]{16}|[0-9a-f]{32})$")


class TraceItem(BaseModel):
    """A trace as one process saw it."""

    id: int
    trace_id: str
    question_id: str
    name: str = Field(description="Of the outermost span; empty while that is open.")
    reason: str
    instance: str = Field(description="Service and process.")
    ended: str
    seconds: float
    failed: bool
    slow: bool
    span_count: int


class TraceListReply(BaseModel):
    """Traces, newest first."""

    items: list[TraceItem]
    next: int | None = Field(description="What 'before' has to be for the next page; null when this is the last.")
    trace_id: str


class StoredTraceBody(BaseModel):
    """All that is stored of a trace, earliest span first."""

    trace_id: str
    complete: bool = Field(description="Whether every span that was kept is there.")
    fragments: list[TraceItem]
    spans: list[dict[str, object]]


class TraceReply(BaseModel):
    """One trace; ``trace_id`` beside it is that of this request."""

    trace: StoredTraceBody
    audit: str = Field(description="Path of its audit records.")
    trace_id: str


class CanaryItem(BaseModel):
    """What came of a question with a known result last."""

    canary: str
    result: Literal["right", "wrong", "empty", "declined", "failed"]
    reason: str = Field(description="Of the error, where there was one.")
    asked_at: str = Field(description="ISO 8601, in UTC.")


class MissingName(BaseModel):
    """A table, or a table and column, that canaries read and that is gone."""

    database: str
    name: str


class CanaryReply(BaseModel):
    """The latest of all canaries."""

    canaries: list[CanaryItem]
    gone: list[MissingName]
    trace_id: str


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the routes under /api/ops; ``g.caller`` is set before they run."""
    tag, path_of_store = Tag(name="operating"), rooms.settings.trace_store_path

    @app.get("/api/ops/traces", tags=[tag], summary="The newest traces", **document(TraceListReply))
    @allow(Role.OPERATOR)
    def traces(query: TraceQuery) -> JsonObject:
        rows = list_traces(path_of_store, **query.model_dump())
        following = rows[-1].id if len(rows) == query.limit else None
        return {"items": [row.to_json() for row in rows], "next": following}

    @app.get("/api/ops/canaries", tags=[tag], summary="Questions with known results", **document(CanaryReply))
    @allow(Role.OPERATOR)
    def canaries() -> JsonObject:
        notes = {"canaries": RESULTS, "gone": DRIFT}
        return {name: orjson.loads(rooms.store.notes.get_note(note) or "[]") for name, note in notes.items()}

    @app.get("/api/ops/traces/<string:id>", tags=[tag], summary="One trace", **document(TraceReply))
    @allow(Role.OPERATOR)
    def trace(path: TracePath) -> JsonObject:
        found = find_trace(path_of_store, path.id)
        if found is None:
            raise NotFound(
                "No trace of this id is stored.",
                hint="Traces that were sampled, failed or slow are stored for a time; GET /api/ops/traces lists them.",
            )
        return {"trace": found.to_json(), "audit": f"/audit?trace_id={found.trace_id}"}
