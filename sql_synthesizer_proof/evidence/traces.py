"""Sends mixed requests, each in a trace of its own, and looks for every one in spans, log, audit record and exemplars.

Jobs are among them, whose worker is killed halfway; before that, a worker of the web server is.
A slow request is sent when Prometheus has shown the one before: so each is the newest of its series at a scrape.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from sql_synthesizer.audit import read_records
from sql_synthesizer.demo import create_demo
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring.trace_reading import find_trace
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.operate.watchers import Watcher, run_prometheus
from sql_synthesizer_proof.service import ServiceProcess

LIMIT = 60.0
"""Seconds that a request, a job or a look at Prometheus may take."""
CALLERS = 4
SLOW = 1.0
"""Seconds from which on the service of this proof calls a request slow."""
SIGNALS = ("spans", "log", "audit", "exemplars")
DATABASES = ("shop", "broken")
SLOW_SQL = "SELECT count(*) FROM orders AS a CROSS JOIN customers AS b WHERE a.id <= b.id"
ANEW = "how many products have price over {}"
END = b"\r\n\r\n"
KEPT_WITHIN = 2.0
"""Seconds after its end within which the spans of a request are in the store of traces."""
RESET = struct.pack("ii", 1, 0)
"""The option that ends a connection at once, without a farewell."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of request, with its share of all and the ``statuses`` that it may have; none where nobody reads them."""

    name: str
    weight: int
    path: str
    body: Callable[[int], Mapping[str, object]]
    statuses: tuple[int, ...] = (200,)


def _ask(text: str, **more: object) -> Callable[[int], Mapping[str, object]]:
    return lambda number: {"question": text.format(number), **more}


def _job(number: int, questions: list[str]) -> Mapping[str, object]:
    return {"questions": questions, "idempotency_key": f"trace-{number}"}


KINDS = (
    Kind("answered", 30, "/api/query", _ask(ANEW)),
    Kind("answered from the cache", 10, "/api/query", _ask("how many customers are there")),
    Kind("declined", 15, "/api/query", _ask("please sing {} songs"), (422,)),
    Kind("refused", 7, "/api/query", _ask("x' OR {0}={0}; DROP TABLE customers --"), (400, 403, 422)),
    Kind("failing", 10, "/api/query", _ask(ANEW, database="broken"), (502, 503)),
    Kind("caller gone", 10, "/api/query", _ask(ANEW), ()),
    Kind(
        "job", 9, "/api/jobs", lambda number: _job(number, [ANEW.format(number), f"please sing {number} songs"]), (202,)
    ),
    Kind("job, cancelled", 6, "/api/jobs", lambda number: _job(number, [ANEW.format(number)] * 20), (202,)),
    Kind("slow", 3, "/api/sql", lambda number: {"sql": f"{SLOW_SQL} AND {number} = {number}"}),
)


@dataclass(slots=True)
class Sent:
    """A request: its trace and the caller's span, what came back, and where the trace was ``found``."""

    kind: Kind
    number: int
    trace_id: str
    span_id: str
    status: int = 0
    job: str = ""
    found: set[str] = field(default_factory=set)
    orphans: int = 0
    duplicates: int = 0
    ended: float = 0.0
    cut: bool = False
    """Whether the process that answered it was killed meanwhile, or at once afterwards."""

    @property
    def wanted(self) -> set[str]:
        """Where the trace has to be found."""
        if self.cut:
            return {"audit"}
        return set(SIGNALS) if self.kind.name == "slow" else {*SIGNALS} - {"exemplars"}

    @property
    def complete(self) -> bool:
        """Whether it is wherever it has to be, in one connected tree, and the reply was as expected."""
        answered = not self.kind.statuses or self.status in self.kind.statuses
        connected = self.cut or not self.orphans
        return answered and self.wanted <= self.found and connected and not self.duplicates


