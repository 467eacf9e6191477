"""A local inbox for trying alerts out: it takes mail, Slack messages and webhooks, and shows them on one page.

For a machine without a mail relay or a Slack workspace, and for tests of notifications. It keeps the
newest messages in memory only and asks nobody who they are: keep it on the loopback or a private network.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from typing import Any, Self
from urllib.parse import parse_qs

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring.http_server import HTML, JSON, HttpHandler, HttpServer

try:
    from aiosmtpd.smtp import SMTP, Envelope, Session
except ImportError:
    raise ConfigurationError(
        "The inbox needs aiosmtpd, which is not installed.", hint="Type: pip install 'sql-synthesizer[operate]'"
    ) from None

KEPT = 500
"""Messages that are kept; older ones are forgotten."""
BODY_LIMIT = 262_144
"""Bytes that a mail or a posted body may have."""
SHOWN = 100
"""Messages on the page."""
SILENCE_LIMIT = 180.0
"""Seconds without the dead man's switch after which alerting counts as dead."""

_STYLE = """
body { margin: 0 auto; max-width: 60rem; padding: 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1b1f24; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
article { border-top: 1px solid #d0d7de; padding: .8rem 0; } p { margin: .2rem 0; } small { color: #57606a; }
pre { margin: .5rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
.well { color: #1a7f37; } .waiting { color: #57606a; } .silent { color: #cf222e; font-weight: bold; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Notification:
    """A notification as it arrived. ``kind`` is mail, slack, webhook or watchdog; ``received`` is Unix time."""

    number: int
    kind: str
    received: float
    to: tuple[str, ...]
    subject: str
    text: str
    html: str
    content: Any
    """What was posted, parsed; None for mail."""


class Inbox:
    """Receives notifications while it is used as a context manager; port 0 takes a free port.

    Raises OSError when a port cannot be had.
    """

    def __init__(self, *, host: str = "127.0.0.1", smtp_port: int = 0, http_port: int = 0) -> None:
        self._kept: deque[Notification] = deque(maxlen=KEPT)
        self._number = 0
        self._arrived = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._mail_socket = socket.create_server((host, smtp_port), family=family)
        try:
            self._server = HttpServer(_Handler, self, host, http_port)
        except OSError:
            self._mail_socket.close()
            raise
        self.smtp_port = int(self._mail_socket.getsockname()[1])
        self.http_port = self._server.port
        self._mail_stop = asyncio.Event()
        self._mail_loop: Future[asyncio.AbstractEventLoop] = Future()
        self._mail_thread = threading.Thread(target=self._run_mail, name="inbox-mail")
        self._started = time.time()

    def __enter__(self) -> Self:
        self._mail_thread.start()
        try:
            self._mail_loop.result()
        except BaseException:
            self._server.server_close()
            self._mail_socket.close()
            raise
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__()
        self._mail_loop.result().call_soon_threadsafe(self._mail_stop.set)
        self._mail_thread.join()

    @property
    def messages(self) -> list[Notification]:
        """What is kept, oldest first; of the dead man's switch only the newest message."""
        with self._arrived:
            return list(self._kept)

    @property
    def watchdog(self) -> Notification | None:
        """The newest message of the dead man's switch."""
        return next((message for message in self.messages if message.kind == "watchdog"), None)

    @property
    def silence(self) -> float:
        """Seconds since the dead man's switch was heard, or since the start."""
        heard = self.watchdog
        return time.time() - (heard.received if heard else self._started)

    def wait_for(self, wanted: Callable[[Notification], bool], seconds: float = 10.0) -> Notification:
        """The oldest kept message that is wanted, as soon as it is here; raises TimeoutError after ``seconds``."""
        with self._arrived:
            found = self._arrived.wait_for(lambda: next(filter(wanted, self._kept), None), seconds)
            if found is None:
                arrived = [f"{message.kind} {message.subject}" for message in self._kept]
                raise TimeoutError(f"Not received within {seconds:g} s; what arrived: {arrived}")
            return found

    def add(self, kind: str, to: tuple[str, ...], subject: str, text: str, html: str = "", content: Any = None) -> None:
        """Keeps a message. A new one of the dead man's switch takes the place of the one before."""
        with self._arrived:
            self._number += 1
            if kind == "watchdog":
                self._kept = deque((kept for kept in self._kept if kept.kind != kind), KEPT)
            self._kept.append(Notification(self._number, kind, time.time(), to, subject, text, html, content))
            self._arrived.notify_all()

    def _run_mail(self) -> None:
        try:
            asyncio.run(self._serve_mail())
        except Exception as error:  # noqa: BLE001 - whoever waits for the start gets it
            self._mail_loop.set_exception(error)

    async def _serve_mail(self) -> None:
        loop = asyncio.get_running_loop()

        def make_session() -> SMTP:
            return SMTP(_Mailbox(self), data_size_limit=BODY_LIMIT, timeout=30, hostname="inbox", loop=loop)

        server = await loop.create_server(make_session, sock=self._mail_socket)
        self._mail_loop.set_result(loop)
        await self._mail_stop.wait()
        server.close()


