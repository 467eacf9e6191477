"""The instances that the paths need: their databases, their settings and the servers beside them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

from sql_synthesizer.demo import create_demo, load_demo
from sql_synthesizer_proof.coverage.canaries import CANARIES
from sql_synthesizer_proof.coverage.derive import TYPED, WORDS
from sql_synthesizer_proof.coverage.faults import write_statement
from sql_synthesizer_proof.coverage.foreign import LOGINS, OWNER
from sql_synthesizer_proof.coverage.instance import Instance, write_databases
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.fakes.webhook_receiver import SECRET, WebhookReceiver
from sql_synthesizer_proof.servers import make_memcached, make_postgres, make_redis

SETTINGS: dict[str, object] = {
    "auth": "required",
    "rate_limit": "",
    "failed_login_limit": "",
    "suspicion_limit": "",
    "threads": 4,
    "question_queue": 8,
    "pool_wait": 0.3,
    "statement_timeout": 1.0,
    "model_timeout": 0.5,
    "model_retries": 0,
    "breaker_failures": 10_000,
    "openai_api_key": "none",
    "model_input_price": 0.4,
    "model_output_price": 1.6,
    "teams": "sales=50usd",
    "value_index": False,
    "trace_ratio": 1.0,
    "log_level": "info",
}
"""Short waits, no limits but those that a path is about, and every trace."""
BRIEF: dict[str, object] = {"deadline": 0.7, "pool_wait": 30.0, "job_seconds": 1.0}
"""Questions that end before they have waited for a slot or a connection."""
NOWHERE = "redis://127.0.0.1:1/0"


@contextmanager
def run_setup(name: str, home: Path) -> Iterator[Instance]:
    """A running instance. Raises ConfigurationError where a server that it needs is not installed."""
    home.mkdir(parents=True)
    with FakeOpenAI(write_statement) as model, WebhookReceiver() as receiver, _SETUPS[name](home) as settings:
        told = {"webhook_hosts": receiver.place, "webhook_networks": "127.0.0.0/8", "webhook_secret": SECRET}
        given: dict[str, Any] = {**SETTINGS, **told, "openai_base_url": model.base_url, **settings}
        with closing(Instance(home, model, receiver, **given)) as instance:
            yield instance


@contextmanager
def _main(home: Path) -> Iterator[dict[str, object]]:
    create_demo(home / "shop.sqlite")
    shutil.copy(home / "shop.sqlite", home / "lost.sqlite")
    (home / "empty.sqlite").touch()
    (home / "renamed.sqlite").write_bytes(b"no database yet " * 1000)
    shop: dict[str, object] = {"url": f"sqlite:///{home}/shop.sqlite", "sensitive": ["customers.email"]}
    entries: dict[str, dict[str, object]] = {
        "shop": shop,
        "plain": {**shop, "models": False},
        "tight": {**shop, "pool_size": 1},
        **{name: {"url": f"sqlite:///{home}/{name}.sqlite"} for name in ("lost", "empty", "renamed")},
    }
    entries["renamed"]["sensitive"] = ["customers.nickname"]
    (home / "canaries.yml").write_text(json.dumps({"canaries": CANARIES}), encoding="utf-8")
    yield {"databases_file": write_databases(home, entries), "canary_file": home / "canaries.yml"}


@contextmanager
def _brief(home: Path) -> Iterator[dict[str, object]]:
    create_demo(home / "shop.sqlite")
    entries: dict[str, dict[str, object]] = {"plain": {"url": f"sqlite:///{home}/shop.sqlite", "models": False}}
    for surface in (*WORDS, TYPED):
        name = "for_" + surface.replace(" ", "_")
        shutil.copy(home / "shop.sqlite", home / f"{name}.sqlite")
        entries[name] = {"url": f"sqlite:///{home}/{name}.sqlite", "models": False, "pool_size": 1}
    yield {**BRIEF, "databases_file": write_databases(home, entries)}


@contextmanager
def _cacheless(home: Path) -> Iterator[dict[str, object]]:
    with _main(home) as settings:
        yield {**settings, "cache": "redis", "redis_url": NOWHERE}


@contextmanager
def _redis(home: Path) -> Iterator[dict[str, object]]:
    """A cache that outlives a command, and a model whose price nobody has said."""
    server, url = make_redis(home / "redis")
    with server, _main(home) as settings:
        yield {**settings, "cache": "redis", "redis_url": url, "model_input_price": None}


@contextmanager
def _postgres(home: Path) -> Iterator[dict[str, object]]:
    """A server with two logins that only read; ``home`` may be entered by its account."""
    home.chmod(0o755)
    server, owner = make_postgres(home / "postgres")
    with server:
        load_demo(owner)
        entries: dict[str, dict[str, object]] = {}
        with psycopg.connect(owner.replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute(b"CREATE SEQUENCE ticks")
            admin.execute(b"CREATE VIEW ticking AS SELECT nextval('ticks') AS tick")
            for name in LOGINS:
                admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'only_reads'".encode())
                admin.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}".encode())
                admin.execute(f"GRANT USAGE ON SEQUENCE ticks TO {name}".encode())
                url = make_url(owner).set(username=name, password="only_reads")  # noqa: S106 - of this server alone
                entries[name] = {"url": url.render_as_string(hide_password=False)}
        (home / OWNER).write_text(owner.replace("+psycopg", ""), encoding="ascii")
        yield {"databases_file": write_databases(home, entries)}


@contextmanager
def _memcached(home: Path) -> Iterator[dict[str, object]]:
    server, address = make_memcached(home / "memcached")
    with server, _main(home) as settings:
        yield {**settings, "cache": "memcached", "memcached_servers": address}


_SETUPS = {
    "main": _main,
    "programs": _main,
    "brief": _brief,
    "cacheless": _cacheless,
    "redis": _redis,
    "memcached": _memcached,
    "postgres": _postgres,
}
