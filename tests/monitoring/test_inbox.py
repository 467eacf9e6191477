"""The inbox: what it takes, what it refuses, and what it shows."""

from __future__ import annotations

import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from email.message import EmailMessage

import pytest

from sql_synthesizer.monitoring import http_server
from sql_synthesizer.operate import inbox as module
from sql_synthesizer.operate.inbox import Inbox, render_page
from tests.support.ports import free_port
from tests.support.serving import HANG, ROOT, fetch, until

ATTACK = '<script>alert("x")</script>'


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as opened:
        yield opened


def url(inbox: Inbox, path: str = "/") -> str:
    return f"http://127.0.0.1:{inbox.http_port}{path}"


def send(
    inbox: Inbox, subject: str = "[FIRING:1] critical HighErrorRate", text: str = "12 % fail", html: str = ""
) -> None:
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "alerts@company.com", "oncall@company.com"
    mail.set_content(text)
    if html:
        mail.add_alternative(html, subtype="html")
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=HANG) as client:
        client.send_message(mail)


def raw(inbox: Inbox, request: bytes) -> bytes:
    with closing(socket.create_connection(("127.0.0.1", inbox.http_port), timeout=HANG)) as connection:
        connection.sendall(request)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def webhook(name: str = "Watchdog") -> dict[str, object]:
    return {"receiver": "dead-mans-switch", "status": "firing", "groupLabels": {"alertname": name}, "alerts": []}


def test_mail(inbox: Inbox) -> None:
    send(inbox, "Störung: größer als 5 %", "Überlauf", "<p>Überlauf</p>")
    mail = inbox.wait_for(lambda message: message.kind == "mail", HANG)
    assert (mail.to, mail.subject) == (("oncall@company.com",), "Störung: größer als 5 %")
    assert (mail.text.strip(), mail.html.strip(), mail.content) == ("Überlauf", "<p>Überlauf</p>", None)


def test_slack(inbox: Inbox) -> None:
    sent = {"channel": "#alerts", "attachments": [{"title": "High error rate", "text": "12 % fail", "color": "danger"}]}
    reply = fetch(url(inbox, "/slack"), sent)
    assert (reply.status, reply.body, reply.headers["Content-Type"]) == (200, b"ok", "text/plain; charset=utf-8")
    (message,) = inbox.messages
    assert (message.kind, message.to, message.subject) == ("slack", ("#alerts",), "High error rate")
    assert (message.text, message.content) == ("12 % fail", sent)


@pytest.mark.parametrize("path", ["webhook", "watchdog"])
def test_webhook(path: str, inbox: Inbox) -> None:
    assert fetch(url(inbox, f"/{path}"), webhook("HighErrorRate")).status == 200
    (message,) = inbox.messages
    assert (message.kind, message.to, message.subject) == (path, ("dead-mans-switch",), "[FIRING] HighErrorRate")
    assert message.content == webhook("HighErrorRate")


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"attachments": 3},
        {"attachments": ["x", {"title": 5}]},
        {"text": "only"},
        {"groupLabels": 1, "status": None},
    ],
)
@pytest.mark.parametrize("path", ["slack", "webhook"])
def test_odd_messages_are_kept(path: str, sent: object, inbox: Inbox) -> None:
    assert fetch(url(inbox, f"/{path}"), sent).status == 200
    assert [message.content for message in inbox.messages] == [sent]
    assert fetch(url(inbox)).status == 200


@pytest.mark.parametrize(
    ("request_line", "headers", "body", "status"),
    [
        ("POST /slack", "Content-Length: 3\r\n", b"{no", b"400"),
        ("POST /slack", "Content-Length: 2\r\n", b"[]", b"400"),
        ("POST /slack", "Content-Length: 50000\r\n", b"[" * 50000, b"400"),
        ("POST /slack", "", b"", b"411"),
        ("POST /slack", "Content-Length: -1\r\n", b"", b"411"),
        ("POST /slack", f"Content-Length: {'9' * 5000}\r\n", b"", b"411"),
        ("POST /slack", f"Content-Length: {module.BODY_LIMIT + 1}\r\n", b"", b"413"),
        ("POST /other", "Content-Length: 2\r\n", b"{}", b"404"),
        ("GET /other", "", b"", b"404"),
        ("GET /html/1", "", b"", b"404"),
        ("GET //[", "", b"", b"404"),
        ("GET /api/messages?since=x", "", b"", b"400"),
        ("DELETE /api/messages", "", b"", b"501"),
    ],
)
def test_refused(request_line: str, headers: str, body: bytes, status: bytes, inbox: Inbox) -> None:
    reply = raw(inbox, f"{request_line} HTTP/1.0\r\n{headers}\r\n".encode() + body)
    assert reply.split(b" ", 2)[1] == status
    assert inbox.messages == []


def test_mail_that_is_too_large_is_refused(inbox: Inbox) -> None:
    with pytest.raises(smtplib.SMTPException):
        send(inbox, text="x" * 70 + "\n" * module.BODY_LIMIT)
    assert inbox.messages == []


