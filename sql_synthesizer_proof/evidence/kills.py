"""A worker is killed again and again under load: whatever was answered is on record, once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from sql_synthesizer.audit import read_records
from sql_synthesizer.audit.anchor import read_anchors
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.operate.child import wait_until
from sql_synthesizer_proof.drill.faults.locks import run_in_background
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.service import ServiceProcess

WORKERS = 2
CALLERS = 8
SETTINGS: dict[str, object] = {"workers": WORKERS, "rate_limit": "", "cache": "off", "audit_segment_bytes": 200_000}
NEW_CONNECTION = 0.1
"""Share of requests after which a caller reconnects, so that a new worker gets callers too."""
FEW = 5
"""Records that an edit of a segment needs at least."""
KILL_EVERY = (0.1, 0.5)
"""Seconds between a worker's first answers and its end."""
COUNTED = "SELECT count(*) FROM orders WHERE id > {}"
REFUSED = "DELETE FROM orders WHERE id = {}"
ENDS = {"/api/query": "query_execution", "/api/sql": "query_execution", "/api/schema": "schema_access"}
"""What each kind of request leaves exactly one record of."""


class Load:
    """Callers that ask without a pause, and note the trace of each reply that came."""

    def __init__(self, service: ServiceProcess) -> None:
        self._service = service
        self._lock = threading.Lock()
        self.replies: dict[str, str] = {}
        """Trace id -> event type that has to be on record."""
        self.answers: Counter[str] = Counter()

    def send_requests(self, stop: threading.Event) -> None:
        """One caller, until ``stop``."""
        choose = random.Random()
        with self._service.client() as client:
            while not stop.is_set():
                path, body = choose.choice(
                    (
                        ("/api/query", {"question": f"how many products have price over {choose.random():.6f}"}),
                        ("/api/query", {"question": f"what will the weather be in {choose.randrange(10_000)} days"}),
                        ("/api/sql", {"sql": COUNTED.format(choose.randrange(10_000))}),
                        ("/api/sql", {"sql": REFUSED.format(choose.randrange(10_000))}),
                        ("/api/schema", None),
                    )
                )
                answer = client.send("POST" if body else "GET", path, body)
                with self._lock:
                    self.answers[answer] += 1
                    if client.trace:
                        self.replies[client.trace] = ENDS[path]
                if answer == "unreachable":
                    time.sleep(0.05)
                elif choose.random() < NEW_CONNECTION:
                    client.close()


def prove_kills(home: Path, count: int) -> tuple[list[Claim], ServiceProcess]:
    """The claims, and the ended service, whose record further edits can be tried on."""
    service = ServiceProcess(home, SETTINGS)
    load, choose = Load(service), random.Random(1)
    with service:
        with run_in_background(load.send_requests, CALLERS):
            for _ in range(count):
                before = len(load.replies)
                wait_until(lambda before=before: len(load.replies) > before + CALLERS, 30, "the service answers")  # type: ignore[misc]
                time.sleep(choose.uniform(*KILL_EVERY))
                service.kill_worker(lambda worker: _count_records(service, worker) > 0)
        wait_until(lambda: _are_ready_to_edit(service), 30, "the workers are back")
    return _build_claims(service, load, count), service


def _count_records(service: ServiceProcess, worker: psutil.Process) -> int:
    """The records in the worker's last segment."""
    last = max((service.state / "audit").glob(f"*-{worker.pid}-*"), default=None)
    return last.read_bytes().count(b"\n") if last else 0


def _are_ready_to_edit(service: ServiceProcess) -> bool:
    """Whether each worker has enough on record; one more request brings them nearer to it."""
    with service.client() as client:
        client.send("GET", "/api/schema")
    return sum(_count_records(service, worker) >= FEW for worker in service.web_processes()[1:]) == WORKERS


def _build_claims(service: ServiceProcess, load: Load, count: int) -> list[Claim]:
    place = service.state / "audit"
    records = list(read_records(place, report=lambda *_: None))
    recorded = Counter((record["trace_id"], record["event_type"]) for record in records)
    missing = [trace for trace, event in load.replies.items() if not recorded[trace, event]]
    double = [key for key, times in recorded.items() if times > 1 and key[1] in ENDS.values()]
    places = Counter((record["writer"], record["sequence"]) for record in records)
    repeated = sum(times - 1 for times in places.values())
    anchors = list(read_anchors(service.child.log))
    report = verify_record(place, Keyring(place.with_name("audit.key")), anchors=anchors)
    replies = f"{len(load.replies):,} replies of {sum(load.answers.values()):,} requests"
    first = f"; first: {report.faults[0]}" if report.faults else ""
    sound = (
        f"{report.records:,} records of {report.writers} writers, {len(anchors)} anchors, {len(report.faults)} faults"
    )
    return [
        Claim(f"every reply is on record after {count} kills", f"{replies}, {len(missing)} missing", not missing),
        Claim("no record is there twice", f"{len(double)} double, {repeated} repeated", not double and not repeated),
        Claim("the chain verifies", sound + first, report.sound),
    ]
