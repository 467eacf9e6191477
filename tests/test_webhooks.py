"""Webhooks: which addresses may be called, what a call may take, and that an end is told until somebody takes it."""

from __future__ import annotations

import ipaddress
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sql_synthesizer.errors import ConfigurationError, WebhookFailed, WebhookGone, WebhookRefused
from sql_synthesizer.jobs import delivery, webhook
from sql_synthesizer.jobs import worker as module
from sql_synthesizer.jobs.webhook import Message, Webhooks
from sql_synthesizer.monitoring.http_server import HttpHandler
from sql_synthesizer.settings import load
from sql_synthesizer.store import Store
from sql_synthesizer.store.deliveries import DELIVERED
from sql_synthesizer.store.jobs import Job, JobStore
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver
from sql_synthesizer_proof.fakes.webhook_receiver import SECRET, WebhookReceiver, is_signed
from tests.support.app import App, running
from tests.support.app import app_settings as app_settings
from tests.support.app import demo_path as demo_path
from tests.support.jobs import working
from tests.support.serving import until
from tests.support.store import open_store as open_store
from tests.support.store import store as store
from tests.support.store import url as url

COUNT = "how many customers are there"
TRACE = "0af7651916cd43dd8448eb211c80319c"
MESSAGE = Message("job_1", b"{}", f"00-{TRACE}-b7ad6b7169203331-01")
HOST = "https://hooks.example.org"


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver() as server:
        yield server


def caller_of(receiver: WebhookReceiver, networks: str = "127.0.0.1/32", secret: str = SECRET) -> Webhooks:
    return Webhooks(receiver.place, networks, secret)


