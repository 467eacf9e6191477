"""The tables of jobs: which questions wait, who has one in hand, and how each ended.

Every change is one transaction, and they come one after the other, whatever process makes them: SQLite locks its file,
on PostgreSQL an advisory lock does the same. ``record`` is called before a change of a job's state is committed, so
that nothing happens to a job that is not on the audit record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

from sqlalchemy import Connection, Engine, TableClause, and_, case, column, delete, func, select, table, update

from sql_synthesizer.errors import IdempotencyConflict, QueueFull
from sql_synthesizer.store._engine import begin_transaction, storable_text

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
OPEN = (QUEUED, RUNNING)
UNTOLD = "waiting"
"""Of a delivery: the address of an ended job has yet to be told."""
NEW_DELAY = 10
"""Seconds after which a caller may try a full queue again."""
KEPT_QUESTIONS = 100_000
"""Questions of ended jobs that are kept at most, with their results."""

_LOCK = 0x6A6F6273


@dataclass(frozen=True, slots=True)
class Job:
    """A batch of questions. Times are Unix times; ``reason`` is why it failed, or one of its questions was given up.

    ``token`` makes a submission idempotent for its ``owner``; ``following`` is the next question that nobody has had in
    hand yet, ``waiting`` counts those that nobody has in hand now, none of them before ``ready_at``. ``webhook`` is
    told its end, ``delivery`` says how far that is, ``delivery_reason`` why it was given up; after ``deliveries`` tries
    the next is at ``deliver_at``.
    """

    id: str
    owner: str
    token: str
    digest: str
    database: str
    max_rows: int
    traceparent: str
    total: int
    submitted_at: float
    state: str = QUEUED
    reason: str = ""
    following: int = 0
    waiting: int = 0
    ended: int = 0
    ready_at: float = 0.0
    started_at: float | None = None
    ended_at: float | None = None
    webhook: str = ""
    delivery: str = ""
    deliveries: int = 0
    deliver_at: float = 0.0
    with_results: int = 0
    delivery_reason: str = ""


@dataclass(frozen=True, slots=True)
class Claim:
    """A question that a worker has in hand, for the ``attempt``-th time."""

    job: Job
    position: int
    attempt: int
    question: str
    worker: str


@dataclass(frozen=True, slots=True)
class JobQuestion:
    """A question of a job; ``outcome`` is empty until it has ended, ``body`` is JSON."""

    position: int
    question: str
    outcome: str
    attempts: int
    body: str
    ended_at: float | None


@dataclass(frozen=True, slots=True)
class JobLevels:
    """How full the queue is: in questions, but for ``oldest``, when the oldest job that nobody began was submitted."""

    waiting: int
    running: int
    oldest: float | None
    beat: float | None
    """When a worker last said that it lives."""


Record = Callable[[Job, str], None]
"""Puts a change of a job on record; what it raises leaves the job as it was."""

JOBS = table("jobs", *(column(field.name) for field in fields(Job)))
_QUESTIONS = table("job_questions", column("job_id"), *(column(field.name) for field in fields(JobQuestion)))
_CLAIMS = table("job_claims", *map(column, ("job_id", "position", "attempt", "worker")))
_WORKERS = table("job_workers", *map(column, ("id", "beat")))
_OWNERS = table("job_owners", *map(column, ("owner", "served")))


@contextmanager
def change_jobs(engine: Engine) -> Iterator[Connection]:
    """A transaction beside which no other changes a job. Raises StoreUnavailable."""
    with begin_transaction(engine, write=True) as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield connection


class JobStore:
    """Jobs in the service's own database. Every method raises StoreUnavailable, and what ``record`` raises."""

    def __init__(self, engine: Engine, insert: Callable[[TableClause], Any], record: Record) -> None:
        self._engine = engine
        self._insert = insert
        self._record = record

    # --- what callers do ----------------------------------------------------------------------

    def add_job(self, job: Job, questions: Sequence[str], *, limit: int, share: int) -> Job:
        """Takes a job in, or returns the one that its owner submitted with this token before.

        Raises QueueFull when more than ``limit`` questions would wait in all, or ``share`` of this owner;
        IdempotencyConflict when the earlier job asks something else.
        """
        with self._change() as connection:
            return self.insert_job(connection, job, questions, limit=limit, share=share)

    def insert_job(self, connection: Connection, job: Job, questions: Sequence[str], *, limit: int, share: int) -> Job:
        """As ``add_job``, within a transaction of ``change_jobs``."""
        known = select(JOBS).where(JOBS.c.owner == job.owner, JOBS.c.token == job.token)
        if (row := connection.execute(known).one_or_none()) is not None:
            if row.digest != job.digest:
                raise IdempotencyConflict
            return Job(*row)
        owned = func.coalesce(func.sum(JOBS.c.waiting).filter(JOBS.c.owner == job.owner), 0)
        levels = select(func.coalesce(func.sum(JOBS.c.waiting), 0), owned).where(JOBS.c.waiting > 0)
        waiting, own = connection.execute(levels).one()
        if waiting + job.total > limit or own + job.total > share:
            raise QueueFull(retry_after=NEW_DELAY, details={"waiting": int(waiting), "own": int(own)})
        job = replace(job, waiting=job.total)
        connection.execute(JOBS.insert().values({field.name: getattr(job, field.name) for field in fields(Job)}))
        rows = [{"job_id": job.id, "position": n, "question": storable_text(text)} for n, text in enumerate(questions)]
        connection.execute(_QUESTIONS.insert(), rows)
        self._record(job, "submitted")
        return job

    def end_job(self, job_id: str, state: str, reason: str) -> Job | None:
        """Ends a job before its questions have; None when it had ended, or there is none."""
        with self._change() as connection:
            return self._end(connection, job_id, state, reason)

    # --- what workers do ----------------------------------------------------------------------

    def claim_question(self, worker: str) -> Claim | None:
        """The next question, now in this worker's hand; None when none is ready.

        The owner that was served longest ago is served next, with the first of its jobs: however much one caller
        submits, another's question waits for one of each other caller.
        """
        ready = and_(JOBS.c.waiting > 0, JOBS.c.ready_at <= time.time())
        with begin_transaction(self._engine) as connection:  # most often there is none, which needs no lock
            if connection.execute(select(JOBS.c.id).where(ready).limit(1)).first() is None:
                return None
        with self._change() as connection:
            served = func.coalesce(_OWNERS.c.served, 0)
            next_job = (
                select(JOBS)
                .outerjoin(_OWNERS, _OWNERS.c.owner == JOBS.c.owner)
                .where(ready)
                .order_by(served, JOBS.c.owner, JOBS.c.submitted_at, JOBS.c.id)
                .limit(1)
            )
            if (row := connection.execute(next_job).one_or_none()) is None:
                return None
            turn = (connection.execute(select(func.max(_OWNERS.c.served))).scalar() or 0) + 1
            put = self._insert(_OWNERS).values(owner=row.owner, served=turn)
            connection.execute(put.on_conflict_do_update(index_elements=["owner"], set_={"served": turn}))
            return self._take(connection, Job(*row), worker)

    def end_question(self, claim: Claim, outcome: str, question: str, body: str, *, given_up: bool = False) -> bool:
        """Keeps how a question ended; False when it is no longer in this hand, or its job has ended.

        The last one ends the job: ``failed`` when one of its questions was given up, else ``done``.
        """
        with self._change() as connection:
            if connection.execute(delete(_CLAIMS).where(_is_claim(claim))).rowcount == 0:
                return False
            changes: dict[str, object] = {"ended": JOBS.c.ended + 1} | ({"reason": outcome} if given_up else {})
            running = (JOBS.c.id == claim.job.id) & (JOBS.c.state == RUNNING)
            row = connection.execute(update(JOBS).where(running).values(changes).returning(JOBS)).one_or_none()
            if row is None:
                return False
            place = (_QUESTIONS.c.job_id == claim.job.id) & (_QUESTIONS.c.position == claim.position)
            ended = {"outcome": outcome, "question": storable_text(question), "body": body, "attempts": claim.attempt}
            connection.execute(update(_QUESTIONS).where(place).values(**ended, ended_at=time.time()))
            if row.ended == row.total:
                self._end(connection, row.id, FAILED if row.reason else DONE, row.reason)
            return True

    def return_question(self, claim: Claim, delay: float) -> bool:
        """Lets the question be asked again after ``delay`` seconds; False as in ``end_question``."""
        with self._change() as connection:
            if connection.execute(update(_CLAIMS).where(_is_claim(claim)).values(worker="")).rowcount == 0:
                return False
            running = (JOBS.c.id == claim.job.id) & (JOBS.c.state == RUNNING)
            again = {"waiting": JOBS.c.waiting + 1, "ready_at": time.time() + delay}
            if connection.execute(update(JOBS).where(running).values(again)).rowcount == 0:
                connection.execute(delete(_CLAIMS).where(_is_claim(replace(claim, worker=""))))
                return False
            return True

    # --- who lives ----------------------------------------------------------------------------

    def beat(self, worker: str) -> set[tuple[str, int]]:
        """Says that a worker lives; job and position of the questions in its hand whose job has ended."""
        put = self._insert(_WORKERS).values(id=worker, beat=time.time())
        with begin_transaction(self._engine, write=True) as connection:
            connection.execute(put.on_conflict_do_update(index_elements=["id"], set_={"beat": put.excluded.beat}))
            held = select(_CLAIMS.c.job_id, _CLAIMS.c.position).join(JOBS, JOBS.c.id == _CLAIMS.c.job_id)
            idle = held.where(_CLAIMS.c.worker == worker, JOBS.c.state != RUNNING)
            return {(job_id, position) for job_id, position in connection.execute(idle)}

    def workers(self) -> dict[str, float]:
        """Worker -> its last beat; also those without one that have a question in hand, with 0."""
        with begin_transaction(self._engine) as connection:
            held = {name: 0.0 for (name,) in connection.execute(select(_CLAIMS.c.worker).distinct()) if name}
            return held | {row.id: row.beat for row in connection.execute(select(_WORKERS))}

    def claims(self, worker: str) -> list[Claim]:
        """What a worker has in hand."""
        joined = (
            select(_CLAIMS.c.position, _CLAIMS.c.attempt, _QUESTIONS.c.question, *JOBS.c)
            .join(JOBS, JOBS.c.id == _CLAIMS.c.job_id)
            .join(_QUESTIONS, and_(_QUESTIONS.c.job_id == JOBS.c.id, _QUESTIONS.c.position == _CLAIMS.c.position))
        )
        with begin_transaction(self._engine) as connection:
            rows = connection.execute(joined.where(_CLAIMS.c.worker == worker)).all()
        return [Claim(Job(*row[3:]), row[0], row[1], row[2], worker) for row in rows]

    def forget_worker(self, worker: str) -> None:
        """Takes a worker off, and what it still had in hand of ended jobs."""
        with self._change() as connection:
            running = select(JOBS.c.id).where(JOBS.c.state == RUNNING)
            ended = (_CLAIMS.c.worker == worker) & _CLAIMS.c.job_id.not_in(running)
            connection.execute(delete(_CLAIMS).where(ended))
            connection.execute(delete(_WORKERS).where(_WORKERS.c.id == worker))

    # --- looking ------------------------------------------------------------------------------

    def get_job(self, job_id: str) -> Job | None:
        """The job of this id, whoever owns it."""
        with begin_transaction(self._engine) as connection:
            row = connection.execute(select(JOBS).where(JOBS.c.id == job_id)).one_or_none()
        return None if row is None else Job(*row)

    def list_jobs(self, owner: str | None, limit: int) -> list[Job]:
        """The jobs of an owner, or of all, newest first."""
        query = select(JOBS).order_by(JOBS.c.submitted_at.desc(), JOBS.c.id).limit(limit)
        with begin_transaction(self._engine) as connection:
            rows = connection.execute(query if owner is None else query.where(JOBS.c.owner == owner))
            return [Job(*row) for row in rows]

    def questions(self, job_id: str, offset: int, limit: int) -> list[JobQuestion]:
        """The questions of a job from position ``offset`` on."""
        columns = (_QUESTIONS.c[field.name] for field in fields(JobQuestion))
        query = select(*columns).where(_QUESTIONS.c.job_id == job_id, _QUESTIONS.c.position >= offset)
        with begin_transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(_QUESTIONS.c.position).limit(limit))
            return [JobQuestion(*row) for row in rows]

    def count_ahead(self, job: Job) -> int:
        """The questions that are asked before the first waiting one of this job, as owners take turns."""
        waiting = select(JOBS.c.owner, func.sum(JOBS.c.waiting)).where(JOBS.c.waiting > 0, JOBS.c.id != job.id)
        own = waiting.where(JOBS.c.owner == job.owner, JOBS.c.submitted_at < job.submitted_at)
        others = waiting.where(JOBS.c.owner != job.owner)
        with begin_transaction(self._engine) as connection:
            ahead = sum(int(count) for _, count in connection.execute(own.group_by(JOBS.c.owner)))
            turns = connection.execute(others.group_by(JOBS.c.owner)).all()
        return ahead + sum(min(int(count), ahead + 1) for _, count in turns)

    def levels(self) -> JobLevels:
        """How full the queue is now."""
        sums = select(
            func.coalesce(func.sum(JOBS.c.waiting), 0),
            func.min(JOBS.c.submitted_at).filter(JOBS.c.state == QUEUED),
        ).where(JOBS.c.waiting > 0)
        with begin_transaction(self._engine) as connection:
            waiting, oldest = connection.execute(sums).one()
            running = connection.execute(select(func.count()).select_from(_CLAIMS).where(_CLAIMS.c.worker != ""))
            beat = connection.execute(select(func.max(_WORKERS.c.beat))).scalar()
            return JobLevels(int(waiting), int(running.scalar_one()), oldest, beat)

    def overdue_jobs(self, seconds: float) -> list[str]:
        """Jobs that have run for longer than this."""
        late = (JOBS.c.state == RUNNING) & (JOBS.c.started_at < time.time() - seconds)
        with begin_transaction(self._engine) as connection:
            return [job_id for (job_id,) in connection.execute(select(JOBS.c.id).where(late))]

    def prune(self, days: float, kept: int = KEPT_QUESTIONS) -> None:
        """Forgets jobs that ended more than ``days`` ago, and those before the newest with ``kept`` questions."""
        newer = func.sum(JOBS.c.total).over(order_by=(JOBS.c.ended_at.desc(), JOBS.c.id))
        over = JOBS.c.state.not_in(OPEN) & (JOBS.c.delivery != UNTOLD)
        counted = select(JOBS.c.id, JOBS.c.ended_at, newer.label("newer")).where(over).subquery()
        old = select(counted.c.id).where((counted.c.newer > kept) | (counted.c.ended_at < time.time() - days * 86_400))
        with self._change() as connection:
            gone = [job_id for (job_id,) in connection.execute(old.limit(500))]
            connection.execute(delete(_QUESTIONS).where(_QUESTIONS.c.job_id.in_(gone)))
            connection.execute(delete(JOBS).where(JOBS.c.id.in_(gone)))
            idle = _OWNERS.c.owner.not_in(select(JOBS.c.owner))
            connection.execute(delete(_OWNERS).where(idle))

    # --- in a transaction -----------------------------------------------------------------------

    def _change(self) -> AbstractContextManager[Connection]:
        return change_jobs(self._engine)

    def _end(self, connection: Connection, job_id: str, state: str, reason: str) -> Job | None:
        unended = (JOBS.c.id == job_id) & JOBS.c.state.in_(OPEN)
        told = {"delivery": case((JOBS.c.webhook != "", UNTOLD), else_=""), "deliver_at": time.time()}
        ended = {"state": state, "reason": reason, "ended_at": time.time(), "waiting": 0, **told}
        row = connection.execute(update(JOBS).where(unended).values(ended).returning(JOBS)).one_or_none()
        if row is None:
            return None
        connection.execute(delete(_CLAIMS).where(_CLAIMS.c.job_id == job_id, _CLAIMS.c.worker == ""))
        self._record(Job(*row), state)
        return Job(*row)

    def _take(self, connection: Connection, job: Job, worker: str) -> Claim:
        """Puts a question in the worker's hand: one that was returned, else the next."""
        taken = {"waiting": job.waiting - 1}
        returned = select(_CLAIMS.c.position, _CLAIMS.c.attempt).where(
            _CLAIMS.c.job_id == job.id, _CLAIMS.c.worker == ""
        )
        row = connection.execute(returned.order_by(_CLAIMS.c.position).limit(1)).one_or_none()
        position, attempt = (job.following, 1) if row is None else (row.position, row.attempt + 1)
        place = {"job_id": job.id, "position": position}
        if row is None:
            connection.execute(_CLAIMS.insert().values(**place, attempt=1, worker=worker))
            taken["following"] = position + 1
        else:
            hand = update(_CLAIMS).filter_by(**place).values(attempt=attempt, worker=worker)
            connection.execute(hand)
        started = {"state": RUNNING, "started_at": time.time()} if job.state == QUEUED else {}
        connection.execute(update(JOBS).where(JOBS.c.id == job.id).values(taken | started))
        if started:
            self._record(job, "started")
        question = connection.execute(select(_QUESTIONS.c.question).filter_by(**place)).scalar_one()
        return Claim(job, position, attempt, question, worker)


def _is_claim(claim: Claim) -> Any:
    return and_(
        _CLAIMS.c.job_id == claim.job.id,
        _CLAIMS.c.position == claim.position,
        _CLAIMS.c.worker == claim.worker,
        _CLAIMS.c.attempt == claim.attempt,
    )
