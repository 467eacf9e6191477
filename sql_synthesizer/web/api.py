"""The JSON interface: bodies as pydantic models, one short function a route."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal, TypedDict

from flask import Response, g, request
from flask_openapi3 import OpenAPI, Tag
from flask_openapi3.models import OPENAPI3_REF_PREFIX
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ConfigDict, Field

from sql_synthesizer.errors import InvalidRequest, NotFound, QuestionEmpty, SqlSynthesizerError, error_classes
from sql_synthesizer.model import Answer, AnswerReply, Caller, Question, Role, Rows, Scalar, Schema, Table
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.model.display import format_moment
from sql_synthesizer.store import HistoryEntry
from sql_synthesizer.telemetry import Telemetry, vocabulary
from sql_synthesizer.web.admission import allow
from sql_synthesizer.web.connection import client_cancellation
from sql_synthesizer.web.csv import BOM, csv_lines
from sql_synthesizer.wiring import Rooms, check_text

JsonObject = Mapping[str, object]
"""The fields of a JSON reply."""
HISTORY_WAIT = 1.0
"""Seconds that a reader of the history waits for the latest questions to be in it."""
PAGE_SIZE = "Return a first page of this many rows, and a link to the next; all rows when they may not be cached."
LEFT_OUT = 100
"""Tables that are not offered and named all the same, with the reason."""
EXAMPLE = "SELECT count(*) FROM customers"
QUESTION_ID = r"^[0-9a-f]{16}$"
TRACE_ID = r"^[0-9a-f]{32}$"


class RequestBody(BaseModel):
    """What a request may send: nothing that is not listed."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ErrorBody(BaseModel):
    """Why there is no answer, and what to do."""

    reason: str = Field(description="Stable; docs/errors.md lists all.")
    message: str
    hint: str
    trace_id: str
    suggestions: list[str] | None = Field(None, description="Only of declined questions: what can be asked instead.")
    choices: list[str] | None = Field(None, description="Only of declined questions: what it could have meant.")


class QueryBody(RequestBody):
    """A question in plain language."""

    question: str = Field(description="What you want to know.", examples=["How many customers are there?"])
    database: str | None = Field(None, description="Which database to ask; the default one when absent.")
    max_rows: int | None = Field(None, ge=1, description="Rows at most.")
    page_size: int | None = Field(None, ge=1, le=1000, description=PAGE_SIZE)
    fresh: bool = Field(False, description="Ask the database even if the answer is in the cache.")


class RefreshBody(RequestBody):
    """Which schema is to be read anew."""

    database: str | None = None


class SqlBody(RequestBody):
    """An analyst's own read-only statement."""

    sql: str = Field(description="One SELECT.", examples=[EXAMPLE])
    database: str | None = None
    max_rows: int | None = Field(None, ge=1)
    page_size: int | None = Field(None, ge=1, le=1000, description=PAGE_SIZE)


class FeedbackBody(RequestBody):
    """Whether an answer was right: ``up`` for helpful, ``down`` for wrong."""

    question_id: str | None = Field(None, pattern=QUESTION_ID, description="Which answer; or its trace_id.")
    trace_id: str | None = Field(None, pattern=TRACE_ID, description="Of an answer that was not one of a job's.")
    rating: Literal["up", "down"]
    comment: str = Field("", max_length=500)


class AnswerBody(BaseModel):
    """An answer with its statement, where that came from, and how long each stage took."""

    question: str
    sql: str
    source: Literal["llm", "rules", "cache", "analyst"]
    explanation: str
    confidence: float | None = Field(
        description="Probability that the statement answers the question; null where nobody estimated it."
    )
    sure: bool = Field(description="False where that is below the setting sure_confidence: read it before use.")
    columns: list[str]
    rows: list[list[Scalar]] = Field(
        description="Dates are text, and so are numbers that neither a 64-bit integer nor a double holds exactly."
    )
    row_count: int
    truncated: bool = Field(description="More rows exist than were returned.")
    timings_ms: dict[str, float] = Field(description="Milliseconds by stage.")
    database: str
    question_id: str
    trace_id: str
    age_seconds: int = Field(description="How long ago its statement ran, of an answer from the cache.")
    next: str | None = Field(description="Path of the next page.")


class ResultPath(BaseModel):
    """Which answer."""

    question_id: str = Field(pattern=QUESTION_ID)


