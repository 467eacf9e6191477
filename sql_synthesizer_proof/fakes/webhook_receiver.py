"""A stand-in for the receiver of webhooks: it verifies each message as Standard Webhooks says, and answers to order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections import deque
from collections.abc import Callable
from typing import Self

from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer_proof.fakes.model_endpoint import Received

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def is_signed(received: Received, secret: str = SECRET) -> bool:
    """Whether one of the signatures of a message was made with this secret."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{received.headers['webhook-id']}.{received.headers['webhook-timestamp']}.".encode() + received.body
    wanted = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return wanted in received.headers["webhook-signature"].split(" ")


class _Handler(HttpHandler):
    server: HttpServer[WebhookReceiver]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.owner.answer(self, Received(self.command, self.path, headers, body))


Step = Callable[[HttpHandler], None]


class WebhookReceiver:
    """Takes messages, or answers as the next of ``steps`` says. Use it as a context manager."""

    def __init__(self, connections: int = 32) -> None:
        self.messages: list[Received] = []
        """All that came, taken or not."""
        self.taken: dict[str, dict[str, object]] = {}
        """What was taken: the data of a message by its id."""
        self.steps: deque[int | Step] = deque()
        self._server = HttpServer(_Handler, self, connections=connections)

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()

    @property
    def place(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self._server.port}"

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{self.place}/ended?by=job"

    @property
    def settings(self) -> dict[str, str]:
        """The settings of a service that may call it."""
        return {"webhook_hosts": self.place, "webhook_networks": "127.0.0.1/32", "webhook_secret": SECRET}

    def answer(self, handler: HttpHandler, received: Received) -> None:
        """Answers one message by the script; one that is not signed is refused."""
        self.messages.append(received)
        step = self.steps.popleft() if self.steps else 204
        if not isinstance(step, int):
            step(handler)
            return
        status = step if is_signed(received) else 401
        if status == 204:
            self.taken[received.headers["webhook-id"]] = json.loads(received.body).get("data", {})
        handler.send_reply(status)
