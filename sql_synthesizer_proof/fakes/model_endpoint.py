"""A stand-in for a model endpoint: a real HTTP server of chat completions whose replies are scripted.

For tests of this product and of code that embeds it.
"""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from sql_synthesizer.monitoring.http_server import JSON, HttpHandler, HttpServer

_QUESTION = re.compile(r'<question>\s*(".*")\s*</question>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Received:
    """A request as it arrived; header names are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def question(self) -> str:
        """The question in the messages."""
        for message in reversed(self.json["messages"]):
            if found := _QUESTION.search(message["content"]):
                return str(json.loads(found[1]))
        return str(self.json["messages"][-1]["content"])


class _Handler(HttpHandler):
    protocol_version = "HTTP/1.1"
    server: HttpServer[FakeOpenAI]
    timeout: ClassVar[float | None] = None  # clients keep their connections

    def do_GET(self) -> None:
        self._receive_request()
        if self.path.partition("?")[0] == "/v1/models":
            self.answer(200, json.dumps({"object": "list", "data": [{"id": "fake", "object": "model"}]}).encode())
        else:
            self.answer(404, _error_body("not found"))

    def do_POST(self) -> None:
        received = self._receive_request()
        if self.path == "/v1/chat/completions":
            self.server.owner.answer_request(self, received)
        else:
            self.answer(404, _error_body("not found"))

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Sends a whole reply."""
        self.send_reply(status, body, JSON, headers)

    def _receive_request(self) -> Received:
        size = int(self.headers.get("Content-Length", 0))
        if len(body := self.rfile.read(size)) < size:
            raise ConnectionAbortedError  # its sender was killed
        headers = {name.lower(): value for name, value in self.headers.items()}
        received = Received(self.command, self.path, headers, body)
        self.server.owner.requests.append(received)
        return received


_Step = Callable[[_Handler, Received], None]


class FakeOpenAI:
    """Answers with ``answer(question)``, or as scripted by the methods, each of which adds one step.

    ``answer`` returns SQL, or None for a question that cannot be answered. Use it as a context manager.
    """

    def __init__(self, answer: Callable[[str], str | None] = lambda _: None) -> None:
        self.requests: list[Received] = []
        self.delay = 0.0
        """Seconds before each reply."""
        self._answer = answer
        self._steps: deque[_Step] = deque()
        self._refused: dict[str, str] = {}
        self._closing = threading.Event()
        self._server = HttpServer(_Handler, self, limit=math.inf)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.__exit__()

    @property
    def base_url(self) -> str:
        """What to set OPENAI_BASE_URL to."""
        return f"http://127.0.0.1:{self._server.port}/v1"

    @property
    def chats(self) -> list[Received]:
        """The requests for a completion, in the order they arrived."""
        return [received for received in self.requests if received.method == "POST"]

    # --- the script -------------------------------------------------------------------------

    def reply(
        self,
        sql: str | None = None,
        explanation: str = "",
        *,
        reason: str | None = None,
        text: str | None = None,
        refusal: str | None = None,
        finish_reason: str = "stop",
        usage: tuple[int, int] | None = None,
    ) -> None:
        """One completion: an answer object, or ``text`` as it is. ``usage`` is (input, output) tokens."""
        content = text if text is not None else _answer_text(sql, explanation, reason)

        def send_completion(handler: _Handler, received: Received) -> None:
            handler.answer(200, _completion_body(received, content, refusal, finish_reason, usage))

        self._steps.append(send_completion)

    def fail(
        self, status: int, times: int = 1, retry_after: float | str | None = None, message: str = "made to fail"
    ) -> None:
        """``times`` errors with this HTTP status."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._steps.extend([lambda handler, _: handler.answer(status, _error_body(message), headers)] * times)

    def send(self, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """One reply with exactly this body."""
        self._steps.append(lambda handler, _: handler.answer(status, body, headers))

    def hang(self) -> None:
        """One request is left without a reply."""

        def hang_request(handler: _Handler, _: Received) -> None:
            self._closing.wait()
            handler.close_connection = True

        self._steps.append(hang_request)

    def drop(self) -> None:
        """One connection is closed in the middle of the reply."""

        def drop_connection(handler: _Handler, _: Received) -> None:
            handler.send_head(200, 1000, {})
            handler.wfile.write(b'{"choices": [')
            handler.close_connection = True

        self._steps.append(drop_connection)

    def trickle(self) -> None:
        """One reply comes a byte at a time and never ends."""

        def trickle_bytes(handler: _Handler, _: Received) -> None:
            handler.send_head(200, 1_000_000, {})
            while not self._closing.wait(0.02):
                handler.wfile.write(b" ")
            handler.close_connection = True

        self._steps.append(trickle_bytes)

    def reject(self, parameter: str, message: str) -> None:
        """Refuses requests with this parameter from now on, with HTTP status 400."""
        self._refused[parameter] = message

    def recover(self) -> None:
        """Forgets the steps that are left, and answers again."""
        self._steps.clear()

    def answer_request(self, handler: _Handler, received: Received) -> None:
        """Answers one request by the script."""
        self._closing.wait(self.delay)
        for parameter, message in self._refused.items():
            if parameter in received.json:
                handler.answer(400, _error_body(message, parameter))
                return
        try:
            step = self._steps.popleft()
        except IndexError:
            content = _answer_text(self._answer(received.question), "", None)
            handler.answer(200, _completion_body(received, content, None, "stop", None))
        else:
            step(handler, received)


def _answer_text(sql: str | None, explanation: str, reason: str | None) -> str:
    if sql is None and reason is None:
        reason = "not in the script"
    return json.dumps({"sql": sql, "explanation": explanation, "reason": reason})


def _error_body(message: str, param: str | None = None) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    return json.dumps({"error": error}).encode()


def _completion_body(
    received: Received, content: str, refusal: str | None, finish_reason: str, usage: tuple[int, int] | None
) -> bytes:
    """A chat completion; without ``usage``, a token is counted for every four bytes."""
    sent, got = usage or (len(received.body) // 4, len(content.encode()) // 4)
    message = {"role": "assistant", "content": None if refusal else content, "refusal": refusal}
    return json.dumps(
        {
            "id": "chatcmpl-fake",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": f"{received.json.get('model', 'fake')}-fake",
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}],
            "usage": {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got},
        }
    ).encode()
