"""What becomes of the processes of a service whose supervisor dies, and what SIGHUP takes in."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.support.serving import HANG, Service, fetch, service, until


def processes(served: Service) -> list[psutil.Process]:
    return psutil.Process(served.process.pid).children(recursive=True)


def kill_supervisor(served: Service) -> None:
    served.process.kill()
    served.process.wait(HANG)


def test_all_processes_end_with_the_supervisor(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        begun = processes(served)
        assert len(begun) >= 3
        kill_supervisor(served)
        _, alive = psutil.wait_procs(begun, HANG)
        assert not alive


def test_a_start_ends_what_hangs(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        until((served.state / "serve.sessions").exists)
        begun = processes(served)
        for process in begun:
            process.suspend()
        kill_supervisor(served)
        assert all(process.is_running() for process in begun)
    try:
        with service(tmp_path) as again:
            assert again.ask("how many customers are there").status == 200
            assert not [process for process in begun if process.is_running() and process.status() != "zombie"]
            assert "that an earlier service had left" in again.out.read_text()
            assert again.stop() == 0
            assert not (again.state / "serve.sessions").exists()
    finally:
        for process in begun:
            if process.is_running():
                process.kill()


@pytest.fixture
def shops(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        with closing(sqlite3.connect(tmp_path / f"{name}.sqlite")) as made:
            made.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT)")
            made.commit()
    return tmp_path


def write_databases(folder: Path, *names: str, more: str = "") -> None:
    lines = [f"  {name}:\n    url: sqlite:///{folder / name}.sqlite\n{more}" for name in names]
    (folder / "databases.yml").write_text("databases:\n" + "".join(lines), encoding="utf-8")


def databases(served: Service) -> list[str] | None:
    """None while the request is refused, which may be limited."""
    found: list[str] | None = fetch(served.url + "/api/me").json().get("databases")
    return found


def test_a_hangup_takes_in_the_databases_file(shops: Path) -> None:
    write_databases(shops, "one")
    given = {"SQL_SYNTHESIZER_DATABASES_FILE": str(shops / "databases.yml"), "DATABASE_URL": ""}
    with service(shops, **given) as served:
        assert databases(served) == ["one"]
        write_databases(shops, "one", "two")
        os.kill(served.process.pid, signal.SIGHUP)
        until(lambda: databases(served) == ["one", "two"])
        write_databases(shops, "one", more="    hidden: [nothing]\n")
        os.kill(served.process.pid, signal.SIGHUP)
        until(lambda: "Not reloaded" in served.out.read_text())
        assert databases(served) == ["one", "two"]
        until(lambda: served.counted("config_last_reload_successful") == 0)
        write_databases(shops, "one")
        os.kill(served.process.pid, signal.SIGHUP)
        until(lambda: served.counted("config_last_reload_successful") == 1)
        assert served.stop() == 0