class _Mailbox:
    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content: Any = envelope.content
        mail: Any = message_from_bytes(content, policy=policy.default)
        self._inbox.add(
            "mail",
            tuple(envelope.rcpt_tos),
            str(mail["Subject"] or ""),
            _mail_part(mail, "plain"),
            _mail_part(mail, "html"),
        )
        return "250 OK"


def _mail_part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return "" if part is None else str(part.get_content())


def _parse_slack(content: Mapping[str, object]) -> tuple[tuple[str, ...], str, str]:
    """Channel, title and text of a message to an incoming webhook."""
    found = content.get("attachments")
    parts = [content, *(part for part in (found if isinstance(found, list) else []) if isinstance(part, dict))]
    title = next((str(part["title"]) for part in parts if part.get("title")), "")
    text = "\n".join(str(part["text"]) for part in parts if part.get("text"))
    return (str(content.get("channel", "")),), title, text


def _parse_webhook(content: Mapping[str, object]) -> tuple[tuple[str, ...], str, str]:
    """Receiver, title and text of Alertmanager's webhook."""
    labels = content.get("groupLabels")
    name = labels.get("alertname", "") if isinstance(labels, dict) else ""
    title = f"[{str(content.get('status', '')).upper()}] {name}"
    return (str(content.get("receiver", "")),), title, json.dumps(content, indent=2, ensure_ascii=False)


POSTED = {"slack": _parse_slack, "watchdog": _parse_webhook, "webhook": _parse_webhook}
"""Kind of a message, which is the path that it is posted to, and how it is read."""


def render_page(messages: Iterable[Notification], silence: float, *, heard: bool) -> str:
    """The newest notifications as HTML; ``silence`` is in seconds, as in Inbox."""
    newest = [message for message in messages if message.kind != "watchdog"][: -SHOWN - 1 : -1]
    shown = "".join(map(_render_article, newest))
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Inbox</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="15">'
        f"<style>{_STYLE}</style></head><body><h1>Inbox</h1>{_render_switch(silence, heard)}"
        f"{shown or '<p>No notifications yet.</p>'}</body></html>"
    )


def _render_switch(silence: float, heard: bool) -> str:
    state = "silent" if silence > SILENCE_LIMIT else "well" if heard else "waiting"
    last = f"heard {silence:.0f} s ago" if heard else f"not heard yet, for {silence:.0f} s"
    advice = " Alerting is broken: nobody would be notified." if state == "silent" else ""
    return f'<p class="{state}">Dead man\'s switch: {last}.{advice}</p>'


def _render_article(message: Notification) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(message.received))
    link = f' · <a href="/html/{message.number}">as HTML</a>' if message.html else ""
    return (
        f"<article><small>{escape(message.kind)} to {escape(', '.join(message.to))} · {when}{link}</small>"
        f"<h2>{escape(message.subject)}</h2><pre>{escape(message.text)}</pre></article>"
    )


def _parse_number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None


class _Handler(HttpHandler):
    server: HttpServer[Inbox]

    def do_GET(self) -> None:
        inbox, (path, _, query) = self.server.owner, self.path.partition("?")
        if path == "/":
            shown = render_page(inbox.messages, inbox.silence, heard=inbox.watchdog is not None)
            self._send_page(shown, _PAGE_POLICY)
        elif path == "/api/messages":
            self._serve_messages(parse_qs(query).get("since", ["0"])[0])
        elif path == "/health/live":
            self.send_reply(200, '{"status":"alive"}', JSON)
        else:
            self._serve_html(path)

    def do_POST(self) -> None:
        kind = self.path.removeprefix("/")
        parse = POSTED.get(kind)
        if parse is None:
            return self.send_reply(404, f"Post to /{', /'.join(POSTED)}.")
        length = _parse_number(self.headers.get("Content-Length", ""))
        if length is None:
            return self.send_reply(411, "Content-Length is needed.")
        if length > BODY_LIMIT:
            return self.send_reply(413, f"At most {BODY_LIMIT} bytes.")
        try:
            content = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            return self.send_reply(400, "invalid_payload")
        self.server.owner.add(kind, *parse(content), content=content)
        return self.send_reply(200, "ok")

    def _serve_html(self, path: str) -> None:
        html = {f"/html/{message.number}": message.html for message in self.server.owner.messages}.get(path)
        if html:
            self._send_page(html, _MAIL_POLICY)
        else:
            self.send_reply(404, "There is no such page.")

    def _serve_messages(self, text: str) -> None:
        since = _parse_number(text)
        if since is None:
            return self.send_reply(400, "since is the number of a message.")
        inbox = self.server.owner
        messages = [asdict(message) for message in inbox.messages if message.number > since]
        heard = round(inbox.silence, 1) if inbox.watchdog else None
        body = json.dumps({"watchdog_seconds": heard, "messages": messages}, ensure_ascii=False)
        return self.send_reply(200, body, JSON)

    def _send_page(self, html: str, policy: str) -> None:
        self.send_reply(200, html, HTML, {"Content-Security-Policy": policy})
