"""Jobs and their results as JSON: what is kept of an answer, and what callers and webhooks are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from sql_synthesizer.errors import SqlSynthesizerError, UnexpectedError
from sql_synthesizer.model import Answer
from sql_synthesizer.model.display import format_moment
from sql_synthesizer.model.masking import mask_secrets, mask_statement
from sql_synthesizer.store.jobs import Job, JobQuestion
from sql_synthesizer.store.schedules import Schedule
from sql_synthesizer.telemetry.traceparent import parse_traceparent

RESULT_BYTES = 64_000
"""Size of a kept answer at most; its rows are cut to that."""
SENT_BYTES = 256_000
"""Size of the results in a message at most."""


def job_trace(job: Job) -> str:
    """The id of the trace that all work of a job is in."""
    parent = parse_traceparent(job.traceparent)
    return parent[0] if parent else ""


def job_json(job: Job, ahead: int | None) -> dict[str, Any]:
    """A job as callers see it; ``ahead`` questions come before its next one."""
    return {
        "id": job.id,
        "state": job.state,
        "reason": job.reason,
        "database": job.database,
        "questions": job.total,
        "ended": job.ended,
        "position": ahead,
        "submitted_at": _format_time(job.submitted_at),
        "started_at": _format_time(job.started_at),
        "ended_at": _format_time(job.ended_at),
        "job_trace_id": job_trace(job),
        "results": f"/api/jobs/{job.id}/results",
        "webhook": job.webhook or None,
        "delivery": job.delivery or None,
        "delivery_reason": job.delivery_reason or None,
    }


def result_json(question: JobQuestion) -> dict[str, Any]:
    """A question with how it ended: ``ok`` and an answer, a reason and an error, or an empty outcome."""
    body = orjson.loads(question.body) if question.body else None
    answered = question.outcome == "ok"
    return {
        "index": question.position,
        "question": mask_secrets(question.question),
        "outcome": question.outcome,
        "attempts": question.attempts,
        "answer": body if answered else None,
        "error": None if answered else body,
    }


def result_body(answer: Answer | None, failure: SqlSynthesizerError | None, job: Job) -> str:
    """What is kept of a question that ended, as JSON; rows with sensitive columns are kept nowhere."""
    if answer is None:
        return orjson.dumps((failure or UnexpectedError()).body(job_trace(job))).decode()
    answer = replace(answer, question=mask_secrets(answer.question), sql=mask_statement(answer.sql))
    rows = answer.rows
    kept = () if answer.sensitive else rows.rows
    while True:
        cut = replace(answer, rows=replace(rows, rows=kept, truncated=rows.truncated or len(kept) < len(rows.rows)))
        body = orjson.dumps(cut.to_json())
        if len(body) <= RESULT_BYTES or not kept:
            return body.decode()
        kept = kept[: len(kept) // 2]


def event_body(job: Job, questions: Iterable[JobQuestion] | None) -> bytes:
    """What the address of a job is told when it has ended: type, time and data, as Standard Webhooks has it.

    With ``questions`` as many of their results as ``SENT_BYTES`` hold; how many are left out says ``left_off``.
    """
    data = job_json(job, None)
    if questions is not None:
        data["items"], size = [], 0
        for question in questions:
            found = result_json(question)
            size += len(orjson.dumps(found))
            if size > SENT_BYTES:
                break
            data["items"].append(found)
        data["left_off"] = job.total - len(data["items"])
    return orjson.dumps({"type": "job.ended", "timestamp": _format_time(job.ended_at), "data": data})


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """A schedule as its owner sees it."""
    return {
        "id": schedule.id,
        "owner": schedule.owner,
        "name": schedule.name,
        "cron": schedule.cron,
        "time_zone": schedule.zone,
        "missed": schedule.missed,
        "paused": bool(schedule.paused),
        "reason": schedule.reason,
        "questions": [mask_secrets(text) for text in schedule.texts],
        "database": schedule.database,
        "max_rows": schedule.max_rows,
        "webhook": schedule.webhook or None,
        "webhook_results": bool(schedule.with_results),
        "next_at": None if schedule.paused else _format_time(schedule.due_at),
        "last_at": _format_time(schedule.last_at),
        "last_job": schedule.last_job or None,
    }


def _format_time(moment: float | None) -> str | None:
    return None if moment is None else format_moment(moment)
