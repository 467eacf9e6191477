"""Child processes, and the locks by which the processes of a service know of each other."""

from __future__ import annotations

import fcntl
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sql_synthesizer import files
from sql_synthesizer.cli import serve, session
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import shared
from sql_synthesizer.operate.child import RUNNING, Child
from sql_synthesizer.settings import load
from tests.support.serving import until

STUBBORN = ["sh", "-c", "trap '' TERM; echo set; while :; do sleep 0.05; done"]
FAMILY = ["sh", "-c", "setsid sleep 600 & echo set; wait"]


def test_without_a_log_it_prints_where_its_parent_does(capfd: pytest.CaptureFixture[str]) -> None:
    child = Child("A child", ["sh", "-c", "echo said; echo told >&2; exit 3"]).start()
    assert until(lambda: child.exit_status) == 3
    assert capfd.readouterr() == ("said\n", "told\n")
    assert child.stop() == 3


def test_one_that_does_not_end_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Child("A child", STUBBORN, lambda: bool(log.read_text()), log) as child:
        assert child.stop(0.05) == -signal.SIGKILL
        assert child.exit_status == -signal.SIGKILL
    assert child not in RUNNING


def test_a_kill_reaches_descendants_in_sessions_of_their_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = Child("A child", FAMILY, lambda: bool(log.read_text()), log).start()
    family = until(lambda: [p for p in child.processes() if "600" in p.cmdline()] and child.processes())
    assert family[0].pid == child.pid
    child.kill()
    until(lambda: not any(process.is_running() and process.status() != "zombie" for process in family))
    assert child.processes() == []


# --- the supervisor's children --------------------------------------------------------------------


@pytest.fixture
def busy_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of metric files whose lock somebody keeps."""
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.01)
    place = tmp_path / "state" / "metrics"
    shared.prepare_directory(place)
    with shared.lock_directory(place):
        yield place


def test_a_process_is_started_again_while_its_metrics_are_locked(
    busy_metrics: Path, caplog: pytest.LogCaptureFixture
) -> None:
    part = serve._Part("A part", [sys.executable, "-c", "input()"], {}, busy_metrics).start()
    until(lambda: part.exit_status)
    first = part.pid
    assert part.ensure_running()
    assert part.pid != first
    assert f"the metrics of process {first} stay apart" in caplog.text
    part.stop()


@pytest.mark.parametrize("status", [0, 1, serve.APP_LOAD_ERROR])
def test_when_the_supervisor_gives_up(status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve.time, "sleep", lambda _: None)
    shared.prepare_directory(tmp_path)
    part = serve._Part("A part", ["sh", "-c", f"exit {status}"], {}, tmp_path).start()
    starts = 0
    while (part._process and part._process.wait()) is None or part.ensure_running():
        starts += 1
    assert starts == (0 if status == serve.APP_LOAD_ERROR else serve.RESTARTS)


def test_a_command_ends_well_while_the_metrics_are_locked(
    busy_metrics: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")  # what the command sets is forgotten afterwards
    state = busy_metrics.parent
    opened = session.open_rooms(state_dir=state, database_url=f"sqlite:///{demo_path}")
    with locked(state / "serve.lock", fcntl.LOCK_EX), opened as rooms:
        assert rooms.settings.state_dir == state
    assert "stay apart" in caplog.text


# --- the lock of the state directory ----------------------------------------------------------------


def locked(path: Path, kind: int) -> IO[str]:
    file = path.open("w")
    fcntl.flock(file, kind | fcntl.LOCK_NB)
    return file


@pytest.mark.parametrize(("kind", "running"), [(fcntl.LOCK_EX, True), (fcntl.LOCK_SH, False), (fcntl.LOCK_UN, False)])
def test_a_command_knows_whether_a_service_runs(kind: int, running: bool, tmp_path: Path) -> None:
    with locked(tmp_path / "serve.lock", kind):
        assert session._is_service_running(tmp_path / "serve.lock") is running


def test_what_is_no_lock_is_no_running_service(tmp_path: Path) -> None:
    assert not session._is_service_running(tmp_path / "absent")
    assert not session._is_service_running(tmp_path / "absent" / "below")
    assert not session._is_service_running(tmp_path)


def test_a_service_starts_while_a_command_looks_whether_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking = locked(tmp_path / "serve.lock", fcntl.LOCK_SH)
    monkeypatch.setattr(files.time, "sleep", lambda _: looking.close())
    with serve._lock_state_dir(load(state_dir=tmp_path)):
        assert session._is_service_running(tmp_path / "serve.lock")
        monkeypatch.setattr(serve, "LOCK_WAIT", 0.0)
        with pytest.raises(ConfigurationError, match="Another service"):
            serve._lock_state_dir(load(state_dir=tmp_path))
