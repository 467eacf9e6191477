"""Changes jobs and schedules in every way, and fails questions of jobs as often as they are tried."""

from __future__ import annotations

import http
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from sql_synthesizer.model import Role
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.store.jobs import OPEN, RUNNING, Job
from sql_synthesizer_proof.coverage import foreign
from sql_synthesizer_proof.coverage.asking import ask
from sql_synthesizer_proof.coverage.faults import ANEW, FAULTS, Fault, fill_queue, hold_slots, stop_record
from sql_synthesizer_proof.coverage.instance import LIMIT, Instance, random_text
from sql_synthesizer_proof.coverage.path import Path

LONG_JOB = ["please never stop"] * 3
WAIT = 15.0
"""Seconds within which a record comes that somebody else writes."""
GONE = "gone"
"""A worker that says nothing any more."""


def change_job(instance: Instance, path: Path) -> str:
    """Has a job change as the path says."""
    name = path.stage if path.kind == "job" else path.outcome if path.kind == "event" else "delivered"
    drive = _CHANGES.get((name, path.outcome)) or _CHANGES[name, ""]
    with instance.new_trace() as (trace_id, parent):
        drive(instance, parent)
    return trace_id


def submit(instance: Instance, parent: str = "", *, key: str | None = None, **more: Any) -> str:
    """Hands in a job, by default of one question that is answered, and returns its id."""
    body = {"questions": [ANEW.format(random_text())], "database": "plain", **more}
    return str(instance.send("POST", "/api/jobs", body, trace=parent, key=key).json()["id"])


def await_job(instance: Instance, job_id: str, holds: Callable[[Job], object]) -> None:
    """Waits for something to be true of a job. Raises TimeoutError."""

    def look() -> bool:
        job = instance.rooms.jobs.store.get_job(job_id)
        return job is not None and bool(holds(job))

    if not becomes_true(look, LIMIT, 0.02):
        raise TimeoutError(job_id)


def _has_ended(job: Job) -> bool:
    return job.state not in OPEN


def _finish(instance: Instance, parent: str) -> None:
    await_job(instance, submit(instance, parent), _has_ended)


def _cancel(instance: Instance, parent: str, state: str) -> None:
    """Takes a job back that waits for another one, or that goes on."""
    first = submit(instance, parent if state == RUNNING else "", questions=LONG_JOB, database="shop")
    await_job(instance, first, lambda job: job.state == RUNNING)
    job_id = first if state == RUNNING else submit(instance, parent)
    for one in {job_id, first}:
        instance.send("DELETE", f"/api/jobs/{one}", trace=parent)
        await_job(instance, one, _has_ended)


def _outlast(instance: Instance, parent: str) -> None:
    """Others have every slot, and the questions are tried for longer together than a job may take."""
    with hold_slots(instance, instance.rooms):
        await_job(instance, submit(instance, parent, questions=LONG_JOB * 10), _has_ended)


def _lose_owner(instance: Instance, parent: str) -> None:
    """Revokes the owner's key while another job is worked on."""
    key = instance.rooms.access.keys.create_key("coverage", Role.VIEWER)
    first = submit(instance, questions=LONG_JOB, database="shop")
    await_job(instance, first, lambda job: job.state == RUNNING)
    job_id = submit(instance, parent, key=key)
    instance.rooms.access.keys.revoke_key(key.split("_")[1])
    instance.send("DELETE", f"/api/jobs/{first}", trace="")
    await_job(instance, job_id, _has_ended)


def _lose_worker(instance: Instance, parent: str) -> None:
    """Each time the question is to be asked, it is in the hand of a worker that is gone."""
    store = instance.rooms.jobs.store
    with hold_slots(instance, instance.rooms):
        first = submit(instance, questions=LONG_JOB)
        await_job(instance, first, lambda job: job.state == RUNNING)
        job_id = submit(instance, parent)

        def ends() -> bool:
            store.claim_question(GONE)
            job = store.get_job(job_id)
            return job is None or _has_ended(job)

        becomes_true(ends, LIMIT, 0.05)
        instance.send("DELETE", f"/api/jobs/{first}", trace="")


def _deliver(instance: Instance, parent: str, answer: int = 200) -> None:
    """Has an address told that a job has ended, which takes it or says that it is gone."""
    instance.receiver.steps.append(answer)
    job_id = submit(instance, parent, webhook=f"http://{instance.receiver.place}/ended")
    await_record(instance, job_id=job_id, change="delivered" if answer == http.HTTPStatus.OK else "undelivered")


_CHANGES: Mapping[tuple[str, str], Callable[[Instance, str], None]] = {
    **{(name, ""): _finish for name in ("submitted", "started", "done")},
    ("failed", ""): _lose_owner,
    ("failed", "owner_refused"): _lose_owner,
    ("failed", "job_timeout"): _outlast,
    ("failed", "worker_lost"): _lose_worker,
    ("cancelled", ""): lambda instance, parent: _cancel(instance, parent, RUNNING),
    ("cancelled", "queued"): lambda instance, parent: _cancel(instance, parent, "queued"),
    ("delivered", ""): _deliver,
    ("undelivered", ""): lambda instance, parent: _deliver(instance, parent, 410),
}


