"""Schedules: when questions are due, that each due time makes one job, and with whose rights."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from sql_synthesizer.errors import AuditUnavailable, InvalidRequest, NotFound, OwnerRefused, TooManySchedules
from sql_synthesizer.jobs import JobLimits, JobQueue, Scheduler, Schedules, Webhooks
from sql_synthesizer.jobs import schedules as module
from sql_synthesizer.jobs.bodies import event_body
from sql_synthesizer.jobs.schedules import Plan, next_time
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.model.display import escape_unprintable
from sql_synthesizer.store import Store
from sql_synthesizer.store.jobs import Job, JobQuestion
from sql_synthesizer.store.schedules import Schedule
from sql_synthesizer.telemetry import Telemetry
from sql_synthesizer.telemetry.testing import MemoryRecorder
from tests.support.app import app as app
from tests.support.app import app_settings as app_settings
from tests.support.app import demo_path as demo_path
from tests.support.store import open_store as open_store
from tests.support.store import store as store
from tests.support.store import url as url

OWNER, OTHER = Caller("k1", Role.VIEWER), Caller("k2", Role.VIEWER)
BERLIN = "Europe/Berlin"
PLAN = Plan("daily", "0 7 * * *", "UTC", "run", ["how many?", "which?"], "shop", 10, "", False, False)


def at(text: str) -> float:
    return datetime.fromisoformat(text).astimezone(UTC).timestamp()


# --- when --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "zone", "now", "due"),
    [
        ("0 7 * * *", "UTC", "2026-03-01T06:59:59+00:00", ["2026-03-01T07:00:00+00:00", "2026-03-02T07:00:00+00:00"]),
        ("0 7 * * *", "UTC", "2026-03-01T07:00:00+00:00", ["2026-03-02T07:00:00+00:00"]),
        ("0 7 * * MON-FRI", BERLIN, "2026-03-27T12:00:00+01:00", ["2026-03-30T07:00:00+02:00"]),
        # the hour from two to three is left out on 29 March
        ("30 2 * * *", BERLIN, "2026-03-28T12:00:00+01:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        (
            "*/30 * * * *",
            BERLIN,
            "2026-03-29T01:29:00+01:00",
            ["2026-03-29T01:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"],
        ),
        # and comes twice on 25 October
        (
            "30 2 * * *",
            BERLIN,
            "2026-10-24T12:00:00+02:00",
            ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"],
        ),
        (
            "*/30 * * * *",
            BERLIN,
            "2026-10-25T02:29:00+02:00",
            [
                "2026-10-25T02:30:00+02:00",
                "2026-10-25T02:00:00+01:00",
                "2026-10-25T02:30:00+01:00",
                "2026-10-25T03:00:00+01:00",
            ],
        ),
        # in its second pass, what has run in the first one waits for the next day
        ("30 2 * * *", BERLIN, "2026-10-25T01:10:00+00:00", ["2026-10-26T02:30:00+01:00"]),
        ("0-59 2 * * *", BERLIN, "2026-10-25T01:00:00+00:00", ["2026-10-26T02:00:00+01:00"]),
        ("0,30 2-4 * * *", BERLIN, "2026-10-25T01:10:00+00:00", ["2026-10-25T03:00:00+01:00"]),
        ("40 1 * * *", "Australia/Lord_Howe", "2026-04-04T15:05:00+00:00", ["2026-04-06T01:40:00+10:30"]),
        ("0 0 29 2 *", "UTC", "2026-03-01T00:00:00+00:00", ["2028-02-29T00:00:00+00:00"]),
        ("0 7 L * *", "America/New_York", "2026-11-01T00:00:00-04:00", ["2026-11-30T07:00:00-05:00"]),
    ],
)
def test_due_times(cron: str, zone: str, now: str, due: list[str]) -> None:
    moment = at(now)
    for wanted in due:
        moment = next_time(cron, zone, moment)
        assert datetime.fromtimestamp(moment, UTC) == datetime.fromisoformat(wanted)


@pytest.mark.parametrize(
    ("cron", "zone"),
    [
        ("", "UTC"),
        ("* * * *", "UTC"),
        ("* * * * * *", "UTC"),
        ("60 * * * *", "UTC"),
        ("0 0 30 2 *", "UTC"),
        ("0 0 31 4,6 *", "UTC"),
        ("5L/2 * * * *", "UTC"),
        ("* * L/2 * *", "UTC"),
        ("0 7 * * 1#2/3", "UTC"),
        ("@daily", "UTC"),
        ("*/0 * * * *", "UTC"),
        ("\uff10 7 * * *", "UTC"),
        ("0 7 * * *; rm", "UTC"),
        ("0 7 * * *", "Europe/Atlantis"),
        ("0 7 * * *", "../../etc/passwd"),
        ("0 7 * * *", "/etc/passwd"),
        ("0 7 * * *", ""),
        ("0 7 * * *", "Europe"),
        ("0 7 * * *", "a\0b"),
        ("0 7 * * *", "localtime"),
        ("0 7 * * *", "right/UTC"),
        ("0 7 * * *", "UTC\n"),
    ],
)
def test_what_names_no_time(cron: str, zone: str) -> None:
    try:
        next_time(cron, zone, at("2026-03-01T00:00:00+00:00"))
    except InvalidRequest as error:
        assert error.hint
        assert ("no time zone" in error.message) is (zone != "UTC")
    else:
        assert cron == "* * L/2 * *"  # read as the last day of the month


# --- what is due -------------------------------------------------------------------------------


class Bench:
    """Schedules whose clock stands at ``now``, and what was put on record."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = at("2026-03-01T00:00:00+00:00")
        monkeypatch.setattr(module.time, "time", lambda: self.now)
        self.telemetry = Telemetry()
        self.telemetry.recorder = self.recorder = MemoryRecorder()
        self.queue = JobQueue(store, self.telemetry, JobLimits(100, 50, 3600, 7), Webhooks("", "", ""))
        self.schedules = Schedules(store, self.queue, self.telemetry, 3)
        self.refused = False

    def authorize(self, owner: str) -> Caller:
        if self.refused:
            raise OwnerRefused
        return Caller(owner, Role.ANALYST)

    def create(self, caller: Caller = OWNER, **changes: Any) -> Schedule:
        plan = {name: getattr(PLAN, name) for name in Plan.__slots__}
        return self.schedules.create(caller, Plan(**(plan | changes)))

    def look(self, moment: str) -> None:
        self.now = at(moment)
        Scheduler(self.schedules, self.queue, self.authorize, self.telemetry).run_due()

    def jobs(self) -> list[Job]:
        return self.queue.store.list_jobs(None, 100)

    def changes(self) -> list[str]:
        return [r.details["change"] for r in self.recorder.records if r.type.name == "schedule_change"]


