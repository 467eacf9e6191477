"""The worker process of the web server: one loop waits for all clients, and a thread is for a request that has come.

Gunicorn's threaded worker gives a thread to each connection, which reads the request and writes the reply at the
client's pace. Here the loop does both, under limits of size, time and number.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from gunicorn.http import RequestParser, wsgi
from gunicorn.workers.gthread import ThreadWorker

from sql_synthesizer.errors import RequestTimeout, SqlSynthesizerError, UnexpectedError
from sql_synthesizer.web.connection import REFUSAL, ClientSocket, Connection, allowed_time

if TYPE_CHECKING:
    from collections.abc import Callable

STAND_IN = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
"""Stands in for a request that cannot be understood."""
READ_BYTES = 65_536
"""Bytes taken from a client in one turn of the loop."""
LINGER = 2.0
"""Seconds in which a client may take in the last reply, or send what it has begun when the worker stops."""
UNSENT_BYTES = 64_000_000
"""Replies that slow clients have yet to take; beyond, the one that waits longest is cut."""
SWEEP = 0.2
"""Seconds between two looks at the deadlines of clients."""
TELL_EVERY = 60.0
"""Seconds between two lines of the log that clients had to go."""
FULL = {errno.EMFILE, errno.ENFILE}


class RequestWorker(ThreadWorker):
    """Gunicorn's threaded worker, in which no client can hold a thread that is slow, idle or gone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.limit = 0
        """Bytes of the largest body, which the application says."""
        self._waiting: dict[Connection, None] = {}
        """Clients that the loop waits for, longest first; of the others a thread has the request."""
        self._answered: set[Connection] = set()
        """Those others, as long as it would be noticed that they leave."""
        self._doubted: set[Connection] = set()
        """Those that send no more, which have closed their connection or half of it."""
        self._swept = 0.0
        self._evicted, self._told = 0, float("-inf")

    def load_wsgi(self) -> None:
        """Loads the application, which has its limit of a body where Flask's have it."""
        super().load_wsgi()
        application: Any = self.wsgi
        self.limit = application.config["MAX_CONTENT_LENGTH"]

    # --- the loop ------------------------------------------------------------------------------

    def accept(self, listener: socket.socket) -> None:
        """Takes a client in; when there are too many, another has to go that has less to lose."""
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in FULL:
                self._evict_connection()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        if self.nr_conns >= self.worker_connections:
            self._evict_connection()
        client = Connection(self.cfg, ClientSocket(accepted), address, listener.getsockname(), self.limit)
        self._watch(client, selectors.EVENT_READ, self._receive)

    def wait_for_and_dispatch_events(self, timeout: float | None) -> None:
        """As gunicorn's, in time for the deadlines of who is waited for."""
        super().wait_for_and_dispatch_events(SWEEP if self._waiting or self._doubted else timeout)

    def murder_keepalived(self, force: bool = False) -> None:
        """Ends the wait for clients whose time is up: who has begun a request is told so."""
        now = time.monotonic()
        if now < self._swept + SWEEP and not force:
            return
        self._swept = now
        for client in list(self._doubted):
            if client.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._doubted.remove(client)
                client.sock.cancellation.cancel()
        for client in [client for client in self._waiting if force or client.deadline <= now]:
            if client.reading and not client.idle and not force:
                client.refuse(RequestTimeout())
                self._dispatch(client)
            else:
                self._drop(client)
        if self._evicted and now >= self._told + TELL_EVERY:
            self.log.warning("%d clients had to go: %d is the limit", self._evicted, self.worker_connections)
            self._evicted, self._told = 0, now

    def _cap_keepalive(self, deadline: float) -> None:
        """At a stop: a request that has not come whole by then is refused."""
        for client in self._waiting:
            if client.reading:
                client.deadline = min(client.deadline, deadline)

    def _receive(self, client: Connection) -> None:
        try:
            data = client.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._drop(client)
        elif client.receive(data):
            self._dispatch(client)

    def finish_request(self, conn: Connection, fs: Future[bool]) -> None:  # type: ignore[override]
        """Sends what the thread has left of its reply."""
        self._look_away(conn)
        conn.keep = not fs.cancelled() and fs.exception() is None and fs.result()
        self._guard_socket(conn, self._begin_sending)

    def _begin_sending(self, client: Connection) -> None:
        client.deadline = time.monotonic() + allowed_time(len(client.sock.unsent))
        self._send(client)
        if client.sock.unsent and sum(len(other.sock.unsent) for other in self._waiting) > UNSENT_BYTES:
            self._drop(next(other for other in self._waiting if other.sock.unsent))

    def _send(self, client: Connection) -> None:
        if not client.sock.flush():
            self._watch(client, selectors.EVENT_WRITE, self._send)
        elif not client.keep:
            client.sock.shutdown(socket.SHUT_WR)
            client.deadline = time.monotonic() + LINGER
            self._watch(client, selectors.EVENT_READ, self._drain)
        else:
            client.next_request(self.cfg.keepalive if self.alive else LINGER)
            if client.received and client.receive(b""):
                self._dispatch(client)
            else:
                self._watch(client, selectors.EVENT_READ, self._receive)

    def _drain(self, client: Connection) -> None:
        """Takes what a client sends after the last reply: closing on it could cost the client that reply."""
        if not client.sock.recv(READ_BYTES):
            self._drop(client)

    # --- who is waited for -----------------------------------------------------------------------

    def _watch(self, client: Connection, events: int, step: Callable[[Connection], None]) -> None:
        if client in self._waiting:
            self.poller.modify(client.sock, events, partial(self._take_step, client, step))
        else:
            self.poller.register(client.sock, events, partial(self._take_step, client, step))
            self._waiting[client] = None

    def _take_step(self, client: Connection, step: Callable[[Connection], None], _sock: socket.socket) -> None:
        if client in self._waiting:  # else it was dropped in the same turn of the loop
            self._guard_socket(client, step)

    def _guard_socket(self, client: Connection, step: Callable[[Connection], None]) -> None:
        try:
            step(client)
        except OSError:  # the client is gone
            self._drop(client)
        except Exception:
            self.log.exception("a connection failed")
            self._drop(client)

    def _dispatch(self, client: Connection) -> None:
        """Lets a thread answer, until the client leaves."""
        self._leave(client)
        client.sock.begin_request()
        self.poller.register(client.sock, selectors.EVENT_READ, partial(self._notice_end, client))
        self._answered.add(client)
        self.enqueue_req(client)

    def _notice_end(self, client: Connection, _sock: socket.socket) -> None:
        """Takes the request back when its client is gone; one that sends on already is not looked at any more.

        One that sends no more may still read, if it knows interim responses.
        """
        if client not in self._answered:  # it was answered in the same turn of the loop
            return
        self._look_away(client)
        try:
            ended = not client.sock.recv(1, socket.MSG_PEEK)
            if ended and client.request is not None and (client.request.version or (1, 0)) >= (1, 1):
                client.sock.probe_client()
                self._doubted.add(client)
        except BlockingIOError:
            return
        except OSError:
            client.sock.cancellation.cancel()

    def _look_away(self, client: Connection) -> None:
        self._doubted.discard(client)
        if client in self._answered:
            self._answered.remove(client)
            self.poller.unregister(client.sock)

    def _leave(self, client: Connection) -> None:
        if client in self._waiting:
            del self._waiting[client]
            self.poller.unregister(client.sock)

    def _drop(self, client: Connection) -> None:
        self._leave(client)
        self.nr_conns -= 1
        client.sock.close()

    def _evict_connection(self) -> None:
        victim = min(self._waiting, key=lambda client: client.stake, default=None)
        if victim is not None:
            self._evicted += 1
            self._drop(victim)

    # --- in a thread -----------------------------------------------------------------------------

    def handle(self, conn: Connection) -> bool:  # type: ignore[override]
        """Answers a request, or refuses it; whether another may follow on this connection."""
        try:
            if conn.refusal is None and conn.request is not None:
                return self.handle_request(conn.request, conn) and conn.ends_cleanly()
            self._answer_refusal(conn, conn.refusal)
        except (OSError, StopIteration) as error:
            self.log.debug("the client is gone, or the reply was cut: %s", error)
        except Exception:
            self.log.exception("the application failed")
            self._answer_refusal(conn, UnexpectedError())
        return False

    def _answer_refusal(self, conn: Connection, refusal: SqlSynthesizerError | None) -> None:
        request = next(RequestParser(self.cfg, (STAND_IN,), conn.client))
        response, environ = wsgi.create(request, conn.sock, conn.client, conn.server, self.cfg)
        environ[REFUSAL] = refusal
        application: Any = self.wsgi
        with closing(application(environ, response.start_response)) as parts:
            for part in parts:
                response.write(part)
            response.close()
