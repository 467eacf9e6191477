"""Private PostgreSQL and MariaDB servers: free ports, temporary directories, gone when the tests end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

from tests.support import program
from tests.support.ports import free_port
from tests.support.processes import ServerProcess
from tests.support.serving import until

PASSWORD = "s3cret-Of-Tests"


class Server(ServerProcess):
    """A database server of its own; ``url`` names an owner who may do everything in it."""

    account: str

    def __init__(self) -> None:
        self.port = free_port()
        self.home = Path(tempfile.mkdtemp(prefix="ss-", dir="/tmp"))
        self.as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam(self.account)
            os.chown(self.home, entry.pw_uid, entry.pw_gid)
            self.as_user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self.create()
        self.start()

    @property
    def url(self) -> str:
        raise NotImplementedError

    def create(self) -> None:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def connect(self) -> Any:
        """A driver connection as the owner."""
        raise NotImplementedError

    def run(self, *command: str) -> None:
        done = subprocess.run(command, cwd=self.home, capture_output=True, check=False, **self.as_user)
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()

    def start(self) -> None:
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.as_user,
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "log").read_text()
        with suppress(psycopg.Error, pymysql.Error):
            self.connect().close()
            return True
        return False

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)


class PostgresServer(Server):
    account = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://owner:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    def create(self) -> None:
        secret = self.home / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self.run(
            program("initdb"),
            "--pgdata=data",
            "--username=owner",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.home),
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "shared_buffers": "16MB",
            "max_connections": "60",
            "autovacuum": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [program("postgres"), "-D", "data", "-p", str(self.port), *options]

    def connect(self) -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user="owner", password=PASSWORD, dbname="postgres", autocommit=True
        )


class MariadbServer(Server):
    account = "mysql"

    @property
    def url(self) -> str:
        return f"mariadb+pymysql://owner:{PASSWORD}@127.0.0.1:{self.port}/shop"

    def create(self) -> None:
        setup = self.home / "setup.sql"
        setup.write_text(
            "CREATE DATABASE IF NOT EXISTS shop CHARACTER SET utf8mb4;\n"
            f"CREATE OR REPLACE USER 'owner'@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL PRIVILEGES ON *.* TO 'owner'@'%' WITH GRANT OPTION;\n"
        )
        setup.chmod(0o644)
        self.run(
            program("mariadb-install-db", "mysql_install_db"),
            "--no-defaults",
            f"--datadir={self.home / 'data'}",
            f"--tmpdir={self.home}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-log-bin",
            "--innodb-flush-method=nosync",
        )

    def command(self) -> list[str]:
        return [
            program("mariadbd", "mysqld"),
            "--no-defaults",
            f"--datadir={self.home / 'data'}",
            f"--tmpdir={self.home}",  # a server that starts removes the temporary tables of all others that share one
            f"--socket={self.home / 'socket'}",
            f"--pid-file={self.home / 'pid'}",
            f"--init-file={self.home / 'setup.sql'}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--innodb-flush-method=nosync",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=16M",
            "--character-set-server=utf8mb4",
        ]

    def connect(self) -> Any:
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="owner", password=PASSWORD, database="shop", autocommit=True
        )


def _running(kind: Callable[[], Server]) -> Iterator[Server]:
    server = kind()
    try:
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    yield from _running(PostgresServer)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[Server]:
    yield from _running(MariadbServer)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Server) -> str:
    """URL of a server that the whole test run shares."""
    return postgres_server.url


@pytest.fixture(scope="session")
def mariadb_url(mariadb_server: Server) -> str:
    """URL of a server that the whole test run shares."""
    return mariadb_server.url


@pytest.fixture
def own_postgres() -> Iterator[Server]:
    """A server of the test's own, to freeze and kill."""
    yield from _running(PostgresServer)


@pytest.fixture
def own_mariadb() -> Iterator[Server]:
    """A server of the test's own, to freeze and kill."""
    yield from _running(MariadbServer)
