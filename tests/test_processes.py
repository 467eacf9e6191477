"""The locks by which the processes of a service know of each other."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sql_synthesizer import files
from sql_synthesizer.cli import serve, session
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.monitoring import shared
from sql_synthesizer.settings import load


@pytest.fixture
def busy_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of metric files whose lock somebody keeps."""
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.01)
    place = tmp_path / "state" / "metrics"
    shared.prepare_directory(place)
    with shared.lock_directory(place):
        yield place


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
