"""A client of the web server: what it has sent, cut into whole requests, and what it has yet to be sent.

Nothing here waits. Where a request ends is found here, so that a thread can be kept for it until then; what it says is
for gunicorn's parser alone, which is given exactly these bytes. Should the two disagree, the connection ends.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from gunicorn.http import RequestParser
from gunicorn.http.body import LengthReader
from gunicorn.http.errors import (
    InvalidChunkSize,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.workers.gthread import TConn

from sql_synthesizer.errors import (
    AddressTooLong,
    HeaderTooLarge,
    InvalidRequest,
    RequestTooLarge,
    SqlSynthesizerError,
    UnknownCoding,
)
from sql_synthesizer.model.cancellation import Cancellation

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from gunicorn.config import Config
    from gunicorn.http import Request

REFUSAL = "sql_synthesizer.refusal"
"""Key in the WSGI environment of the error that the application answers with, in place of a request."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_BYTES = 32_768
"""Request line and header fields together at most."""
HEAD_WITHIN = 10.0
"""Seconds from the first byte of a request to the end of its header, and for a new connection to its first byte."""
BODY_WITHIN = 20.0
"""Seconds that any body may take; larger ones may take longer, by RATE."""
RATE = 16_384
"""Bytes a second that a client must manage to send or to take, beyond the first BODY_WITHIN seconds."""
FRAMING = 16_384
"""Bytes that the framing of a chunked body may have beyond the size of the largest body."""
SIZE_LINE = 8_190
"""Bytes of the line before a chunk at most: what gunicorn's parser takes."""
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


def allowed_time(size: int) -> float:
    """Seconds that so many bytes may take."""
    return BODY_WITHIN + size / RATE


def translate_parse_error(error: Exception) -> SqlSynthesizerError:
    """What the service calls a request that gunicorn's parser does not take."""
    if isinstance(error, LimitRequestLine):
        return AddressTooLong()
    if isinstance(error, LimitRequestHeaders):
        return HeaderTooLarge()
    if isinstance(error, UnsupportedTransferCoding):
        return UnknownCoding()
    return InvalidRequest("The request is not framed as HTTP demands.", hint="Send it as RFC 9112 has it.")