def drive_unrecorded_job(instance: Instance, path: Path, parent: str = "") -> str:
    """Submits a job whose question waits for a slot until the record cannot be written any more."""
    with ExitStack() as stack:
        trace_id, begun = stack.enter_context(instance.new_trace())
        stopped = stack.enter_context(ExitStack())
        with hold_slots(instance, instance.rooms):
            job_id = submit(instance, parent or begun)
            becomes_true(lambda: instance.rooms.service.slots.waiting, LIMIT, 0.005)
            stopped.enter_context(stop_record(instance))
        instance.await_end((parent or begun).split("-")[1], "audit_unavailable")
        if path.stage == "job_given_up":
            time.sleep(2.0)  # all tries fail meanwhile
        else:
            await_job(instance, job_id, lambda job: job.state == RUNNING and job.waiting)
        stopped.close()
        await_job(instance, job_id, _has_ended)
    return trace_id


# --- questions that fail ---------------------------------------------------------------------


def find_passing_fault(reason: str) -> Fault | None:
    """What has a question of a job end for a reason that another try might not have."""
    if reason == "overloaded":  # at once, not at a deadline that is longer than a job may take
        return Fault(ANEW, "plain", arrange=fill_queue)
    return next((fault for (_, name), fault in FAULTS.items() if name == reason and not fault.leaves), None)


def fail_question(instance: Instance, path: Path) -> str:
    """Has a question of a job fail until it is tried again, or given up."""
    with instance.new_trace() as (trace_id, parent):
        if path.outcome == "worker_lost":
            _lose_worker(instance, parent)
            return trace_id
        if path.outcome == "audit_unavailable":
            drive_unrecorded_job(instance, path, parent)
            return trace_id
        fault = find_passing_fault(path.outcome)
        if fault is None:
            raise LookupError(path.outcome)
        goal = _has_ended if path.stage == "job_given_up" else (lambda job: job.waiting and job.following)
        texts, database = [fault.text.replace("{}", random_text())], fault.database.format(surface="job")
        with _repeated(instance, path.outcome), fault.arrange(instance, instance.rooms):
            job_id = submit(instance, parent, questions=texts, database=database)
            await_job(instance, job_id, goal)
        instance.send("DELETE", f"/api/jobs/{job_id}", trace=parent)
    return trace_id


@contextmanager
def _repeated(instance: Instance, reason: str) -> Iterator[None]:
    """Faults that last for one try otherwise."""
    if reason == "model_unavailable":
        instance.model.fail(500, times=20)
    try:
        yield
    finally:
        instance.model.recover()


def leave_session(instance: Instance, _path: Path) -> str:
    """A server process that does not listen any more has a statement at its deadline."""
    with foreign.lock_table(instance, instance.rooms), foreign.connect(instance) as admin:

        def stop_process() -> None:
            while not (found := admin.execute(foreign.WAITING).fetchone()):
                time.sleep(0.02)
            os.kill(found[0], signal.SIGSTOP)
            time.sleep(6.0)  # the service gives up after three seconds
            os.kill(found[0], signal.SIGCONT)

        thread = threading.Thread(target=stop_process, daemon=True)
        thread.start()
        trace_id = ask(instance, "query", f"count for me {random_text()}", "reader")
        thread.join(LIMIT)
    return trace_id


# --- schedules -------------------------------------------------------------------------------


def change_schedule(instance: Instance, path: Path) -> str:
    """Has a schedule change as the path says; what comes due does so because its time is set back."""
    key = instance.rooms.access.keys.create_key("coverage", Role.VIEWER)
    missed = "skip" if path.outcome == "skipped" else "run"
    body = {"questions": ["how many customers are there"], "database": "plain", "cron": "0 0 1 1 *", "missed": missed}
    with instance.new_trace() as (trace_id, parent):
        created = path.outcome == "created"
        made = instance.send("POST", "/api/schedules", body, trace=parent if created else "", key=key).json()
        address = f"/api/schedules/{made['id']}"
        if path.outcome in ("changed", "deleted"):
            method = "PUT" if path.outcome == "changed" else "DELETE"
            instance.send(method, address, body if method == "PUT" else None, trace=parent, key=key)
        if created or path.outcome in ("changed", "deleted"):
            return trace_id
    if path.outcome == "refused":
        instance.rooms.access.keys.revoke_key(key.split("_")[1])
    with closing(sqlite3.connect(instance.settings.state_dir / "store.sqlite", timeout=LIMIT)) as connection:
        connection.execute("UPDATE schedules SET due_at = ? WHERE id = ?", (time.time() - 3600, made["id"]))
        connection.commit()
    return await_record(instance, schedule_id=made["id"], change=path.outcome)


def await_record(instance: Instance, **fields: str) -> str:
    """The trace of the first record with these fields; empty where none comes."""
    found: list[str] = []

    def look() -> bool:
        rows = (row for row in instance.stored_records() if all(row.get(name) == fields[name] for name in fields))
        found.extend(str(row["trace_id"]) for row in rows)
        return bool(found)

    becomes_true(look, WAIT, 0.05)
    return found[0] if found else ""