class PageQuery(BaseModel):
    """Which part of it."""

    page: int = Field(1, ge=1, le=100_000)
    page_size: int = Field(100, ge=1, le=1000)


class SchemaQuery(BaseModel):
    """Of which database."""

    database: str | None = None


class HistoryQuery(BaseModel):
    """How many."""

    limit: int = Field(50, ge=1, le=500)


class _Documented(TypedDict):
    """What the OpenAPI document says of a route."""

    responses: ResponseDict
    security: list[dict[str, list[str]]]


def _refer_to(model: type[BaseModel]) -> dict[str, object]:
    """A reply whose model another reply describes: the library makes the schema anew for each that is given one."""
    return {"content": {"application/json": {"schema": {"$ref": f"{OPENAPI3_REF_PREFIX}/{model.__name__}"}}}}


def document(reply: type[BaseModel] | None = None, status: int = 200) -> _Documented:
    """What a route may answer: every error, and its own reply where that has a model."""
    errors: ResponseDict = {str(cls.status): _refer_to(ErrorBody) for cls in error_classes(SqlSynthesizerError)}
    errors[str(InvalidRequest.status)] = ErrorBody
    return _Documented(responses=errors | ({str(status): reply} if reply else {}), security=[{"key": []}])


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the routes under /api; ``g.caller`` is set before they run."""
    asking, reading = Tag(name="asking"), Tag(name="reading")
    common, answered = document(), document(AnswerBody)
    settings = rooms.settings

    def build_question(text: str, database: str | None, max_rows: int | None, *, fresh: bool = False) -> Question:
        cancellation = client_cancellation(request.environ)
        return rooms.build_question(g.caller, text, database, max_rows, cancellation, fresh=fresh)

    @app.post("/api/query", tags=[asking], summary="Answer a question", **answered)
    @allow(Role.VIEWER)
    def query(body: QueryBody) -> AnswerReply:
        check_text(body.question, settings.max_question_chars)
        question = build_question(body.question, body.database, body.max_rows, fresh=body.fresh)
        return _build_reply(rooms, rooms.service.ask(question), g.caller, body.page_size)

    @app.post("/api/sql", tags=[asking], summary="Run a read-only statement", **answered)
    @allow(Role.ANALYST)
    def sql(body: SqlBody) -> AnswerReply:
        if not body.sql.strip():
            raise QuestionEmpty("The statement is empty; write a SELECT.", hint=f"For example: {EXAMPLE}.")
        check_text(body.sql, settings.max_sql_chars)
        question = build_question(body.sql, body.database, body.max_rows)
        return _build_reply(rooms, rooms.service.run(question), g.caller, body.page_size)

    @app.get("/api/schema", tags=[reading], summary="Tables and columns that can be asked about", **common)
    @allow(Role.VIEWER)
    def schema(query: SchemaQuery) -> JsonObject:
        database = query.database or rooms.databases.default
        return _schema_json(rooms.service.describe(database), rooms.databases.names)

    @app.post("/api/schema/refresh", tags=[reading], summary="Read a schema anew", **common)
    @allow(Role.ANALYST)
    def refresh(body: RefreshBody) -> JsonObject:
        database = body.database or rooms.databases.default
        return _schema_json(rooms.service.describe(database, anew=True), rooms.databases.names)

    @app.get("/api/results/<string:question_id>", tags=[reading], summary="A page of an answer", **common)
    @allow(Role.VIEWER)
    def result(path: ResultPath, query: PageQuery) -> JsonObject:
        page = rooms.service.page(path.question_id, g.caller, number=query.page, size=query.page_size)
        more = page.number < page.pages
        return {
            "question_id": page.question_id,
            "page": page.number,
            "pages": page.pages,
            "columns": page.rows.columns,
            "rows": page.rows.rows,
            "row_count": page.row_count,
            "next": _page_path(page.question_id, page.number + 1, query.page_size) if more else None,
            "trace_id": g.operation.trace.trace_id,
        }

    @app.get("/api/results/<string:question_id>/csv", tags=[reading], summary="An answer as a CSV file", **common)
    @allow(Role.ANALYST)
    def export(path: ResultPath) -> Response:
        entry = _find_own_question(rooms, path.question_id, g.caller)
        question = build_question(entry.question, entry.database, settings.row_cap)
        return _csv_response(rooms.service.export(entry, question), path.question_id)

    @app.get("/api/history", tags=[reading], summary="Your latest questions", **common)
    @allow(Role.VIEWER)
    def history(query: HistoryQuery) -> JsonObject:
        _flush_history(rooms)
        return {"items": [_history_json(entry) for entry in rooms.store.history(g.caller.identity, query.limit)]}

    @app.post("/api/feedback", tags=[asking], summary="Say whether an answer was right", **common)
    @allow(Role.VIEWER)
    def feedback(body: FeedbackBody) -> tuple[dict[str, str], int]:
        if (body.question_id is None) == (body.trace_id is None):
            raise InvalidRequest("Name the answer by its question_id or by its trace_id.")
        entry = _find_own_question(rooms, body.question_id or body.trace_id or "", g.caller)
        if entry.outcome != "answered":
            raise InvalidRequest("This question got no answer, so there is nothing to rate.", hint="Rate an answer.")
        record = partial(_record_rating, rooms.telemetry, entry, body.rating)
        rooms.store.rate(entry.question_id, g.caller.identity, body.rating, body.comment, record)
        return {"question_id": entry.question_id, "rating": body.rating}, 201

    @app.get("/api/me", tags=[reading], summary="Who you are to the service", **common)
    @allow(Role.VIEWER)
    def me() -> JsonObject:
        return {
            "identity": g.caller.identity,
            "role": g.caller.role,
            "open": g.caller.method == "open",
            "databases": rooms.databases.names,
            "default_database": rooms.databases.default,
            "llm": rooms.service.has_model,
        }


def _build_reply(rooms: Rooms, answer: Answer, caller: Caller, page_size: int | None) -> AnswerReply:
    reply = answer.to_json()
    if page_size is not None and len(answer.rows.rows) > page_size and rooms.service.cache_pages(answer, caller):
        reply["rows"] = reply["rows"][:page_size]
        reply["next"] = _page_path(answer.question_id, 2, page_size)
    return reply


def _page_path(question_id: str, page: int, size: int) -> str:
    return f"/api/results/{question_id}?page={page}&page_size={size}"


def _flush_history(rooms: Rooms) -> None:
    """Waits until the questions that were just answered are in the store."""
    rooms.telemetry.fold()
    rooms.history.flush(HISTORY_WAIT)


def _find_own_question(rooms: Rooms, question_id: str, caller: Caller) -> HistoryEntry:
    _flush_history(rooms)
    entry = rooms.store.find_question(question_id)
    if entry is None or entry.identity != caller.identity:
        raise NotFound(
            "There is no one question of yours with this id; the trace of several names none of them.",
            hint="Name it by its question_id: GET /api/history lists your questions.",
        )
    return entry


def _record_rating(telemetry: Telemetry, entry: HistoryEntry, rating: str, former: str | None) -> None:
    changed: dict[str, Any] = {} if former is None else {"former": former}
    telemetry.emit(
        vocabulary.SECURITY_EVENTS["answer_rated"],
        rating=rating,
        question_id=entry.question_id,
        rated_trace_id=entry.trace_id,
        source=entry.source,
        **changed,
    )
    telemetry.settle()


def _history_json(entry: HistoryEntry) -> JsonObject:
    shown = _pick_fields(entry, "question_id database question sql source outcome row_count")
    return shown | {"asked_at": format_moment(entry.asked_at)}


def _schema_json(schema: Schema, databases: tuple[str, ...]) -> JsonObject:
    shown = _pick_fields(schema, "database dialect version") | {"quote": DIALECTS[schema.dialect].quote}
    left_out = [_pick_fields(one, "name cause columns") for one in schema.left_out[:LEFT_OUT]]
    shown |= {"left_out": left_out, "left_out_count": len(schema.left_out)}
    return shown | {"databases": databases, "tables": [_table_json(table) for table in schema.tables]}


def _table_json(table: Table) -> JsonObject:
    columns = [
        _pick_fields(column, "name type kind primary_key nullable sensitive comment") for column in table.columns
    ]
    keys = [_pick_fields(key, "columns target target_columns") for key in table.foreign_keys]
    return _pick_fields(table, "name comment") | {"columns": columns, "foreign_keys": keys}


def _pick_fields(item: object, names: str) -> dict[str, object]:
    """The fields that are named; those that are not for callers stay out."""
    return {name: getattr(item, name) for name in names.split()}


def _csv_response(rows: Rows, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    headers["X-Result-Truncated"] = "true" if rows.truncated else "false"
    return Response(BOM + "".join(csv_lines([rows.columns, *rows.rows])), mimetype="text/csv", headers=headers)