def test_only_so_many_are_kept_and_the_switch_does_not_displace_them(inbox: Inbox) -> None:
    for number in range(module.KEPT + 5):
        inbox.add("mail", ("a@company.com",), str(number), "")
    for _ in range(3):
        inbox.add("watchdog", ("dead-mans-switch",), "[FIRING] Watchdog", "")
    kept = inbox.messages
    assert len(kept) == module.KEPT
    assert [message.subject for message in kept][-2:] == [str(module.KEPT + 4), "[FIRING] Watchdog"]
    assert kept[-1] == inbox.watchdog
    assert fetch(url(inbox)).body.count(b"<article>") == module.SHOWN


def test_api(inbox: Inbox) -> None:
    assert fetch(url(inbox, "/api/messages")).json() == {"watchdog_seconds": None, "messages": []}
    send(inbox)
    fetch(url(inbox, "/watchdog"), webhook())
    listed = fetch(url(inbox, "/api/messages")).json()
    assert [message["kind"] for message in listed["messages"]] == ["mail", "watchdog"]
    assert 0 <= listed["watchdog_seconds"] < 60
    newer = fetch(url(inbox, f"/api/messages?since={listed['messages'][0]['number']}")).json()
    assert newer["messages"] == listed["messages"][1:]
    assert fetch(url(inbox, "/health/live")).json() == {"status": "alive"}


def test_the_page_shows_text_as_text(inbox: Inbox) -> None:
    send(inbox, f"subject {ATTACK}", f"text {ATTACK}", f"<p>{ATTACK}</p>")
    fetch(url(inbox, "/slack"), {"channel": f"channel {ATTACK}", "text": ATTACK})
    shown = fetch(url(inbox))
    text = shown.body.decode()
    assert "<script" not in text
    assert text.count("&lt;script&gt;") == 4
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]
    assert "unsafe" not in shown.headers["Content-Security-Policy"]
    assert text.index("channel &lt;") < text.index("subject &lt;"), "the newest is first"


def test_html_mail_is_shown_without_scripts(inbox: Inbox) -> None:
    send(inbox, html=f"<p>{ATTACK}</p>")
    (mail,) = inbox.messages
    assert f'<a href="/html/{mail.number}">' in fetch(url(inbox)).body.decode()
    shown = fetch(url(inbox, f"/html/{mail.number}"))
    assert shown.body.decode().strip() == f"<p>{ATTACK}</p>"
    policy = shown.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "script" not in policy


@pytest.mark.parametrize(
    ("silence", "heard", "state", "told"),
    [
        (5, False, "waiting", "not heard yet"),
        (181, False, "silent", "not heard yet"),
        (5, True, "well", "heard 5 s ago"),
        (180, True, "well", "heard 180 s ago"),
        (181, True, "silent", "heard 181 s ago"),
    ],
)
def test_the_dead_mans_switch_is_watched(silence: float, heard: bool, state: str, told: str) -> None:
    shown = render_page([], silence, heard=heard)
    assert f'<p class="{state}">Dead man\'s switch: {told}' in shown
    assert ("Alerting is broken" in shown) == (state == "silent")


def test_waiting_in_vain_says_what_came_instead(inbox: Inbox) -> None:
    inbox.add("mail", (), "something else", "")
    with pytest.raises(TimeoutError, match="mail something else"):
        inbox.wait_for(lambda message: message.kind == "slack", 0.05)


def test_connections_are_bounded(inbox: Inbox) -> None:
    held = [socket.create_connection(("127.0.0.1", inbox.http_port)) for _ in range(http_server.CONNECTIONS)]
    try:
        until(lambda: refused(inbox))
    finally:
        for connection in held:
            connection.close()
    assert until(lambda: not refused(inbox))


def refused(inbox: Inbox) -> bool:
    try:
        return raw(inbox, b"GET /health/live HTTP/1.0\r\n\r\n") == b""
    except ConnectionError:
        return True


def test_a_used_port_leaves_nothing_open() -> None:
    with Inbox() as first:
        with pytest.raises(OSError, match="in use"):
            Inbox(http_port=first.http_port)
        with pytest.raises(OSError, match="in use"):
            Inbox(smtp_port=first.smtp_port)


def test_mail_that_cannot_be_served_is_an_error_and_leaves_nothing_open() -> None:
    inbox = Inbox()
    inbox._mail_socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"), inbox:
        pass
    with Inbox(http_port=inbox.http_port):
        pass


def test_the_verb() -> None:
    smtp, http = free_port(), free_port()
    line = "from sql_synthesizer.cli.inbox import command; command()"
    command = [sys.executable, "-c", line, "--smtp-port", str(smtp), "--http-port", str(http)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: process.poll() is not None or live(http))
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=HANG)
    assert process.returncode == 0, told
    assert f"http://127.0.0.1:{http}/slack" in told
    assert f"127.0.0.1:{smtp}" in told


def live(port: int) -> bool:
    try:
        return fetch(f"http://127.0.0.1:{port}/health/live").status == 200
    except OSError:
        return False