# --- which addresses may be called -------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "url"),
    [
        ("hooks.example.org", HOST),
        ("hooks.example.org", "http://Hooks.Example.org:80/a?b=c"),
        ("other.org, hooks.example.org:8443", HOST + ":8443/x"),
        ("[2606:4700::1]:8080", "http://[2606:4700::1]:8080/"),
    ],
)
def test_hosts_that_are_listed(hosts: str, url: str) -> None:
    Webhooks(hosts, "", SECRET).check(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.org/",
        HOST + ":8443/",
        "https://hooks.example.org.evil.org/",
        "https://evil.org/hooks.example.org",
        "https://hooks.example.org@evil.org/",
        "https://user:word@hooks.example.org/",
        "https://evil.org\\@hooks.example.org/",
        HOST + "/#part",
        HOST + "/\r\nX-More: 1",
        HOST + ":99999/",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "//hooks.example.org/",
        HOST + "/" + "x" * 600,
        "https://hooks.example.org./",
    ],
)
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(WebhookRefused):
        Webhooks("hooks.example.org", "", SECRET).check(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.2.2.3", "169.254.169.254", "[::1]", "[::ffff:10.2.2.3]"])
def test_listed_addresses_that_are_not_public(host: str) -> None:
    with pytest.raises(WebhookRefused, match="no address that may be called"):
        Webhooks(host, "10.1.0.0/16", SECRET).check(f"http://{host}/")


def test_none_may_be_called_unless_it_is_listed() -> None:
    with pytest.raises(WebhookRefused):
        Webhooks("", "0.0.0.0/0", "").check(HOST)


@pytest.mark.parametrize(
    ("hosts", "networks", "secret", "at_fault"),
    [
        ("hooks.example.org", "", "", "SECRET"),
        ("hooks.example.org", "", "whsec_c2hvcnQ=", "SECRET"),
        ("hooks.example.org", "", SECRET.removeprefix("whsec_"), "SECRET"),
        ("https://hooks.example.org", "", SECRET, "HOSTS"),
        ("*.example.org", "", SECRET, "HOSTS"),
        ("hooks.example.org", "10.0.0.1/8", SECRET, "NETWORKS"),
    ],
)
def test_settings_that_cannot_be_used(hosts: str, networks: str, secret: str, at_fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Webhooks(hosts, networks, secret)
    assert f"SQL_SYNTHESIZER_WEBHOOK_{at_fault}" in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("address", "open"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", True),
        ("10.2.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00:ec2::254", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_what_a_host_may_resolve_to(address: str, open: bool) -> None:
    webhooks = Webhooks("hooks.example.org", "10.1.0.0/16", SECRET)
    assert webhooks._is_open(ipaddress.ip_address(address)) is open


# --- a call ------------------------------------------------------------------------------------


def test_a_call(receiver: WebhookReceiver) -> None:
    assert caller_of(receiver).call(receiver.url, MESSAGE) == 204
    (received,) = receiver.messages
    assert (received.path, received.body, received.headers["traceparent"]) == (
        "/ended?by=job",
        b"{}",
        MESSAGE.traceparent,
    )
    assert received.headers["host"] == receiver.place


def test_while_a_secret_is_changed_both_sign(receiver: WebhookReceiver) -> None:
    other = "whsec_" + "b3RoZXI" * 8
    caller_of(receiver, secret=f"{other} {SECRET}").call(receiver.url, MESSAGE)
    assert is_signed(receiver.messages[0])
    assert is_signed(receiver.messages[0], other)
    with pytest.raises(WebhookFailed):
        caller_of(receiver, secret=other).call(receiver.url, MESSAGE)


def test_the_address_that_was_looked_at_is_called(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [["10.0.0.1", "127.0.0.2", "127.0.0.1"], ["10.0.0.1"]]
    monkeypatch.setattr(webhook, "find_addresses", lambda *_: found.pop(0))
    port = receiver.place.partition(":")[2]
    webhooks = Webhooks(f"hooks.example.org:{port}", "127.0.0.0/8", SECRET)
    address = f"http://hooks.example.org:{port}/"
    assert webhooks.call(address, MESSAGE) == 204
    assert receiver.messages[0].headers["host"] == f"hooks.example.org:{port}"
    with pytest.raises(WebhookRefused):
        webhooks.call(address, MESSAGE)
    assert found == []


def test_this_machine_is_not_called_unless_it_is_listed(receiver: WebhookReceiver) -> None:
    with pytest.raises(WebhookRefused):
        caller_of(receiver, networks="").call(receiver.url, MESSAGE)
    assert receiver.messages == []


def trickle(handler: HttpHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for _ in range(600):
        handler.wfile.write(b"X")
        if handler.server.closing.wait(0.02):  # type: ignore[attr-defined]
            return


def redirect(handler: HttpHandler) -> None:
    handler.send_reply(302, headers={"Location": "/elsewhere"})


def huge(handler: HttpHandler) -> None:
    handler.send_head(200, 10**12, {})


@pytest.mark.parametrize(
    ("step", "error"), [(500, WebhookFailed), (404, WebhookFailed), (redirect, WebhookFailed), (410, WebhookGone)]
)
def test_replies_that_are_no_success(receiver: WebhookReceiver, step: Any, error: type[Exception]) -> None:
    receiver.steps.append(step)
    with pytest.raises(error):
        caller_of(receiver).call(receiver.url, MESSAGE)
    assert len(receiver.messages) == 1


def test_a_reply_is_not_read_further_than_its_head(receiver: WebhookReceiver) -> None:
    receiver.steps.append(huge)
    assert caller_of(receiver).call(receiver.url, MESSAGE) == 200


def test_a_call_ends_in_time(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "SECONDS", 0.3)
    receiver._server.closing = threading.Event()  # type: ignore[attr-defined]
    receiver.steps.append(trickle)
    try:
        with pytest.raises(WebhookFailed):
            caller_of(receiver).call(receiver.url, MESSAGE)
    finally:
        receiver._server.closing.set()  # type: ignore[attr-defined]


def test_a_receiver_is_who_it_says(receiver: WebhookReceiver) -> None:
    with pytest.raises(WebhookFailed):
        caller_of(receiver).call(receiver.url.replace("http:", "https:"), MESSAGE)


# --- from the end of a job ---------------------------------------------------------------------


@pytest.fixture
def app(app_settings: dict[str, Any], receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    for part, name, seconds in ((module, "POLL", 0.02), (delivery, "POLL", 0.02), (delivery, "BACKOFF", 0.001)):
        monkeypatch.setattr(part, name, seconds)
    with running(load(**app_settings, **receiver.settings)) as app:
        app.seen = MemoryObserver()  # type: ignore[attr-defined]
        app.rooms.telemetry.observers.append(app.seen)  # type: ignore[attr-defined]
        yield app


def tell(app: App, receiver: WebhookReceiver) -> dict[str, Any]:
    """Submits a job and waits until its delivery has ended."""
    headers = {"traceparent": MESSAGE.traceparent}
    job = app.post("/api/jobs", {"questions": [COUNT], "webhook": receiver.url}, headers=headers).get_json()
    assert (job["webhook"], job["delivery"]) == (receiver.url, None)

    def told() -> Any:
        found = app.get(f"/api/jobs/{job['id']}").get_json()
        return found if found["delivery"] in ("delivered", "given_up") else None

    with working(app.rooms.job_worker(2)):
        found: dict[str, Any] = until(told)
    return found


def changes(app: App) -> list[tuple[str, str]]:
    found = [record["details"] for record in app.records("job_change")]
    assert {details["webhook"] for details in found} == {"127.0.0.1"}
    return [(details["change"], details["reason"]) for details in found]


def test_the_end_of_a_job_is_told_within_its_trace(app: App, receiver: WebhookReceiver) -> None:
    receiver.steps += [500, 503]
    job = tell(app, receiver)
    assert job["delivery"] == "delivered"
    assert [message.headers["webhook-id"] for message in receiver.messages] == [f"job_{job['id']}"] * 3
    told = receiver.taken[f"job_{job['id']}"]
    assert (told["id"], told["state"], told["results"]) == (job["id"], "done", job["results"])
    assert {message.headers["traceparent"].split("-")[1] for message in receiver.messages} == {TRACE}
    assert [app.counted("job_webhooks_total", outcome=outcome) for outcome in ("answered", "failed")] == [1, 2]
    assert changes(app) == [("submitted", "ok"), ("started", "ok"), ("done", "ok"), ("delivered", "ok")]
    spans = app.seen.operations(vocabulary.JOB_WEBHOOK)  # type: ignore[attr-defined]
    assert [(span.trace.trace_id, span.details.attempt, span.reason) for span in spans] == [
        (TRACE, 1, "webhook_failed"),
        (TRACE, 2, "webhook_failed"),
        (TRACE, 3, "ok"),
    ]
    assert spans[2].span_id == receiver.messages[2].headers["traceparent"].split("-")[2]


def test_an_address_that_never_takes_it_is_given_up(app: App, receiver: WebhookReceiver) -> None:
    receiver.steps += [500] * 20
    assert tell(app, receiver)["delivery"] == "given_up"
    assert len(receiver.messages) == delivery.ATTEMPTS
    assert changes(app)[-1] == ("undelivered", "webhook_failed")
    assert app.counted("job_changes_total", change="undelivered") == 1


def test_an_address_that_is_gone_is_told_once(app: App, receiver: WebhookReceiver) -> None:
    receiver.steps.append(410)
    job = tell(app, receiver)
    assert (job["delivery"], job["delivery_reason"]) == ("given_up", "webhook_gone")
    assert len(receiver.messages) == 1
    assert changes(app)[-1] == ("undelivered", "webhook_gone")


def test_a_job_with_an_address_that_may_not_be_called(app: App) -> None:
    reply = app.post("/api/jobs", {"questions": [COUNT], "webhook": "http://169.254.169.254/latest/meta-data"})
    assert (reply.status_code, reply.get_json()["reason"]) == (422, "webhook_refused")
    assert app.records("invalid_request")[0]["details"]["host"] == "169.254.169.254"
    assert app.get("/api/jobs").get_json()["items"] == []


def test_the_same_job_is_told_to_the_same_address(app: App, receiver: WebhookReceiver) -> None:
    body = {"questions": [COUNT], "idempotency_key": "k", "webhook": receiver.url}
    first, again = (app.post("/api/jobs", body).get_json() for _ in range(2))
    assert first["id"] == again["id"]
    other = app.post("/api/jobs", {**body, "webhook": receiver.url + "2"})
    assert other.get_json()["reason"] == "idempotency_conflict"


# --- in the store ------------------------------------------------------------------------------


def ended_job(jobs: JobStore, name: str, owner: str = "k1", webhook: str = HOST) -> None:
    jobs.add_job(Job(name, owner, name, "", "shop", 10, "", 1, 1.0, webhook=webhook), ["q"], limit=9, share=9)
    jobs.end_job(name, "cancelled", "cancelled")


def test_who_has_a_delivery_in_hand(store: Store) -> None:
    said: list[tuple[str, str]] = []
    jobs = store.jobs(lambda *_: None)
    deliveries = store.deliveries(lambda job, change: said.append((job.id, change)))
    ended_job(jobs, "j1")
    ended_job(jobs, "j2", "k2")
    ended_job(jobs, "j3", webhook="")
    first = deliveries.claim(-1)  # its time is over at once: whoever had it was killed
    assert first is not None
    other = deliveries.claim(60, busy={"k2"})
    assert other is not None
    assert (first.id, other.id, other.deliveries) == ("j1", "j1", 2)
    assert not deliveries.end(first, DELIVERED, "")
    second = deliveries.claim(60)
    assert second is not None
    assert second.id == "j2"
    assert deliveries.claim(60) is None
    jobs.prune(0)
    assert [job.id for job in jobs.list_jobs(None, 9)] == ["j1", "j2"]
    assert deliveries.end(other, DELIVERED, "")
    deliveries.postpone(second, -1)
    again = deliveries.claim(60)
    assert again is not None
    assert deliveries.end(again, "given_up", "webhook_failed")
    assert said == [("j1", "delivered"), ("j2", "undelivered")]
    jobs.prune(0)
    assert jobs.list_jobs(None, 9) == []