@pytest.fixture
def bench(store: Store, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(store, monkeypatch)


def test_a_due_time_makes_one_job(bench: Bench) -> None:
    made = bench.create()
    bench.look("2026-03-01T06:59:59+00:00")
    assert bench.jobs() == []
    bench.look("2026-03-01T07:00:00+00:00")
    bench.look("2026-03-01T07:00:01+00:00")
    (job,) = bench.jobs()
    assert (job.owner, job.total, job.database, job.max_rows, job.state) == ("k1", 2, "shop", 10, "queued")
    assert [row.question for row in bench.queue.store.questions(job.id, 0, 9)] == ["how many?", "which?"]
    seen = bench.schedules.show(OWNER, made.id)
    assert (seen.last_job, seen.due_at) == (job.id, at("2026-03-02T07:00:00+00:00"))
    assert bench.changes() == ["created", "run"]
    (submitted,) = [r for r in bench.recorder.records if r.type.name == "job_change"]
    assert (submitted.trace.actor, submitted.trace.trace_id) == ("k1", job.traceparent.split("-")[1])


def test_of_many_that_look_one_makes_the_job(bench: Bench) -> None:
    for _ in range(3):
        bench.create()
    bench.now = at("2026-03-01T07:00:00+00:00")
    start = threading.Barrier(4)

    def look() -> None:
        scheduler = Scheduler(bench.schedules, bench.queue, bench.authorize, bench.telemetry)
        start.wait(60)
        scheduler.run_due()

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(bench.jobs()) == 3
    assert bench.changes().count("run") == 3


@pytest.mark.parametrize(("missed", "jobs", "change"), [("run", 1, "run"), ("skip", 0, "skipped")])
def test_times_that_nobody_was_there_for(bench: Bench, missed: str, jobs: int, change: str) -> None:
    made = bench.create(missed=missed)
    bench.look("2026-03-04T12:00:00+00:00")
    assert len(bench.jobs()) == jobs
    assert bench.changes() == ["created", change]
    assert bench.schedules.show(OWNER, made.id).due_at == at("2026-03-05T07:00:00+00:00")
    bench.look("2026-03-05T07:00:30+00:00")
    assert len(bench.jobs()) == jobs + 1


def test_a_key_that_was_revoked_asks_nothing(bench: Bench) -> None:
    made = bench.create()
    bench.refused = True
    bench.look("2026-03-01T07:00:00+00:00")
    bench.look("2026-03-02T07:00:00+00:00")
    seen = bench.schedules.show(OWNER, made.id)
    assert (bench.jobs(), seen.paused, seen.reason) == ([], 1, "owner_refused")
    assert bench.changes() == ["created", "refused"]
    assert [r.details["reason"] for r in bench.recorder.records if r.type.name == "access_denied"] == ["owner_refused"]
    bench.refused = False
    bench.schedules.pause(OWNER, made.id, paused=False)
    bench.look("2026-03-03T07:00:00+00:00")
    assert len(bench.jobs()) == 1


def test_one_that_cannot_be_computed_holds_up_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    lost, strange, sound = bench.create(name="lost"), bench.create(OTHER, name="strange"), bench.create(OTHER)
    bench.schedules.store.change(lost.id, lambda _: replace(lost, zone="Europe/Atlantis", due_at=lost.due_at - 2))
    bench.schedules.store.change(strange.id, lambda _: replace(strange, due_at=strange.due_at - 1))
    authorize = bench.authorize
    steps = iter([RuntimeError, None])

    def stumble(owner: str) -> Caller:
        if (error := next(steps)) is not None:
            raise error
        return authorize(owner)

    monkeypatch.setattr(bench, "authorize", stumble)
    bench.look("2026-03-01T07:00:00+00:00")
    kept = {found.id: found for found in bench.schedules.store.list(None, 9)}
    assert (kept[lost.id].paused, kept[lost.id].reason) == (1, "invalid_request")
    assert (kept[strange.id].paused, kept[strange.id].reason) == (0, "internal")
    assert kept[strange.id].due_at == at("2026-03-02T07:00:00+00:00")
    assert [job.id for job in bench.jobs()] == [kept[sound.id].last_job]
    assert bench.schedules.pause(OWNER, lost.id, paused=True).paused
    with pytest.raises(InvalidRequest):
        bench.schedules.pause(OWNER, lost.id, paused=False)


def test_two_that_change_one_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made, read = bench.create(), bench.schedules.show

    def overtaken(caller: Caller, schedule_id: str) -> Schedule:
        """Its job is made after it was looked at."""
        found = read(caller, schedule_id)
        bench.look("2026-03-01T07:00:00+00:00")
        return found

    monkeypatch.setattr(bench.schedules, "show", overtaken)
    bench.schedules.change(OWNER, made.id, replace(PLAN, cron="0 8 * * *"))
    (job,) = bench.jobs()
    bench.schedules.pause(OWNER, made.id, paused=True)
    seen = read(OWNER, made.id)
    assert (seen.last_job, seen.cron, seen.due_at) == (job.id, "0 8 * * *", at("2026-03-01T08:00:00+00:00"))


def test_what_changed_is_on_record(bench: Bench) -> None:
    made = bench.create()
    plan = replace(PLAN, cron="0 8 * * *", questions=["secret?"], with_results=True)
    bench.schedules.change(OWNER, made.id, plan)
    bench.schedules.pause(OWNER, made.id, paused=True)
    told = [record.details for record in bench.recorder.records if record.type.name == "schedule_change"]
    assert [details["fields"] for details in told] == [[], ["cron", "questions", "webhook_results"], ["paused"]]
    assert [(details["cron"], details["paused"]) for details in told] == [
        ("0 7 * * *", False),
        ("0 8 * * *", False),
        ("0 8 * * *", True),
    ]
    assert {(details["time_zone"], details["webhook"]) for details in told} == {("UTC", "")}
    assert "secret" not in str(told)


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\nb", "a\u202eb", "a\x9bb"])
def test_names_that_a_terminal_acts_upon(bench: Bench, name: str) -> None:
    with pytest.raises(InvalidRequest):
        bench.create(name=name)
    assert escape_unprintable(name, keep="").isprintable()


def test_a_queue_that_is_full(bench: Bench) -> None:
    made = bench.create()
    bench.queue.limits = JobLimits(1, 1, 3600, 7)
    bench.look("2026-03-01T07:00:00+00:00")
    assert bench.schedules.show(OWNER, made.id).reason == "queue_full"
    bench.queue.limits = JobLimits(9, 9, 3600, 7)
    bench.look("2026-03-02T07:00:00+00:00")
    assert bench.schedules.show(OWNER, made.id).reason == ""
    assert bench.changes() == ["created", "skipped", "run"]


def test_nothing_happens_that_is_not_on_record(bench: Bench) -> None:
    made = bench.create()
    bench.recorder.failing = AuditUnavailable()
    with pytest.raises(AuditUnavailable):
        bench.look("2026-03-01T07:00:00+00:00")
    assert bench.jobs() == []
    assert bench.schedules.show(OWNER, made.id) == made
    bench.recorder.failing = None
    bench.look("2026-03-01T07:00:01+00:00")
    assert len(bench.jobs()) == 1


def test_a_clock_that_was_ahead(bench: Bench) -> None:
    made = bench.create()
    bench.look("2040-01-01T07:00:00+00:00")
    assert len(bench.jobs()) == 1
    bench.look("2026-03-01T00:10:00+00:00")
    assert bench.schedules.show(OWNER, made.id).due_at == at("2026-03-01T07:00:00+00:00")
    bench.look("2026-03-01T07:00:00+00:00")
    assert len(bench.jobs()) == 2


def test_whose_it_is(bench: Bench) -> None:
    made = bench.create()
    for reach in (bench.schedules.show, bench.schedules.delete):
        with pytest.raises(NotFound):
            reach(OTHER, made.id)  # type: ignore[operator]
    with pytest.raises(NotFound):
        bench.schedules.change(OTHER, made.id, PLAN)
    assert bench.schedules.list(OTHER, everybody=True) == []
    operator = Caller("o", Role.OPERATOR)
    assert [found.id for found in bench.schedules.list(operator, everybody=True)] == [made.id]
    changed = bench.schedules.change(operator, made.id, Plan(**{n: getattr(PLAN, n) for n in Plan.__slots__}))
    assert changed.owner == "k1"
    bench.schedules.delete(operator, made.id)
    assert bench.changes() == ["created", "changed", "deleted"]


def test_how_many_a_caller_may_have(bench: Bench) -> None:
    made = [bench.create() for _ in range(3)]
    with pytest.raises(TooManySchedules):
        bench.create()
    bench.create(OTHER)
    bench.schedules.delete(OWNER, made[0].id)
    bench.create()


def test_what_a_webhook_is_sent() -> None:
    job = Job("j", "k1", "t", "", "shop", 10, "", 3, 0.0, state="done", ended_at=1.0, with_results=1)
    body = orjson.dumps({"rows": ["x" * 100_000]}).decode()
    rows = [JobQuestion(n, "how many?", "ok", 1, body, 1.0) for n in range(3)]
    sent = orjson.loads(event_body(job, rows))["data"]
    assert ([item["index"] for item in sent["items"]], sent["left_off"]) == ([0, 1], 1)
    assert "items" not in orjson.loads(event_body(job, None))["data"]