class Prober:
    """Sends requests to a service, and looks for what they left."""

    def __init__(self, service: ServiceProcess, prometheus: Watcher | None) -> None:
        self._service = service
        self._prometheus = prometheus
        self._address = urlsplit(service.url).netloc
        self._began = time.time()
        self._lock = threading.Lock()
        self._under_way: dict[str, Sent] = {}

    def run(self, sent: Sequence[Sent]) -> None:
        """Sends everything, kills a worker of each kind meanwhile, waits for jobs to end, and looks for each trace."""
        waiting = [one for one in sent if one.kind.name != "slow"]
        half = len(waiting) // 2
        early = len(waiting) * 3 // 4

        def send_next() -> None:
            with suppress(IndexError):
                while True:
                    self._send(waiting.pop())
                    if len(waiting) == early:
                        self._kill_web_worker(sent)
                    if len(waiting) == half:
                        self._kill_job_worker()

        callers = [threading.Thread(target=send_next) for _ in range(CALLERS)]
        slow = [one for one in sent if one.kind.name == "slow"]
        callers.append(threading.Thread(target=self._send_slow, args=(slow,)))
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self._await_jobs([one.job for one in sent if one.job])
        becomes_true(lambda: self._look(sent), LIMIT, poll=1.0)

    def _kill_web_worker(self, sent: Sequence[Sent]) -> None:
        """Kills a worker of the web server with what it has under way; nobody read the replies that are sent again."""
        before = time.monotonic() - KEPT_WITHIN
        self._service.kill_worker()
        with self._lock:
            cut = [one for one in sent if one.trace_id in self._under_way or one.ended > before]
            for one in cut:
                one.cut = True
        for one in cut:
            if not one.kind.statuses:
                self._send(one)

    def _kill_job_worker(self) -> None:
        for process in self._service.child.processes():
            with suppress(psutil.Error):
                if "worker" in process.cmdline():
                    process.kill()

    def _send_slow(self, sent: Sequence[Sent]) -> None:
        for one in sent:
            self._send(one)
            becomes_true(lambda one=one: self._prometheus is None or one.trace_id in self._exemplars(), LIMIT)  # type: ignore[misc]

    def _send(self, one: Sent) -> None:
        """Sends a request, again until somebody takes it."""
        with self._lock:
            self._under_way[one.trace_id] = one
        becomes_true(lambda: self._try_sending(one), LIMIT, poll=0.2)
        with self._lock:
            one.ended = time.monotonic()
            self._under_way.pop(one.trace_id, None)

    def _try_sending(self, one: Sent) -> bool:
        body = json.dumps(one.kind.body(one.number)).encode()
        headers = self._headers(one)
        if not one.kind.statuses:
            return self._send_and_leave(one, body, headers)
        one.status, reply = self._request("POST", one.kind.path, body, headers)
        if one.kind.path == "/api/jobs" and one.status == http.client.ACCEPTED:
            one.job = reply["id"]
            if one.kind.name == "job, cancelled":
                self._request("DELETE", f"/api/jobs/{one.job}", None, headers)
        return one.status != 0

    def _send_and_leave(self, one: Sent, body: bytes, headers: Mapping[str, str]) -> bool:
        lines = [f"POST {one.kind.path} HTTP/1.1", f"Host: {self._address}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        host, _, port = self._address.partition(":")
        with suppress(OSError), socket.create_connection((host, int(port)), LIMIT) as connection:
            connection.sendall("\r\n".join(lines).encode() + END + body)
            time.sleep(0.002)  # what is reset at once is not read
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            return True
        return False

    def _headers(self, one: Sent) -> dict[str, str]:
        return {"traceparent": f"00-{one.trace_id}-{one.span_id}-01", **self._credentials}

    @property
    def _credentials(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Authorization": f"Bearer {self._service.key}"}

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._address, timeout=LIMIT)
        try:
            connection.request(method, path, body, dict(headers))
            reply = connection.getresponse()
            return reply.status, json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()

    def _await_jobs(self, jobs: Sequence[str]) -> None:
        def ended(job: str) -> bool:
            _, body = self._request("GET", f"/api/jobs/{job}", None, self._credentials)
            return body.get("state") not in ("queued", "running")

        for job in jobs:
            becomes_true(lambda job=job: ended(job), LIMIT)  # type: ignore[misc]

    # --- looking --------------------------------------------------------------------------------

    def _look(self, sent: Sequence[Sent]) -> bool:
        """Notes where each trace is found; whether nothing is missing."""
        records = {record["trace_id"] for record in read_records(self._service.state / "audit", report=lambda *_: None)}
        logged = set(_logged_traces(self._service.child.log)) if self._service.child.log else set()
        exemplars = self._exemplars()
        for one in sent:
            one.found |= {
                name
                for name, ids in (("log", logged), ("audit", records), ("exemplars", exemplars))
                if one.trace_id in ids
            }
            self._look_for_spans(one)
        return all(one.complete for one in sent)

    def _look_for_spans(self, one: Sent) -> None:
        stored = find_trace(self._service.state / "traces.sqlite", one.trace_id)
        if stored is None:
            return
        one.found.add("spans")
        counted = Counter(span["span_id"] for span in stored.spans)
        one.duplicates = sum(count - 1 for count in counted.values())
        known = {*counted, one.span_id}
        one.orphans = sum(span["parent_id"] not in known for span in stored.spans)

    def _exemplars(self) -> set[str]:
        if self._prometheus is None:
            return set()
        asked = {"query": '{__name__=~"sql_synthesizer_.+_bucket"}', "start": f"{self._began:.3f}"}
        with suppress(OSError, LookupError):
            found = self._prometheus.get("/api/v1/query_exemplars", **asked, end=f"{time.time():.3f}")["data"]
            return {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]}
        return set()


