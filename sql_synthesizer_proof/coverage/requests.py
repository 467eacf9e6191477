"""Sends a request to each route, as somebody whom it serves or does not serve."""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import urlencode

from werkzeug.routing import Rule

from sql_synthesizer.model import Role
from sql_synthesizer_proof.coverage.derive import find_body, find_parameters
from sql_synthesizer_proof.coverage.faults import ANEW, COUNT
from sql_synthesizer_proof.coverage.instance import LIMIT, Instance, random_text
from sql_synthesizer_proof.coverage.path import Path
from sql_synthesizer_proof.evidence.scenarios import NOBODY
from sql_synthesizer_proof.evidence.world import WorldReply

FORWARDED = {"X-Forwarded-For": "192.0.2.1"}
"""What a proxy adds: the request is not this machine's own."""
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')

FILES = {"static": "favicon.svg", "openapi.static": "", "swagger.static": "css/swagger-ui.css"}
"""Endpoint of a library's files -> one of them."""
VALUES = {"questions": ["how many customers are there"], "cron": "0 7 * * *"}
"""Field of a body that has to be there -> what does for it."""
ABSENT = "0" * 16
"""Stands for an argument for which there is nothing."""


def _answered(instance: Instance) -> Any:
    asked = {"question": "which products are there", "database": "plain", "page_size": 1}
    return instance.send_request("POST", "/api/query", asked).json()


def _submitted(instance: Instance) -> str:
    """A job that goes on for a while."""
    asked = {"questions": ["please never stop"] * 3}
    return str(instance.send_request("POST", "/api/jobs", asked).json()["id"])


def _stored_trace(instance: Instance) -> str:
    """A trace that is in the store already."""
    return str(instance.send_request("GET", "/api/ops/traces").json()["items"][0]["trace_id"])


def _begun_schedule(instance: Instance) -> str:
    reply = instance.send_request("POST", "/api/schedules", _sample_body(instance, "POST /api/schedules"))
    return str(reply.json()["id"])


BODIES: Mapping[str, Callable[[Instance], Mapping[str, Any]]] = {
    "POST /api/query": lambda _: {"question": ANEW.format(random_text()), "database": "plain"},
    "POST /api/sql": lambda _: {"sql": COUNT},
    "POST /api/feedback": lambda instance: {"question_id": _answered(instance)["question_id"], "rating": "up"},
}
"""Route -> what a caller sends that is served, where it is not the same at any time."""
ARGUMENTS: Mapping[str, Callable[[Instance], object]] = {
    "question_id": lambda instance: _answered(instance)["question_id"],
    "job_id": _submitted,
    "schedule_id": _begun_schedule,
    "id": _stored_trace,
    "writer": lambda instance: instance.stored_records()[0]["writer"],
    "sequence": lambda instance: instance.stored_records()[0]["sequence"],
}
"""Argument of a route -> one for which there is something."""


def drive_request(instance: Instance, path: Path) -> str:
    """Sends the request of a path."""
    with instance.new_trace() as (trace_id, parent):
        _SENDERS.get(path.outcome, _send_well)(instance, path, parent)
    return trace_id


def _address(instance: Instance, path: Path, argument: str | None = None) -> str:
    """Where the route is, with arguments for which there is something, or with this one for each."""
    rule, built = _find_rule(instance, path), ""
    given: dict[str, object] = {}
    for name in rule.arguments:
        if argument is not None:
            given[name] = 1 if name == "sequence" else argument
        else:
            given[name] = FILES[rule.endpoint] if name == "filename" else ARGUMENTS[name](instance)
    _, built = rule.build(given) or ("", "")
    return built


def _find_rule(instance: Instance, path: Path) -> Rule:
    method, _, route = path.surface.partition(" ")
    return next(rule for rule in instance.routes if rule.rule == route and method in (rule.methods or ()))


def _sample_body(instance: Instance, surface: str) -> Mapping[str, Any] | None:
    """What a caller sends that is served: the fields that the documentation demands, or what the table says."""
    if surface in BODIES:
        return BODIES[surface](instance)
    needed = [name for name, field in find_body(instance.app, surface).items() if field["needed"]]
    return {name: VALUES.get(name, "") for name in needed} or None


