"""The JSON interface of schedules: questions that are asked again and again."""

from __future__ import annotations

from typing import Literal

from flask import g
from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel, Field

from sql_synthesizer.jobs.bodies import schedule_json
from sql_synthesizer.jobs.schedules import Plan
from sql_synthesizer.model import Role
from sql_synthesizer.web.admission import allow
from sql_synthesizer.web.api import JsonObject, document
from sql_synthesizer.web.jobs import JobQuestions
from sql_synthesizer.wiring import Rooms, check_text


class ScheduleBody(JobQuestions):
    """Questions, and when they are asked."""

    cron: str = Field(
        max_length=100, description="Minute, hour, day of month, month and weekday.", examples=["0 7 * * *"]
    )
    time_zone: str = Field("UTC", max_length=64, description="Whose time that is.", examples=["Europe/Berlin"])
    name: str = Field("", max_length=100)
    missed: Literal["run", "skip"] = Field("run", description="Times that nobody was there for: run once, or skipped.")
    paused: bool = False


class ScheduleReply(BaseModel):
    """A schedule, as it is now. Times are UTC."""

    id: str
    owner: str
    name: str
    cron: str
    time_zone: str
    missed: Literal["run", "skip"]
    paused: bool
    reason: str = Field(description="Why its last time made no job; else empty.")
    questions: list[str]
    database: str
    max_rows: int
    webhook: str | None
    webhook_results: bool
    next_at: str | None = Field(description="When it runs next; null while it is paused.")
    last_at: str | None
    last_job: str | None = Field(description="The job that it made last, under /api/jobs.")


class ScheduleListReply(BaseModel):
    """Schedules, oldest first."""

    items: list[ScheduleReply]


class SchedulePath(BaseModel):
    """Which schedule."""

    schedule_id: str = Field(pattern=r"^[0-9a-f]{16}$")


class ScheduleListQuery(BaseModel):
    """Whose."""

    everybody: bool = Field(False, description="Those of all callers, for operators.")


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the routes under /api/schedules; ``g.caller`` is set before they run."""
    tag, schedules = Tag(name="schedules"), rooms.schedules

    @app.post("/api/schedules", tags=[tag], summary="Begin a schedule", **document(ScheduleReply, 201))
    @allow(Role.VIEWER)
    def create_schedule(body: ScheduleBody) -> tuple[JsonObject, int, dict[str, str]]:
        made = schedules.create(g.caller, read_plan(rooms, body))
        return schedule_json(made), 201, {"Location": f"/api/schedules/{made.id}"}

    @app.get("/api/schedules", tags=[tag], summary="Your schedules", **document(ScheduleListReply))
    @allow(Role.VIEWER)
    def list_schedules(query: ScheduleListQuery) -> JsonObject:
        return {"items": [schedule_json(found) for found in schedules.list(g.caller, everybody=query.everybody)]}

    @app.get("/api/schedules/<string:schedule_id>", tags=[tag], summary="A schedule", **document(ScheduleReply))
    @allow(Role.VIEWER)
    def show_schedule(path: SchedulePath) -> JsonObject:
        return schedule_json(schedules.show(g.caller, path.schedule_id))

    @app.put("/api/schedules/<string:schedule_id>", tags=[tag], summary="Change it", **document(ScheduleReply))
    @allow(Role.VIEWER)
    def change_schedule(path: SchedulePath, body: ScheduleBody) -> JsonObject:
        return schedule_json(schedules.change(g.caller, path.schedule_id, read_plan(rooms, body)))

    @app.delete("/api/schedules/<string:schedule_id>", tags=[tag], summary="End it", **document())
    @allow(Role.VIEWER)
    def delete_schedule(path: SchedulePath) -> JsonObject:
        schedules.delete(g.caller, path.schedule_id)
        return {"id": path.schedule_id, "deleted": True}


def read_plan(rooms: Rooms, body: ScheduleBody) -> Plan:
    """What the body says, each question of which has passed the same checks as one that is asked at once."""
    for question in body.questions:
        check_text(question, rooms.settings.max_question_chars)
    database, rows = rooms.bound_request(body.database, body.max_rows)
    return Plan(
        name=body.name,
        cron=body.cron,
        zone=body.time_zone,
        missed=body.missed,
        questions=body.questions,
        database=database,
        max_rows=rows,
        webhook=body.webhook or "",
        with_results=body.webhook_results,
        paused=body.paused,
    )