def _logged_traces(log: Path) -> Iterator[str]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, AttributeError):
            if trace_id := json.loads(line).get("trace_id"):
                yield trace_id


def make_requests(count: int) -> list[Sent]:
    """A mix of ``count`` requests, at least one of each kind, in any order."""
    weights = sum(kind.weight for kind in KINDS)
    kinds = [kind for kind in KINDS for _ in range(max(1, round(count * kind.weight / weights)))]
    random.shuffle(kinds)
    return [
        Sent(kind, number, f"{random.getrandbits(128) or 1:032x}", f"{random.getrandbits(64) or 1:016x}")
        for number, kind in enumerate(kinds, 1)
    ]


def prove_traces(home: Path, count: int) -> list[Sent]:
    """Sends ``count`` requests to a private service in ``home``, watched by Prometheus where there is one."""
    sent = make_requests(count)
    with ExitStack() as stack:
        service = stack.enter_context(ServiceProcess(home, _make_settings(home)))
        (home / "broken.sqlite").write_bytes(b"no database any more " * 1000)
        prometheus = stack.enter_context(_watch(home / "prometheus", service))
        Prober(service, prometheus).run(sent)
    if prometheus is None:
        for one in sent:
            one.found.add("exemplars")  # it cannot be shown on this machine, as the table says
    return sent


def _make_settings(home: Path) -> dict[str, object]:
    home.mkdir(parents=True, exist_ok=True)
    databases = home / "databases.yml"
    for name in DATABASES:
        create_demo(home / f"{name}.sqlite")
    entries = {name: {"url": f"sqlite:///{home / name}.sqlite"} for name in DATABASES}
    databases.write_text(json.dumps({"databases": entries}), encoding="utf-8")
    limits = {"rate_limit": "", "suspicion_limit": "", "failed_login_limit": ""}
    told = {"trace_ratio": 1.0, "trace_slow": SLOW, "databases_file": databases, "audit_verify_minutes": 0}
    return {**limits, **told, "job_threads": 2, "canary_seconds": 0, "log_level": "info"}


@contextmanager
def _watch(home: Path, service: ServiceProcess) -> Iterator[Watcher | None]:
    """Prometheus, which scrapes the service every second; None where it is not installed."""

    def scrape_often(config: dict[str, Any]) -> None:
        config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}

    with ExitStack() as stack:
        try:
            targets = {"sql-synthesizer": [service.metrics_address]}
            watcher = stack.enter_context(run_prometheus(home, targets, change=scrape_often))
        except ConfigurationError:
            watcher = None
        yield watcher


# --- reports ---------------------------------------------------------------------------------


def as_text(sent: Sequence[Sent]) -> str:
    """A table: for each kind how many were sent, and for what share of them the trace is found in each signal."""
    line = "{:<26}{:>9}{:>9}{:>9}{:>9}{:>11}{:>9}{:>12}  {}".format
    lines = [line("kind", "requests", *SIGNALS, "orphans", "duplicates", "statuses")]
    by_kind: defaultdict[str, list[Sent]] = defaultdict(list)
    for one in sent:
        by_kind[one.kind.name].append(one)
    for name, group in [*by_kind.items(), ("all", list(sent))]:
        cells = [_share(group, signal) for signal in SIGNALS]
        statuses = "" if name == "all" else " ".join(map(str, sorted({one.status for one in group if one.status})))
        broken = sum(one.orphans for one in group), sum(one.duplicates for one in group)
        lines.append(line(name, len(group), *cells, *broken, statuses).rstrip())
    missing = [one for one in sent if not one.complete]
    lines += [f"{one.kind.name}: {one.trace_id} {one.status} only in {sorted(one.found)}" for one in missing[:20]]
    cut = sum(one.cut for one in sent)
    lines.append(f"{cut} were cut by the kill of a web worker: what it had not folded is on record alone")
    return "\n".join([*lines, f"{len(sent) - len(missing)} of {len(sent)} requests are wherever they have to be"])


def _share(group: Sequence[Sent], signal: str) -> str:
    wanted = [one for one in group if signal in one.wanted]
    return f"{100 * sum(signal in one.found for one in wanted) / len(wanted):.1f} %" if wanted else "-"


def as_json(sent: Sequence[Sent]) -> str:
    """Everything that was seen, for programs."""
    rows = [
        {"kind": one.kind.name, "trace_id": one.trace_id, "status": one.status, "found": sorted(one.found)}
        | {"orphans": one.orphans, "duplicates": one.duplicates, "complete": one.complete}
        for one in sent
    ]
    return json.dumps(rows, indent=2) + "\n"