class ClientSocket(socket.socket):
    """The client's end of a connection: what the kernel does not take at once stays in ``unsent``."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.unsent = bytearray()
        self.cancellation = Cancellation()
        """Takes back the request that a thread answers."""
        self._sending = threading.Lock()
        self._replied = False

    def sendall(self, data: ReadableBuffer, _flags: int = 0, /) -> None:
        """Returns at once. Raises OSError when the client is gone."""
        with self._sending:
            self._replied = True
            self.unsent += data
            self.flush()

    def begin_request(self) -> None:
        """From now on a thread answers."""
        self.cancellation = Cancellation()
        self._replied = False

    def probe_client(self) -> None:
        """Sends what clients pass over, unless the reply has begun: one that is gone answers with a reset."""
        with self._sending:
            if not self._replied:
                self.send(CONTINUE)

    def flush(self) -> bool:
        """Sends what the kernel takes now; whether that was all. Raises OSError when the client is gone."""
        with suppress(BlockingIOError):
            while self.unsent:
                del self.unsent[: self.send(self.unsent)]
        return not self.unsent


def client_cancellation(environ: Mapping[str, object]) -> Cancellation:
    """What takes a request back when its client leaves; under another server nothing does."""
    sock = environ.get("gunicorn.socket")
    return sock.cancellation if isinstance(sock, ClientSocket) else Cancellation()


class Connection(TConn):
    """``deadline`` is on the monotonic clock; ``limit`` is the largest body, in bytes, and larger ones are not read."""

    sock: ClientSocket
    parser: RequestParser

    def __init__(
        self, config: Config, sock: ClientSocket, client: tuple[str, int], server: tuple[str, int], limit: int
    ) -> None:
        super().__init__(config, sock, client, server)
        self.parser = RequestParser(config, (), self.client)
        self.received = bytearray()
        self.limit = limit
        self.keep = True
        """Whether another request may follow."""
        self.next_request(HEAD_WITHIN)

    @property
    def idle(self) -> bool:
        """Whether nothing of the next request has come."""
        return self.request is None and not self.received

    @property
    def reading(self) -> bool:
        """Whether a request is being waited for, not the end of a reply."""
        return self.keep and not self.sock.unsent

    @property
    def stake(self) -> int:
        """How much would be lost if it was closed now; those with the least go first when there are too many."""
        if self.sock.unsent:
            return 3
        kept_alive = self.idle and self.parser.req_count > 0  # a new client may be about to send its request
        return 0 if not self.keep else 1 if kept_alive else 2

    def next_request(self, within: float) -> None:
        """Forgets the request that was answered, and gives the client these seconds to begin another."""
        self.request: Request | None = None
        self.refusal: SqlSynthesizerError | None = None
        self._invited = False
        self._searched = self._chunk = self._size = 0
        self.deadline = time.monotonic() + within

    def receive(self, data: bytes) -> bool:
        """Takes in what the client has sent, and says whether a thread can answer now; raises as ``advance``."""
        if self.idle:
            self.deadline = time.monotonic() + HEAD_WITHIN
        self.received += data
        return self.advance()

    def advance(self) -> bool:
        """Whether a request has come whole, or will be refused. Raises OSError when the client is gone."""
        try:
            if self.request is None and not self._read_head():
                return False
            if self._read_body():
                return True
            if self._invited:
                self._invited = False
                self.sock.sendall(CONTINUE)
        except SqlSynthesizerError as error:
            self.refuse(error)
        except (ParseException, NoMoreData, StopIteration) as error:
            self.refuse(translate_parse_error(error))
        return self.refusal is not None

    def refuse(self, error: SqlSynthesizerError) -> None:
        """Has the request answered with this error, and the connection ended: what follows cannot be understood."""
        self.refusal = error
        self.received.clear()

    def ends_cleanly(self) -> bool:
        """Whether the parser uses exactly what it was given, so that the next request begins where it is sought."""
        try:
            self.parser.finish_body()
        except (ParseException, NoMoreData):
            return False
        return not self.parser.unreader.buf.getvalue()

    def _read_head(self) -> bool:
        end = self._find_head_end()
        if not end:
            return False
        self._feed(end)
        self.request = request = next(self.parser)
        self._invited = request._expected_100_continue  # type: ignore[attr-defined] # noqa: SLF001
        request._expected_100_continue = False  # type: ignore[attr-defined] # noqa: SLF001 - else the thread does it
        self.deadline = time.monotonic() + allowed_time(self.limit)
        return True

    def _find_head_end(self) -> int:
        """Where the header ends, or where it is certain that the parser refuses it; 0 while neither is known."""
        data, start = self.received, self._searched
        if (end := data.find(b"\r\n\r\n", max(0, start - 3))) >= 0:
            return end + 4
        self._searched = len(data)
        bare = data.count(b"\n", start) != data.count(b"\r\n", max(0, start - 1))
        line = self.cfg.limit_request_line + 4
        if bare or (len(data) > line and data.find(b"\r\n", 2, line) < 0):
            return len(data)
        if len(data) > HEAD_BYTES:
            raise HeaderTooLarge
        return 0

    def _read_body(self) -> bool:
        request = self.request
        if request is None or request.body is None:
            return True
        reader = request.body.reader
        if not isinstance(reader, LengthReader):
            end = self._find_last_chunk()
        elif reader.length > self.limit:  # the application refuses it, and knows whose it is
            request.force_close()
            self.received.clear()
            return True
        else:
            end = reader.length if len(self.received) >= reader.length else None
        if end is None:
            return False
        self._feed(end)
        return True

    def _find_last_chunk(self) -> int | None:
        """Where a chunked body ends; None while that is not known. Raises RequestTooLarge and InvalidChunkSize."""
        data = self.received
        while (found := _CHUNK.match(data, self._chunk)) is not None:
            size = int(found[1], 16)
            if size == 0:
                end = data.find(b"\r\n\r\n", found.end() - 2)
                if end >= 0:
                    return end + 4
                break
            self._size += size
            if self._size > self.limit:
                raise RequestTooLarge
            self._chunk = found.end() + size + 2
        if found is None and (data.find(b"\n", self._chunk) >= 0 or len(data) - self._chunk > SIZE_LINE):
            raise InvalidChunkSize(b"")
        if len(data) > 2 * self.limit + FRAMING:
            raise RequestTooLarge
        return None

    def _feed(self, end: int) -> None:
        """Gives the parser what was received up to here."""
        self.parser.unreader.unread(bytes(self.received[:end]))
        del self.received[:end]
