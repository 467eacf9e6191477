"""A batch over several processes is one trace, as a collector receives it; and how soon a worker begins a job."""

from __future__ import annotations

import gzip
import http.client
import json
import secrets
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer.operate.child import Child, becomes_true, own_command, wait_until
from sql_synthesizer.store import Store
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.service import ServiceProcess

QUESTION = "how many products have price over {:.6f}"
ANSWER = "SELECT count(*) FROM products WHERE price > {}"
BATCH = 50
WORKERS = 2
"""Beside the one of the service."""
PICKED = 20
"""Jobs whose start is timed."""
LIMIT = 120.0
SETTINGS: dict[str, object] = {"job_threads": 1, "rate_limit": "", "cache": "off", "audit_verify_minutes": 0}


class Collector:
    """Takes spans over OTLP/HTTP: (service, instance, span) each."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str, Any]] = []
        self._server = HttpServer(_Handler, self)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    def take(self, request: Any) -> None:
        """Keeps what a process has sent."""
        for group in request.resource_spans:
            known = {item.key: item.value.string_value for item in group.resource.attributes}
            place = known.get("service.name", ""), known.get("service.instance.id", "")
            self.spans += [(*place, span) for scope in group.scope_spans for span in scope.spans]


class _Handler(HttpHandler):
    server: HttpServer[Collector]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.owner.take(ExportTraceServiceRequest.FromString(body))
        self.send_reply(200)


def prove_batch(home: Path, wakeups: Mapping[str, object]) -> list[Claim]:
    """Has a batch answered by the service's worker and two more, which wake as the settings ``wakeups`` say."""

    def answer(question: str) -> str:
        time.sleep(0.1)  # so that every worker has its share
        return ANSWER.format(question.rpartition(" ")[2])

    with ExitStack() as stack:
        collector, model = stack.enter_context(Collector()), stack.enter_context(FakeOpenAI(answer))
        given = {"openai_base_url": model.base_url, "openai_api_key": "none", "otlp_endpoint": collector.url}
        service = stack.enter_context(ServiceProcess(home, {**SETTINGS, **given, **wakeups}))
        picked = sorted(_time_pickup(service) for _ in range(PICKED))
        for number in range(WORKERS):
            command, log = own_command("worker", "--threads", "1"), home / f"{number}.log"
            worker = Child("a worker", command, log=log, environment=service.environment)
            stack.callback(worker.stop)
            worker.start()
        wait_until(lambda: _workers(service) == WORKERS + 1, LIMIT, "all workers live")
        trace_id, parent_id = secrets.token_hex(16), secrets.token_hex(8)
        job = _submit(service, BATCH, f"00-{trace_id}-{parent_id}-01")
        wait_until(lambda: _get(service, job)["ended_at"], LIMIT, "the batch ends")
        becomes_true(lambda: _trace_claim(collector, trace_id, parent_id).kept, LIMIT, poll=0.5)
    how = f"{wakeups.get('job_wakeups', 'poll')}: median {median(picked):.3f} s, most {picked[-1]:.3f} s of {PICKED}"
    return [_trace_claim(collector, trace_id, parent_id), Claim("from a submission to its start", how, None)]


def _trace_claim(collector: Collector, trace_id: str, parent_id: str) -> Claim:
    found = [(name, place, span) for name, place, span in collector.spans if span.trace_id.hex() == trace_id]
    ids = Counter(span.span_id.hex() for *_, span in found)
    orphans = [span for *_, span in found if span.parent_span_id.hex() not in {*ids, parent_id}]
    double = sum(count - 1 for count in ids.values())
    places = {place for _, place, _ in found}
    unnamed = sum(not name for name, *_ in found)
    asked = sum(span.name == "process jobs" for *_, span in found)
    seen = (
        f"{len(found)} spans of {len(places)} processes, {asked} questions; "
        f"{len(orphans)} orphans, {double} ids twice, {unnamed} of no service"
    )
    whole = len(places) >= WORKERS + 2 and asked == BATCH
    return Claim(f"a batch of {BATCH} is one connected trace", seen, whole and not (orphans or double or unnamed))


def _time_pickup(service: ServiceProcess) -> float:
    """Seconds from the submission of a job to its start, by the service's own clock."""
    job = _submit(service, 1)
    wait_until(lambda: _get(service, job)["ended_at"], LIMIT, "a job ends")
    found = _get(service, job)
    begin, start = (datetime.fromisoformat(found[name]) for name in ("submitted_at", "started_at"))
    return (start - begin).total_seconds()


def _workers(service: ServiceProcess) -> int:
    with closing(Store(None, service.state)) as store:
        return len(store.jobs(lambda *_: None).workers())


def _submit(service: ServiceProcess, count: int, traceparent: str = "") -> str:
    questions = [QUESTION.format(secrets.randbelow(10**9) / 1e6) for _ in range(count)]
    return str(_send(service, "POST", "/api/jobs", {"questions": questions}, traceparent)["id"])


def _get(service: ServiceProcess, job: str) -> dict[str, Any]:
    return _send(service, "GET", f"/api/jobs/{job}", None, "")


def _send(service: ServiceProcess, method: str, path: str, body: Any, traceparent: str) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {service.key}", "Content-Type": "application/json"}
    if traceparent:
        headers["traceparent"] = traceparent
    with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=LIMIT)) as connection:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        found: dict[str, Any] = json.loads(connection.getresponse().read())
        return found
