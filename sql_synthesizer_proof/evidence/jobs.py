"""Jobs while workers, web server and the whole service are killed: each ends once, with its results or a reason."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from sql_synthesizer.audit import read_records
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.errors import OUTCOME_BY_REASON
from sql_synthesizer.operate.child import Child, becomes_true, wait_until
from sql_synthesizer.store import Store
from sql_synthesizer.store.jobs import OPEN, UNTOLD, Job, JobQuestion
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.fakes.webhook_receiver import WebhookReceiver
from sql_synthesizer_proof.service import ServiceProcess, parse_samples

SETTINGS: dict[str, object] = {
    "job_threads": 2,
    "rate_limit": "",
    "cache": "off",
    "audit_verify_minutes": 0,
    "canary_seconds": 0,
    "statement_timeout": 5.0,
}
CALLERS = 3
QUESTION = "how many products have price over {:.6f}"
ANSWER = "SELECT count(*) FROM products WHERE price > {}"
THINKING = 0.3
"""Seconds that the model takes for each answer."""
MOST = 5
"""Questions of a job at most."""
CANCELLED = 0.1
"""Share of jobs that are taken back soon after they were submitted."""
KILL_WITHIN = 1.0
"""Seconds between the moment that a worker has a question in hand and the next kill, at most."""
IDLE_LIMIT = 30.0
"""Seconds after which something is killed although no worker has one."""
TIMED = 7
"""Questions whose time is taken."""
REPLY_LIMIT = 30.0
END_LIMIT = 900.0
"""Seconds within which all jobs have ended after the last was submitted."""


def answer_slowly(question: str) -> str:
    """A statement for a question of ours, after a moment in which its worker may be killed."""
    time.sleep(THINKING)
    return ANSWER.format(question.rpartition(" ")[2])


class Caller:
    """Submits jobs until each was accepted, whatever happens meanwhile; equal names make equal jobs.

    ``due`` is the share of them that may be submitted by now; ``webhook`` is told their ends.
    """

    def __init__(
        self, service: ServiceProcess, key: str, name: str, count: int, due: Callable[[], float], webhook: str
    ) -> None:
        self.accepted: defaultdict[str, set[str]] = defaultdict(set)
        """Idempotency key -> ids that it was answered with."""
        self._service = service
        self._key = key
        self._name = name
        self._count = count
        self._due = due
        self._webhook = webhook

    def submit_jobs(self) -> None:
        """Submits them all; one in ten is taken back."""
        choose = random.Random(self._name)
        for number in range(self._count):
            wait_until(lambda number=number: number <= self._count * self._due(), END_LIMIT, "time goes on")  # type: ignore[misc]
            token = f"{self._name}-{number}"
            questions = [QUESTION.format(choose.random()) for _ in range(choose.randint(1, MOST))]
            job_id = self.submit(token, questions)
            if choose.random() < CANCELLED:
                self.cancel(job_id)

    def cancel(self, job_id: str) -> None:
        """Takes a job back, if there is somebody to take it."""
        self._send("DELETE", f"/api/jobs/{job_id}")

    def time_question(self) -> float:
        """Seconds from the submission of a job of one question to its end, by the service's own clock."""
        token = f"{self._name}-{random.random()}"
        path = f"/api/jobs/{self.submit(token, [QUESTION.format(random.random())])}"
        wait_until(lambda: self._send("GET", path)[1].get("ended_at"), END_LIMIT, "the job ends")
        job = self._send("GET", path)[1]
        begin, end = (datetime.fromisoformat(job[name]) for name in ("submitted_at", "ended_at"))
        return (end - begin).total_seconds()

    def submit(self, token: str, questions: list[str]) -> str:
        """Sends it until it is accepted, twice each time: any answer may be lost. Raises TimeoutError."""
        body = {"questions": questions, "idempotency_key": token, "webhook": self._webhook}

        def send_twice() -> bool:
            for status, reply in (self._send("POST", "/api/jobs", body) for _ in range(2)):
                if status == http.HTTPStatus.ACCEPTED:
                    self.accepted[token].add(reply["id"])
            return bool(self.accepted[token])

        wait_until(send_twice, END_LIMIT, f"job {token} is accepted")
        return min(self.accepted[token])

    def _send(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        """Status and body of a reply; 0 when there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._service.port, timeout=REPLY_LIMIT)
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        with closing(connection), suppress(OSError, http.client.HTTPException, ValueError):
            connection.request(method, path, json.dumps(body) if body else None, headers)
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        return 0, {}


def prove_jobs(
    home: Path, count: int, kills: int, wakeups: Mapping[str, object], redis: Child | None = None
) -> list[Claim]:
    """Submits ``count`` jobs, kills something ``kills`` times meanwhile, and looks at what became of each.

    ``wakeups`` are the settings that say how workers wake, through ``redis`` where there is one.
    """
    killed: Counter[str] = Counter()
    with FakeOpenAI(answer_slowly) as model, WebhookReceiver() as receiver:
        asked = {"openai_base_url": model.base_url, "openai_api_key": "none", **receiver.settings, **wakeups}
        with ServiceProcess(home, {**SETTINGS, **asked}) as service:
            made = [service.run("keys", "create", f"caller {n}").stdout.strip() for n in range(CALLERS)]
            schedule = service.run("schedules", "create", "* * * * *", QUESTION.format(1)).stdout.strip()
            callers = [
                Caller(
                    service,
                    key,
                    f"caller{n}",
                    len(range(n, count, CALLERS)),
                    lambda: killed.total() / kills,
                    receiver.url,
                )
                for n, key in enumerate(made)
            ]
            with ThreadPoolExecutor(CALLERS) as pool:
                submitting = [pool.submit(caller.submit_jobs) for caller in callers]
                _kill_parts(service, kills, killed, redis)
                for begun in submitting:
                    begun.result()
            _await_ends(service.state)
            scheduled = _end_schedule(service, schedule)
            fair = _prove_turns(service, made[0], made[1], receiver.url)
            counted = _prove_counts(service)
    return [*_build_claims(service, callers, count, killed, receiver), scheduled, counted, fair]


def _prove_turns(service: ServiceProcess, many: str, one: str, webhook: str) -> Claim:
    """How long a question of one caller takes alone, and while another caller has a thousand before it."""
    big, small = (Caller(service, key, name, 0, lambda: 1, webhook) for key, name in ((many, "many"), (one, "one")))
    alone = median(small.time_question() for _ in range(TIMED))
    job_id = big.submit("many", [QUESTION.format(random.random()) for _ in range(1000)])
    beside = median(small.time_question() for _ in range(TIMED))
    big.cancel(job_id)
    seen = f"{alone:.2f} s alone, {beside:.2f} s beside a job of 1,000 (medians of {TIMED})"
    return Claim(
        "a question waits no more than twice as long beside another caller's thousand", seen, beside <= 2 * alone
    )


def _end_schedule(service: ServiceProcess, schedule_id: str) -> Claim:
    """Deletes the schedule, and looks at the times of its jobs: each due time has at most one."""
    service.run("schedules", "delete", schedule_id)
    with closing(Store(None, service.state)) as store:
        made = [job for job in store.jobs(lambda *_: None).list_jobs(None, 10_000) if job.owner.startswith("cli:")]
    minutes = Counter(int(job.submitted_at // 60) for job in made)
    seen = f"{len(made)} jobs in {len(minutes)} of {_span(minutes)} minutes"
    return Claim("each due time of a schedule made one job", seen, bool(made) and max(minutes.values()) == 1)


def _span(minutes: Counter[int]) -> int:
    return max(minutes) - min(minutes) + 1 if minutes else 0


def _prove_counts(service: ServiceProcess) -> Claim:
    """Whether counters, and what kills have left, say what the record says of each type of event."""

    def read_counts(name: str) -> Counter[str]:
        samples = parse_samples(service.exposition(), f"sql_synthesizer_{name}_total")
        found: Counter[str] = Counter()
        for labels, value in samples:
            found[labels["event_type"]] += int(value)
        return +found

    def compare() -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
        counted, left, early = map(read_counts, ("security_events", "uncounted_events", "unrecorded_events"))
        recorded: Counter[str] = Counter()
        for record in read_records(service.state / "audit", report=lambda *_: None):
            recorded[record["event_type"]] += int(record["count"])
        return counted, left, early, recorded

    def agree() -> bool:
        counted, left, early, recorded = compare()
        return counted + left == recorded + early

    kept = bool(becomes_true(agree, REPLY_LIMIT, poll=1.0))
    counts = compare()
    counted, left, early, recorded = (found.total() for found in counts)
    seen = f"{counted:,} counted + {left} uncounted - {early} unrecorded, {recorded:,} on record"
    if not kept:
        seen += f"; {dict(counts[3] + counts[2] - counts[0] - counts[1])} missing"
    return Claim("counters and what kills left uncounted equal the record, type by type", seen, kept)


def _await_ends(state: Path) -> None:
    with closing(Store(None, state)) as store:
        jobs = store.jobs(lambda *_: None)
        over = lambda: not any(job.state in OPEN or job.delivery == UNTOLD for job in jobs.list_jobs(None, 10_000))  # noqa: E731
        wait_until(over, END_LIMIT, "all jobs end, and are told")


def _kill_parts(service: ServiceProcess, kills: int, killed: Counter[str], redis: Child | None) -> None:
    choose = random.Random(1)
    parts: dict[str, Callable[[], bool]] = {
        "job workers": lambda: _kill_job_worker(service),
        "web workers": lambda: _kill_web_worker(service),
        "services": lambda: _kill_service(service),
    }
    weights = [6, 2, 2]
    if redis is not None:
        parts["Redis"] = lambda: _kill_server(redis)
        weights.append(4)
    while killed.total() < kills:
        _await_work(service.state)
        time.sleep(choose.uniform(0, KILL_WITHIN))
        (name,) = choose.choices([*parts], weights=weights)
        if parts[name]():
            killed[name] += 1


def _await_work(state: Path) -> None:
    """Returns as soon as a worker that lives has a question in hand, or after a while."""
    with closing(Store(None, state)) as store:
        jobs = store.jobs(lambda *_: None)

        def works() -> bool:
            return any(time.time() - beat < 1 and jobs.claims(worker) for worker, beat in jobs.workers().items())

        becomes_true(works, IDLE_LIMIT)


def _kill_job_worker(service: ServiceProcess) -> bool:
    for process in service.job_workers():
        with suppress(psutil.Error):
            process.kill()
            process.wait(REPLY_LIMIT)
            return True
    return False


def _kill_web_worker(service: ServiceProcess) -> bool:
    service.kill_worker()
    return True


def _kill_server(server: Child) -> bool:
    server.kill()
    server.start()
    return True


def _kill_service(service: ServiceProcess) -> bool:
    service.child.kill()
    service.child.start()
    return True


def _build_claims(
    service: ServiceProcess, callers: list[Caller], count: int, killed: Counter[str], receiver: WebhookReceiver
) -> list[Claim]:
    submitted = {token for caller in callers for token in caller.accepted}
    with closing(Store(None, service.state)) as store:
        tables = store.jobs(lambda *_: None)
        jobs = [job for job in tables.list_jobs(None, 10_000) if job.token in submitted]
        rows = {job.id: tables.questions(job.id, 0, 10_000) for job in jobs}
    records = list(read_records(service.state / "audit", report=lambda *_: None))
    report = verify_record(service.state / "audit", Keyring(service.state / "audit.key"))
    told = ", ".join(f"{number} {name}" for name, number in sorted(killed.items()))
    return [
        _accepted_claim(jobs, callers, count, told),
        _ended_claim(jobs, rows),
        _told_claim(jobs, receiver),
        *_record_claims(jobs, rows, records),
        Claim("the chain verifies", f"{report.records:,} records, {len(report.faults)} faults", report.sound),
    ]


def _accepted_claim(jobs: list[Job], callers: list[Caller], count: int, told: str) -> Claim:
    answered = [ids for caller in callers for ids in caller.accepted.values()]
    double = sum(len(ids) > 1 for ids in answered)
    lost = set().union(*answered) - {job.id for job in jobs}
    seen = f"{len(jobs)} jobs of {len(answered)} accepted, {len(lost)} lost, {double} double; killed: {told}"
    kept = len(jobs) == len(answered) == count and not lost and not double
    return Claim("each job that was accepted is there, once", seen, kept)


def _ended_claim(jobs: list[Job], rows: dict[str, list[JobQuestion]]) -> Claim:
    states = Counter(job.state for job in jobs)
    wrong = [job.id for job in jobs if not _has_ended_well(job, rows[job.id])]
    again = sum(row.attempts > 1 for found in rows.values() for row in found)
    told = ", ".join(f"{number} {state}" for state, number in sorted(states.items()))
    seen = f"{told}; {sum(map(len, rows.values())):,} questions, {again} asked again; {len(wrong)} wrong"
    return Claim("each has ended with its results, or a reason", seen, not wrong)


def _has_ended_well(job: Job, rows: list[JobQuestion]) -> bool:
    ended = [row for row in rows if row.outcome in OUTCOME_BY_REASON and json.loads(row.body)]
    complete = len(rows) == job.total and len(ended) == job.ended
    return complete and (job.reason != "" if job.state in ("failed", "cancelled") else job.ended == job.total)


def _told_claim(jobs: list[Job], receiver: WebhookReceiver) -> Claim:
    ends = Counter(message.headers["webhook-id"] for message in receiver.messages)
    wrong = [job.id for job in jobs if receiver.taken.get(f"job_{job.id}", {}).get("state") != job.state]
    repeated = sum(ends[f"job_{job.id}"] - 1 for job in jobs if ends[f"job_{job.id}"])
    return Claim(
        "the address of each job was told its end", f"{len(wrong)} not or wrong; {repeated} told again", not wrong
    )


def _record_claims(jobs: list[Job], rows: dict[str, list[JobQuestion]], records: list[Any]) -> list[Claim]:
    changes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    asked: Counter[str] = Counter()
    for record in records:
        if record["event_type"] == "job_change":
            changes[record["details"]["job_id"]][record["details"]["change"]] += 1
        elif record["event_type"] == "query_execution":
            asked[record["trace_id"]] += 1
    expected = {
        job.id: {"submitted", job.state, "delivered"} | ({"started"} if job.started_at else set()) for job in jobs
    }
    wrong = [job_id for job_id, names in expected.items() if set(changes[job_id]) != names]
    repeated = sum(times - 1 for found in changes.values() for times in found.values())
    short = [job.id for job in jobs if asked[job.traceparent.split("-")[1]] < job.ended - _unasked(rows[job.id])]
    return [
        Claim(
            "each job's record says what became of it",
            f"{len(wrong)} wrong; {repeated} said again, as the kill fell between record and store",
            not wrong,
        ),
        Claim("each result has a record of its question", f"{len(short)} jobs with fewer", not short),
    ]


def _unasked(rows: list[JobQuestion]) -> int:
    """Questions that ended without having been asked to their end: those that a worker was killed over each time."""
    return sum(row.outcome == "worker_lost" for row in rows)