def _send(instance: Instance, path: Path, parent: str, **more: Any) -> WorldReply:
    """Sends what is served, but for what ``more`` says."""
    method = path.surface.partition(" ")[0]
    address = more.pop("address", None) or _address(instance, path)
    body = more.pop("body", None) or _sample_body(instance, path.surface)
    return instance.send(method, address, body, trace=parent, **more)


def _send_well(instance: Instance, path: Path, parent: str) -> None:
    if path.surface in ("POST /login", "POST /logout"):
        with _signed_in(instance, parent if path.surface == "POST /login" else "") as (cookie, token):
            if path.surface == "POST /logout":
                form = urlencode({"csrf_token": token})
                instance.send("POST", "/logout", form, trace=parent, key="", headers={"Cookie": cookie})
    else:
        _send(instance, path, parent)


@contextmanager
def _signed_in(instance: Instance, parent: str = "") -> Iterator[tuple[str, str]]:
    """Cookie and token of a person who has signed in, with a key that nobody has used yet."""
    key = instance.rooms.access.keys.create_key("coverage", Role.OPERATOR)
    form = instance.send_request("GET", "/login", key="")
    filled = urlencode({"csrf_token": _csrf_token(form), "api_key": key})
    headers = {"Cookie": _cookie(form), **({"traceparent": parent} if parent else {})}
    cookie = _cookie(instance.send_request("POST", "/login", filled, key="", headers=headers))
    page = instance.send_request("GET", "/login", key="", headers={"Cookie": cookie})
    yield _cookie(page) or cookie, _csrf_token(page)


def _cookie(reply: WorldReply) -> str:
    return reply.headers.get("Set-Cookie", "").partition(";")[0]


def _csrf_token(page: WorldReply) -> str:
    found = _TOKEN.search(page.body.decode())
    return found[1] if found else ""


# --- refusals --------------------------------------------------------------------------------


def _send_as_nobody(instance: Instance, path: Path, parent: str) -> None:
    if path.surface == "POST /logout":  # who is nobody has no session to sign out of, but has the page's token
        with _signed_in(instance) as (cookie, token):
            form = urlencode({"csrf_token": token})
            instance.send("POST", "/logout", form, trace=parent, key=NOBODY, headers={"Cookie": cookie})
        return
    _send(
        instance, path, parent, address=_address(instance, path, ABSENT), body={"a": 1}, key=NOBODY, headers=FORWARDED
    )


def _send_without_key(instance: Instance, path: Path, parent: str) -> None:
    _send(instance, path, parent, address=_address(instance, path, ABSENT), body={"a": 1}, key="", headers=FORWARDED)


def _send_too_often(instance: Instance, path: Path, parent: str) -> None:
    key = instance.rooms.access.keys.create_key("coverage", Role.OPERATOR, limit="1/day")
    instance.send_request("GET", "/api/me", key=key)
    _send(instance, path, parent, address=_address(instance, path, ABSENT), body={"a": 1}, key=key)


def _send_as_viewer(instance: Instance, path: Path, parent: str) -> None:
    _send(instance, path, parent, key=instance.keys[Role.VIEWER], headers=FORWARDED)


def _send_without_token(instance: Instance, path: Path, parent: str) -> None:
    address = _address(instance, path, ABSENT)
    with _signed_in(instance) as (cookie, _):
        form = "api_key=none" if path.surface in ("POST /login", "POST /logout") else {"a": 1}
        _send(instance, path, parent, address=address, body=form, key="", headers={"Cookie": cookie})


def _send_without_store(instance: Instance, path: Path, parent: str) -> None:
    """With a key that the service has to look up while its store is another program's."""
    address, key = _address(instance, path, ABSENT), instance.rooms.access.keys.create_key("coverage", Role.OPERATOR)
    with stop_store(instance):
        _send(instance, path, parent, address=address, body={"a": 1}, key=key, headers=FORWARDED)


