"""A name server that never answers, or a server that is reached too late, holds nobody past a deadline."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from sql_synthesizer.connecting import Waiter, find_addresses, look_up
from sql_synthesizer.connecting.redis_pool import make_pool
from tests.support.serving import HANG, until
from tests.support.silent_names import CALLS

pytestmark = pytest.mark.boundary

OWN = [shutil.which("unshare") or "unshare", "--map-root-user", "--mount", "--net"]


def test_no_call_waits_for_a_name_server() -> None:
    try:
        subprocess.run([*OWN, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine gives no namespaces")
    command = [*OWN, sys.executable, "-m", "tests.support.silent_names", "0.5"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG).stdout
    found = json.loads(told)
    print(found)
    assert set(found) == set(CALLS)
    # The system's own resolver would take 150 seconds.
    assert {call: took for call, (took, fault) in found.items() if took > 10 or not fault} == {}
    assert {fault for _, fault in found.values()} <= {"EndpointError", "database_unavailable", "TimeoutError"}


# --- waiting for what may hang --------------------------------------------------------------------


def test_what_comes_too_late_is_thrown_away() -> None:
    go, late = threading.Event(), list[str]()
    waiter = Waiter(1)
    with pytest.raises(TimeoutError):
        waiter.call(lambda: go.wait(HANG) and "late", 0.05, late.append)  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):  # no more than one may hang
        waiter.call(lambda: "never begun", 0.05, late.append)
    go.set()
    until(lambda: late == ["late"])
    assert until(lambda: waiter.call(lambda: "in time", HANG)) == "in time"


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("its own"), OSError(5, "no")])
def test_an_error_is_raised_where_it_is_waited_for(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        Waiter(1).call(fail, HANG)
    assert caught.value is error


def test_an_address_needs_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading.Thread, "start", None)
    assert look_up("127.0.0.1", 80, 0.0)
    assert find_addresses("::1", 80, 0.0) == ["::1"]


def test_every_address_of_redis_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        places: list[Any] = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (9, 9, 1)]
        asked, given = list[str](), socket.getaddrinfo
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda host, *rest: asked.append(host) or (places if host == "redis.test" else given(host, *rest)),
        )
        connection = make_pool(f"redis://redis.test:{port}/0", HANG).make_connection()
        connection._connect().close()
        assert asked == ["redis.test", "127.0.0.9", "127.0.0.1"]
        assert (connection.host, connection.socket_connect_timeout) == ("redis.test", HANG)
    with pytest.raises(OSError, match="refused"):
        connection._connect()
