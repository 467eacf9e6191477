"""What slow, idle and absent clients do to a WSGI server, and what becomes of requests when a process of it ends.

The same small application stands behind each server. Waitress and granian are measured when ``--candidates`` names a
directory that they are installed in, by ``pip install --target DIRECTORY waitress granian``; the service needs neither.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import psutil
from werkzeug.wsgi import ClosingIterator

from sql_synthesizer.errors import SqlSynthesizerError
from sql_synthesizer.web.connection import REFUSAL

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

THREADS = 8
MANY = 3 * THREADS
PATIENCE = 5.0
"""Seconds after which a reply is taken to never come."""
REQUESTS = 200
"""Requests while workers are recycled, which gunicorn does after 20 each."""
GUNICORN = "gunicorn --threads 8 --workers {workers} --bind 127.0.0.1:{port} --no-control-socket --log-level critical"
SERVERS = {
    "gthread": f"{GUNICORN} --worker-class gthread",
    "ours": f"{GUNICORN} --worker-class sql_synthesizer.web.worker.RequestWorker --no-sendfile",
    "waitress": "waitress --host 127.0.0.1 --port {port} --threads 8 --connection-limit 1100 --asyncore-use-poll",
    "granian": "granian --interface wsgi --host 127.0.0.1 --port {port} --workers {workers} --blocking-threads 8"
    " --no-log --respawn-failed-workers",
}
"""Server -> the module to run and its arguments; two worker processes where it has any."""
RECYCLING = {"gthread": " --max-requests 20", "ours": " --max-requests 20"}

HEAD = b" HTTP/1.1\r\nHost: x\r\n"
CLIENTS = {
    "half a header": b"GET /live" + HEAD + b"X: ",
    "half a body": b"POST /" + HEAD + b"Content-Length: 9\r\n\r\n1",
    "half a chunk": b"POST /" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n1",
    "not reading": b"GET /large" + HEAD + b"\r\n",
    "not closing": b"GET /live" + HEAD + b"Connection: close\r\n\r\n",
}


class Application:
    """Answers at once, late, or much."""

    config: ClassVar = {"MAX_CONTENT_LENGTH": 65_536}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal: SqlSynthesizerError | None = environ.get(REFUSAL)
        if refusal is not None:
            start_response(f"{refusal.status} Refused", [("Content-Type", "application/json")])
            return ClosingIterator([json.dumps(refusal.body("")).encode()])
        path = environ["PATH_INFO"]
        if path == "/slow":
            time.sleep(2.0)
        body = b"x" * 4_000_000 if path == "/large" else b"%d" % os.getpid()
        length = len(environ["wsgi.input"].read())
        start_response("200 OK", [("Content-Length", str(len(body))), ("X-Body", str(length))])
        return ClosingIterator([body])


application = Application()


class Server:
    """A server on a port of its own."""

    def __init__(self, name: str, candidates: Path | None, *, workers: int = 1, more: str = "") -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        command = (SERVERS[name] + more).format(port=self.port, workers=workers)
        path = os.pathsep.join([str(Path.cwd()), *([str(candidates)] if candidates else [])])
        self.process = subprocess.Popen(
            [sys.executable, "-m", *command.split(), "benchmarks.slow_clients:application"],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while self.ask("/live") is None:
            if self.process.poll() is not None:
                raise SystemExit(f"{name} does not start")
            time.sleep(0.05)

    def connect(self, sent: bytes = b"") -> socket.socket:
        """A client that has sent this, and takes little in before it reads."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", self.port))
        client.sendall(sent)
        return client

    def ask(self, path: str) -> bytes | None:
        """The reply to a request on a connection of its own; None when none comes."""
        received = b""
        with (
            suppress(OSError),
            closing(self.connect(f"GET {path}".encode() + HEAD + b"Connection: close\r\n\r\n")) as client,
        ):
            while data := client.recv(65536):
                received += data
        return received if received.startswith(b"HTTP/1.1 200 ") else None

    def cpu_seconds(self) -> float:
        """CPU of all processes so far."""
        processes = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(sum(process.cpu_times()[:2]) for process in processes)

    def close(self) -> None:
        """Ends all processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


Case = Callable[["Start"], str]
Start = Callable[..., Any]


def time_reply(server: Server) -> str:
    """How long a client waits that comes now."""
    begun = time.perf_counter()
    if server.ask("/live") is None:
        return f"none in {PATIENCE:g} s"
    return f"{(time.perf_counter() - begun) * 1000:.0f} ms"


def while_held(number: int, sent: bytes) -> Case:
    """A reply while so many clients have sent this."""

    def measure(start: Start) -> str:
        with start() as server, ExitStack() as stack:
            try:
                for _ in range(number):
                    stack.enter_context(closing(server.connect(sent)))
            except OSError:
                return "refuses connections"
            time.sleep(0.5)
            return time_reply(server)

    return measure


def after_leaving(start: Start) -> str:
    """A reply after clients left in the midst of their body."""
    with start() as server:
        for _ in range(MANY):
            with closing(server.connect(CLIENTS["half a body"])) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return time_reply(server)


def time_limit(name: str) -> Case:
    """When the server ends the wait for one slow client, and how."""

    def measure(start: Start) -> str:
        with start() as server, closing(server.connect(CLIENTS[name])) as client:
            begun = time.monotonic()
            client.settimeout(40)
            try:
                data = client.recv(65536)
            except TimeoutError:
                return "never (40 s)"
            except OSError:
                data = b""
            return f"{status_of(data)} after {time.monotonic() - begun:.0f} s"

    return measure


def refusal(sent: bytes) -> Case:
    """The reply to what is no request."""

    def measure(start: Start) -> str:
        with start() as server, closing(server.connect(sent)) as client:
            try:
                data = client.recv(65536)
            except OSError:
                return "none"
            return status_of(data)

    return measure


def status_of(reply: bytes) -> str:
    """Status and type of a reply."""
    if not reply:
        return "closed"
    kind = next((line[14:] for line in reply.split(b"\r\n") if line.lower().startswith(b"content-type: ")), b"no type")
    return f"{reply.split()[1].decode()} {kind.decode().partition(';')[0]}"


def drain(start: Start) -> str:
    """SIGTERM with a request in flight, and another client that has sent half a header."""
    with start() as server, closing(server.connect(CLIENTS["half a header"])):
        with closing(server.connect(b"GET /slow" + HEAD + b"\r\n")) as client:
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            begun = time.monotonic()
            try:
                answered = "answered" if client.recv(65536) else "cut"
            except OSError:
                answered = "cut"
        try:
            server.process.wait(40)
        except subprocess.TimeoutExpired:
            return f"{answered}, not ended in 40 s"
        return f"{answered}, ended after {time.monotonic() - begun:.1f} s with {server.process.returncode}"


def kill_worker(start: Start) -> str:
    """One of two workers is killed."""
    with start(workers=2) as server:
        reply = server.ask("/live") or b""
        victim = int(reply.rpartition(b"\r\n")[2])
        if victim == server.process.pid:
            return "no workers"
        os.kill(victim, signal.SIGKILL)
        failed, begun, seen = 0, time.monotonic(), set[bytes]()
        while time.monotonic() - begun < 15:
            reply = server.ask("/live")
            failed += reply is None
            seen |= {reply.rpartition(b"\r\n")[2]} if reply else set()
            if server.process.poll() is not None:
                return "all of it ended"
            if len(seen) == 2:
                return f"replaced in {time.monotonic() - begun:.1f} s, {failed} failed"
        return f"not replaced in 15 s, {failed} failed"


def ordinary(start: Start) -> str:
    """CPU of an ordinary request, on a connection that is kept."""
    with start() as server, closing(server.connect()) as client:
        reading = client.makefile("rb")
        for number in range(REQUESTS * 11):
            if number == REQUESTS:
                before = server.cpu_seconds()
            client.sendall(b"GET /live" + HEAD + b"\r\n")
            length = 0
            while (line := reading.readline()) != b"\r\n":
                length = int(line[16:]) if line.lower().startswith(b"content-length: ") else length
            reading.read(length)
        return f"{(server.cpu_seconds() - before) / REQUESTS / 10 * 1e6:.0f} µs"


def recycle(name: str) -> Case:
    """Requests that failed while workers were recycled by their number of requests."""

    def measure(start: Start) -> str:
        if name not in RECYCLING:
            return "not by requests"
        with start(workers=2, more=RECYCLING[name]) as server:
            failed = sum(server.ask("/live") is None for _ in range(REQUESTS))
            return f"{failed} of {REQUESTS} failed"

    return measure


def cases(name: str) -> Iterator[tuple[str, Case]]:
    """What is measured of a server."""
    for kind, sent in CLIENTS.items():
        yield f"reply beside {MANY} clients: {kind}", while_held(MANY, sent)
    yield "reply beside 1,000 idle connections", while_held(1000, b"")
    yield "reply beside 1,000 halves of a header", while_held(1000, CLIENTS["half a header"])
    yield f"reply after {MANY} clients left", after_leaving
    yield "half a header ends", time_limit("half a header")
    yield "half a body ends", time_limit("half a body")
    yield "no such version", refusal(b"GET / HTTP/9.9\r\n\r\n")
    yield "address of 100 kB", refusal(b"GET /" + b"x" * 100_000 + HEAD + b"\r\n")
    yield (
        "length and chunks",
        refusal(b"POST /" + HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    )
    yield "SIGTERM with a request in flight", drain
    yield "a killed worker", kill_worker
    yield "recycling", recycle(name)
    yield "CPU of an ordinary request", ordinary


def main() -> None:
    """Prints a row for each case and a column for each server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=Path, help="directory that waitress and granian are installed in")
    candidates = parser.parse_args().candidates
    names = list(SERVERS) if candidates else list(SERVERS)[:2]

    def starter(name: str) -> Start:
        @contextmanager
        def start(**options: Any) -> Iterator[Server]:
            with closing(Server(name, candidates, **options)) as server:
                yield server

        return start

    print("|", " | ".join(["", *names]), "|\n|---" + "|---" * len(names) + "|")
    for rows in zip(*(cases(name) for name in names), strict=True):
        cells = [measure(starter(name)) for name, (_, measure) in zip(names, rows, strict=True)]
        print("|", " | ".join([rows[0][0], *cells]), "|", flush=True)


if __name__ == "__main__":
    main()
