"""The containers' own commands and checks, run on the programs of this machine with the files that are mounted."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from tests.deploy.support import ROOT, SERVICES, make_secrets, mounts, subpath
from tests.support import program
from tests.support.databases import PASSWORD, Server
from tests.support.ports import free_port
from tests.support.serving import run_own, until

pytestmark = pytest.mark.server


class Container:
    """A service's command and health check, with its paths moved into a directory and its port to a free one."""

    def __init__(self, name: str, root: Path, port: str) -> None:
        self.service = SERVICES[name]
        self.root = root
        self.port = port
        self.free = str(free_port())
        for source, target, _ in mounts(self.service):
            place = self._place(target)
            if source[0] in "./":
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(place, ignore_errors=True)  # a mount hides what was there
                copy = shutil.copytree if (ROOT / source).is_dir() else shutil.copy
                copy(ROOT / source, place)
            else:
                place.mkdir(parents=True, exist_ok=True)
        if mounted := subpath(self.service):
            make_secrets(root / "secrets")
            shutil.copytree(root / "secrets" / mounted[0], self._place(mounted[1]), dirs_exist_ok=True)

    def _place(self, target: str) -> Path:
        return self.root / target.removeprefix("/")

    def _moved(self, argument: str) -> str:
        targets = sorted((target for _, target, _ in mounts(self.service)), key=len, reverse=True)
        for target in targets:
            if re.search(re.escape(target) + r"(?![\w-])", argument):
                return argument.replace(target, str(self._place(target)))
        return argument.replace(f":{self.port}", f":{self.free}")

    def command(self) -> list[str]:
        return [self._moved(argument) for argument in self.service["command"]]

    def healthy(self) -> bool:
        check, *arguments = [self._moved(argument) for argument in self.service["healthcheck"]["test"][1:]]
        done = subprocess.run([program(check), *arguments], capture_output=True, check=False)
        return done.returncode == 0


@contextmanager
def running(*command: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def starts(process: subprocess.Popen[bytes], container: Container, log: Path) -> None:
    """Waits for the container's own health check; fails with the program's words when it has ended."""
    until(lambda: process.poll() is not None or container.healthy())
    assert process.poll() is None, log.read_text()


@pytest.mark.parametrize(
    ("name", "binary", "port", "listen"),
    [
        ("prometheus", "prometheus", "9090", "--web.listen-address=127.0.0.1:{}"),
        ("alertmanager", "prometheus-alertmanager", "9093", "--web.listen-address=127.0.0.1:{}"),
    ],
)
def test_watchers_start(name: str, binary: str, port: str, listen: str, tmp_path: Path) -> None:
    container = Container(name, tmp_path, port)
    assert not container.healthy()
    log = tmp_path / "log"
    with running(program(binary), *container.command(), listen.format(container.free), log=log) as process:
        starts(process, container, log)


def test_redis_starts(tmp_path: Path) -> None:
    port = str(free_port())
    redis, *arguments = SERVICES["redis"]["command"]
    moved = ["--port", port, "--bind", "127.0.0.1", "--dir", str(tmp_path)]
    with running(program(redis), *arguments, *moved, log=tmp_path / "log"):
        client, *check = SERVICES["redis"]["healthcheck"]["test"][1:]
        ping = [program(client), "-p", port, *check]
        until(lambda: subprocess.run(ping, capture_output=True, check=False).stdout == b"PONG\n")


def test_runbooks_are_served(tmp_path: Path) -> None:
    service, port = SERVICES["runbooks"], str(free_port())
    arguments = [text.replace("8000", port).replace("/runbooks", str(ROOT / "runbooks")) for text in service["command"]]
    check = service["healthcheck"]["test"][-1].replace(":8000", f":{port}")
    with running(sys.executable, *service["entrypoint"][1:], *arguments, log=tmp_path / "log"):
        until(lambda: subprocess.run([sys.executable, "-c", check], capture_output=True, check=False).returncode == 0)


@pytest.fixture
def shop(postgres_server: Server, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The database of the stack on this machine: the script for a first start, then the demo loaded by its owner."""
    make_secrets(tmp_path)
    with postgres_server.connect() as connection:
        connection.execute("CREATE DATABASE shop")
    script = (ROOT / "deploy/compose/postgres/10-reader.sh").read_text()
    environment = {
        "PATH": os.environ["PATH"],
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres_server.port),
        "PGPASSWORD": PASSWORD,
        "POSTGRES_USER": "owner",
        "POSTGRES_DB": "shop",
    }
    moved = script.replace("/run/secrets", str(tmp_path / "postgres"))
    subprocess.run(["sh", "-c", moved], env=environment, check=True, capture_output=True)
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"127.0.0.1:{postgres_server.port}:shop:owner:{PASSWORD}")
    passfile.chmod(0o400)
    url = make_url(SERVICES["demo"]["command"][-1])
    assert (tmp_path / "demo/pgpass").read_text().startswith(f"postgres:5432:{url.database}:{url.username}:")
    here = url.set(host="127.0.0.1", port=postgres_server.port, username="owner", query={"passfile": str(passfile)})
    for _ in range(2):
        arguments = ("demo", "load", here.render_as_string(hide_password=False))
        done = run_own({"PATH": os.environ["PATH"]}, *arguments)
        assert done.returncode == 0, done.stderr
    reader = conninfo_to_dict((tmp_path / "app/database_url").read_text())
    yield {**reader, "host": "127.0.0.1", "port": postgres_server.port}
    with postgres_server.connect() as connection:
        connection.execute("DROP DATABASE shop WITH (FORCE)")
        connection.execute("DROP ROLE shop_reader")


def test_the_service_may_only_read(shop: dict[str, Any]) -> None:
    with psycopg.connect(**shop, autocommit=True) as connection:
        (customers,) = connection.execute("SELECT count(*) FROM customers").fetchone() or (0,)
        assert customers > 0
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM customers")
        connection.execute("SET default_transaction_read_only = off")
        for statement in ("DELETE FROM customers", "CREATE TABLE own (id int)", "CREATE ROLE other"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
