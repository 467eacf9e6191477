"""A store on PostgreSQL that is away at the start, while the service runs, and when a key is revoked elsewhere."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url

from sql_synthesizer.access import KEY_TTL
from sql_synthesizer_proof.drill.proxy import Proxy
from tests.support.databases import Server
from tests.support.serving import HANG, Service, fetch, service, until

pytestmark = pytest.mark.server


def status(served: Service, key: str) -> int:
    return fetch(served.url + "/api/me", Authorization=f"Bearer {key}").status


def test_a_store_that_is_lost_is_waited_for(own_postgres: Server, tmp_path: Path) -> None:
    target = make_url(own_postgres.url)
    assert target.port is not None
    log = tmp_path / "service.log"
    with Proxy(target.port) as way, ThreadPoolExecutor(1) as pool:
        way.close()
        url = target.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False)
        given = {"SQL_SYNTHESIZER_STORE_URL": url, "SQL_SYNTHESIZER_AUTH": "required"}

        def open_way() -> None:
            until(lambda: log.exists() and "Waiting for the store." in log.read_text())
            way.open()

        opened = pool.submit(open_way)
        with service(tmp_path, **given) as served:
            opened.result(HANG)
            key = (served.state / "first-api-key").read_text(encoding="ascii").strip()
            assert status(served, key) == 200

            way.close()
            time.sleep(KEY_TTL)  # how long a key is believed is a time
            assert status(served, key) == 200, "it is known"
            assert status(served, "sqs_" + "0" * 12 + "_" + "x" * 43) == 503
            way.open()
            served.environment["SQL_SYNTHESIZER_STORE_URL"] = own_postgres.url
            revoked = time.monotonic()
            assert served.run("keys", "revoke", key[4:16]).returncode == 0
            until(lambda: status(served, key) == 401)
            assert time.monotonic() - revoked < 30, "5 s on a machine that does nothing else"
            assert served.stop() == 0
