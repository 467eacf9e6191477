"""Private servers that a drill may break: PostgreSQL and Redis, on free ports, in a directory of their own."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path

import psycopg

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate.child import Child
from sql_synthesizer.operate.programs import account_options, find_program, free_port

POSTGRES_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
}
"""Quick and small; durability is nothing to a database that lives for one drill."""


def is_listening(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def make_postgres(home: Path) -> tuple[Child, str]:
    """A PostgreSQL server, not started, and the URL of its owner. Raises ConfigurationError."""
    port = free_port()
    password = secrets.token_urlsafe(12)
    home.mkdir(mode=0o755, parents=True)
    options = account_options("postgres")
    if options:
        os.chown(home, options["user"], options["group"])
    secret = home / "password"
    secret.write_text(password, encoding="ascii")
    secret.chmod(0o644)
    _run_initdb(home, secret, options)
    settings = [f"--{name}={value}" for name, value in POSTGRES_OPTIONS.items()]
    command = [find_program("postgres"), "-D", str(home / "data"), "-p", str(port), "-k", str(home), *settings]
    address = f"owner:{password}@127.0.0.1:{port}/postgres"
    ready = partial(_takes_statements, f"postgresql://{address}")
    server = Child("PostgreSQL", command, ready, home / "log", options={"cwd": home, **options})
    return server, f"postgresql+psycopg://{address}"


def _takes_statements(url: str) -> bool:
    """A server that is starting up accepts connections and refuses them."""
    with suppress(psycopg.Error), psycopg.connect(url, connect_timeout=2):
        return True
    return False


def _run_initdb(home: Path, secret: Path, options: dict[str, int]) -> None:
    command = [
        find_program("initdb"),
        f"--pgdata={home / 'data'}",
        "--username=owner",
        f"--pwfile={secret}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
        "--no-sync",
    ]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]  # noqa: S603
    if done.returncode != 0:
        raise ConfigurationError(
            "A PostgreSQL server cannot be made.", hint=(done.stderr or done.stdout).strip()[-300:]
        )


def make_redis(home: Path) -> tuple[Child, str]:
    """A Redis server without persistence, not started, and its URL."""
    port = free_port()
    home.mkdir(mode=0o755, parents=True)
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(home)]
    server = Child("Redis", [find_program("redis-server"), *options], lambda: is_listening(port), home / "log")
    return server, f"redis://127.0.0.1:{port}/0"


def make_memcached(home: Path) -> tuple[Child, str]:
    """A Memcached server, not started, and its address."""
    port = free_port()
    home.mkdir(mode=0o755, parents=True)
    options = ["-l", "127.0.0.1", "-p", str(port), "-U", "0", *(["-u", "nobody"] if os.geteuid() == 0 else [])]
    server = Child("Memcached", [find_program("memcached"), *options], lambda: is_listening(port), home / "log")
    return server, f"127.0.0.1:{port}"
