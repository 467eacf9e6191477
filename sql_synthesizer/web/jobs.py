"""The JSON interface of jobs: many questions handed in at once, and looked after later."""

from __future__ import annotations

from typing import Literal

from flask import g
from flask_openapi3 import OpenAPI, Tag
from pydantic import BaseModel, Field

from sql_synthesizer.jobs import JobView
from sql_synthesizer.jobs.bodies import job_json, result_json
from sql_synthesizer.jobs.queue import MOST_QUESTIONS
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.web.admission import allow
from sql_synthesizer.web.api import JsonObject, PageQuery, RequestBody, document
from sql_synthesizer.wiring import Rooms, check_text


class JobQuestions(RequestBody):
    """Questions that are answered in the background, and who is told."""

    questions: list[str] = Field(min_length=1, max_length=MOST_QUESTIONS, examples=[["How many customers are there?"]])
    database: str | None = Field(None, description="Which database to ask; the default one when absent.")
    max_rows: int | None = Field(None, ge=1, description="Rows of each answer at most.")
    webhook: str | None = Field(
        None, max_length=500, description="Address that is told when the job has ended; its host has to be allowed."
    )
    webhook_results: bool = Field(False, description="Whether it is sent the results too, up to 256 kB.")


class JobBody(JobQuestions):
    """Questions that are answered as soon as it is their turn."""

    idempotency_key: str | None = Field(
        None, pattern=r"^[!-~]{1,64}$", description="Sent again with the same questions, it returns the same job."
    )


class JobReply(BaseModel):
    """A job, as it is now. Times are UTC."""

    id: str
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    reason: str = Field(description="Why it failed, or was cancelled; else empty.")
    database: str
    questions: int
    ended: int = Field(description="Questions that have ended, answered or not.")
    position: int | None = Field(description="Questions that come before its next one; null when it has ended.")
    submitted_at: str
    started_at: str | None
    ended_at: str | None
    job_trace_id: str = Field(description="The trace that all of its work is in.")
    results: str = Field(description="Path of its results.")
    webhook: str | None = Field(description="Address that is told when it has ended.")
    delivery: Literal["waiting", "delivered", "given_up"] | None = Field(description="Whether that was told.")
    delivery_reason: str | None = Field(description="Why it was given up.")


class JobListReply(BaseModel):
    """Jobs, newest first."""

    items: list[JobReply]


class JobPath(BaseModel):
    """Which job."""

    job_id: str = Field(pattern=r"^[0-9a-f]{16}$")


class JobListQuery(BaseModel):
    """How many, and whose."""

    limit: int = Field(50, ge=1, le=500)
    everybody: bool = Field(False, description="Those of all callers, for operators.")


class JobPage(PageQuery):
    """Which part of the results."""

    page_size: int = Field(20, ge=1, le=100)


def register_routes(app: OpenAPI, rooms: Rooms) -> None:
    """Adds the routes under /api/jobs; ``g.caller`` is set before they run."""
    tag, queue = Tag(name="jobs"), rooms.jobs

    @app.post("/api/jobs", tags=[tag], summary="Hand in questions", **document(JobReply, 202))
    @allow(Role.VIEWER)
    def submit_job(body: JobBody) -> tuple[JsonObject, int, dict[str, str]]:
        job = submit_questions(rooms, g.caller, body)
        return view_json(job), 202, {"Location": f"/api/jobs/{job.job.id}"}

    @app.get("/api/jobs", tags=[tag], summary="Your latest jobs", **document(JobListReply))
    @allow(Role.VIEWER)
    def list_jobs(query: JobListQuery) -> JsonObject:
        return {"items": [view_json(job) for job in queue.list_jobs(g.caller, query.limit, everybody=query.everybody)]}

    @app.get("/api/jobs/<string:job_id>", tags=[tag], summary="How far a job is", **document(JobReply))
    @allow(Role.VIEWER)
    def show_job(path: JobPath) -> JsonObject:
        return view_json(queue.show(g.caller, path.job_id))

    @app.delete("/api/jobs/<string:job_id>", tags=[tag], summary="Take a job back", **document(JobReply))
    @allow(Role.VIEWER)
    def cancel_job(path: JobPath) -> JsonObject:
        return view_json(queue.cancel(g.caller, path.job_id))

    @app.get("/api/jobs/<string:job_id>/results", tags=[tag], summary="A page of the results", **document())
    @allow(Role.VIEWER)
    def read_results(path: JobPath, query: JobPage) -> JsonObject:
        offset = (query.page - 1) * query.page_size
        job, found = queue.results(g.caller, path.job_id, offset, query.page_size)
        more = offset + query.page_size < job.total
        following = f"/api/jobs/{job.id}/results?page={query.page + 1}&page_size={query.page_size}"
        return {
            "id": job.id,
            "state": job.state,
            "page": query.page,
            "items": [result_json(question) for question in found],
            "next": following if more else None,
        }


def submit_questions(rooms: Rooms, caller: Caller, body: JobBody) -> JobView:
    """Takes a job in, each question of which has passed the same checks as one that is asked at once."""
    for question in body.questions:
        check_text(question, rooms.settings.max_question_chars)
    database, rows = rooms.bound_request(body.database, body.max_rows)
    return rooms.jobs.submit(
        caller,
        body.questions,
        database=database,
        max_rows=rows,
        token=body.idempotency_key,
        webhook=body.webhook or "",
        with_results=body.webhook_results,
    )


def view_json(view: JobView) -> JsonObject:
    """A job as its owner sees it."""
    return job_json(view.job, view.ahead)