@contextmanager
def stop_store(instance: Instance) -> Iterator[None]:
    """The tables of the store have other names for a while."""
    with closing(sqlite3.connect(instance.settings.state_dir / "store.sqlite", timeout=LIMIT)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for name in names:
            connection.execute(f"ALTER TABLE {name} RENAME TO {name}_away")
        connection.commit()
        try:
            yield
        finally:
            for name in names:
                connection.execute(f"ALTER TABLE {name}_away RENAME TO {name}")
            connection.commit()


def _send_wrong_form(instance: Instance, path: Path, parent: str) -> None:
    method, argument = path.surface.partition(" ")[0], "wrong" if "<" in path.surface else None
    query = "&".join(f"{name}=wrong" for name in find_parameters(instance.app, path.surface))
    address = f"{_address(instance, path, argument)}?{query}"
    instance.send(method, address, {"nothing": 1} if find_body(instance.app, path.surface) else None, trace=parent)


def _send_unknown_database(instance: Instance, path: Path, parent: str) -> None:
    if path.surface.startswith("GET"):
        instance.send("GET", _address(instance, path) + "?database=nowhere", trace=parent)
    else:
        _send(instance, path, parent, body={**(_sample_body(instance, path.surface) or {}), "database": "nowhere"})


def _send_absent(instance: Instance, path: Path, parent: str) -> None:
    _send(instance, path, parent, address=_address(instance, path, ABSENT))


def _send_raw(content: bytes) -> Callable[[Instance, Path, str], None]:
    def send_content(instance: Instance, path: Path, parent: str) -> None:
        line = f"{path.surface.partition(' ')[0]} {_address(instance, path, ABSENT)} HTTP/1.1"
        head = f"{line}\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {instance.key}\r\n"
        head += f"traceparent: {parent}\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        exchange(instance, head.encode() + content)

    return send_content


def exchange(instance: Instance, sent: bytes, *, waits: bool = False) -> bytes:
    """What comes back until the server closes the connection; one that ``waits`` might send more."""
    with socket.create_connection(("127.0.0.1", instance.port), LIMIT) as connection:
        connection.sendall(sent)
        if not waits:
            connection.shutdown(socket.SHUT_WR)
        received = b""
        while part := connection.recv(65_536):
            received += part
        return received


def _send_unhealthy(instance: Instance, path: Path, parent: str) -> None:
    instance.settings.audit_key_path.rename(instance.home / "away.key")
    try:
        instance.rooms.health.check()
        _send(instance, path, parent)
    finally:
        (instance.home / "away.key").rename(instance.settings.audit_key_path)
        instance.rooms.health.check()


_Sender = Callable[[Instance, Path, str], None]
_SENDERS: Mapping[str, _Sender] = {
    "authentication_failed": _send_as_nobody,
    "authentication_required": _send_without_key,
    "access_denied": _send_as_viewer,
    "rate_limited": _send_too_often,
    "csrf_failed": _send_without_token,
    "store_unavailable": _send_without_store,
    "invalid_request": _send_wrong_form,
    "invalid_json": _send_raw(b"{"),
    "invalid_encoding": _send_raw(b'"\xff"'),
    "request_too_large": _send_raw(b"[" + b" " * 70_000 + b"]"),
    "unknown_database": _send_unknown_database,
    "not_found": _send_absent,
    "page_expired": _send_absent,
    "unhealthy": _send_unhealthy,
}


# --- what no route is asked for ---------------------------------------------------------------

_HEAD = "GET /health HTTP/1.1\r\nHost: x\r\n"
UNFRAMED: Mapping[str, bytes] = {
    "request_timeout": _HEAD.encode(),
    "address_too_long": f"GET /{'x' * 5000} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
    "header_too_large": (_HEAD + f"X-Long: {'x' * 40_000}\r\n\r\n").encode(),
    "invalid_request": b"GET / HTTP/1.1\r\nno header\r\n\r\n",
    "unknown_coding": b"POST /api/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: rot13\r\n\r\n",
    "request_too_large": b"POST /api/query HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
}


def drive_unmatched(instance: Instance, path: Path) -> str:
    """Sends what is no request for a route; what has no header that could be read begins a trace of its own."""
    with instance.new_trace() as (trace_id, parent):
        if path.outcome == "not_found":
            instance.send("GET", "/nowhere", trace=parent)
        elif path.outcome == "method_not_allowed":
            instance.send("PUT", "/api/query", trace=parent)
        else:
            return _refused_trace(instance, UNFRAMED[path.outcome], waits=path.outcome == "request_timeout")
    return trace_id


def _refused_trace(instance: Instance, sent: bytes, *, waits: bool) -> str:
    found = re.search(rb"(?i)x-trace-id: ([0-9a-f]{32})", exchange(instance, sent, waits=waits))
    return found[1].decode() if found else ""
