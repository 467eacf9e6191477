"""Faults are made and mended, and nothing that a proof started outlives it."""

from __future__ import annotations

import ast
import shutil
import socket
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate import programs
from sql_synthesizer.operate.child import RUNNING, Child
from sql_synthesizer.operate.watchers import Watcher
from sql_synthesizer_proof.drill.chain import end_chains, make_workspace
from sql_synthesizer_proof.drill.faults.locks import run_in_background
from sql_synthesizer_proof.drill.proxy import Proxy
from sql_synthesizer_proof.drill.scenario import lasting_fault
from sql_synthesizer_proof.service import ServiceProcess
from sql_synthesizer_proof.volume import fill_volume, mount_volume
from tests.house import PROOF, ROOT, sources, tree
from tests.support.serving import HANG


@pytest.fixture
def echo():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while data := connection.recv(100):
                        connection.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def said(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=HANG) as connection:
        connection.sendall(b"hello")
        return connection.recv(100)


@pytest.mark.parametrize(
    "answer", [b"Content-Length: 9\r\n\r\n[1,", b"\r\n[1,", b"Transfer-Encoding: chunked\r\n\r\n9"]
)
def test_an_answer_of_a_watcher_that_breaks_off_is_an_error_of_the_network(tmp_path: Path, answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\n" + answer)

        thread = threading.Thread(target=serve)
        thread.start()
        child = Child("A watcher", ["none"])
        watcher = Watcher(child, f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path / "config")
        with pytest.raises(OSError, match="no whole answer"):
            watcher.get("/api/v1/alerts")
        thread.join()


def test_a_proxy_passes_on_until_it_is_closed(echo: int) -> None:
    with Proxy(echo) as proxy:
        assert said(proxy.port) == b"hello"
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=HANG) as connection:
            connection.sendall(b"x")
            assert connection.recv(1) == b"x"
            proxy.close()
            assert connection.recv(1) == b""
        with suppress(ConnectionError):
            assert said(proxy.port) == b""
        proxy.open()
        assert said(proxy.port) == b"hello"


def test_a_connection_that_is_just_being_made_is_cut_too(echo: int, monkeypatch: pytest.MonkeyPatch) -> None:
    connect = socket.create_connection
    with Proxy(echo) as proxy:

        def connect_late(*arguments: object, **options: object) -> socket.socket:
            proxy.close()
            return connect(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "create_connection", connect_late)
        with connect(("127.0.0.1", proxy.port), timeout=5) as connection:
            assert connection.recv(1) == b""


class Broken(Exception):
    pass


@pytest.mark.parametrize("when", ["made", "there"])
def test_a_fault_is_mended_however_it_ends(when: str) -> None:
    done = []

    def make() -> None:
        done.append("made")
        if when == "made":
            raise Broken

    with pytest.raises(Broken), lasting_fault(make, lambda: done.append("mended")):
        raise Broken
    assert done == ["made", "mended"]


def test_nothing_is_mended_only_when_all_goes_well() -> None:
    """After a 'yield' only a 'finally' is sure to be run."""
    for path in (path for path in sources() if path.is_relative_to(ROOT / PROOF)):
        for function in (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)):
            if any(ast.unparse(decorator) == "contextmanager" for decorator in function.decorator_list):
                assert not skipped_on_error(function.body), f"{path.name}: {function.name}"


def skipped_on_error(block: list[ast.stmt]) -> bool:
    """Whether something follows a 'yield' in this block, or in one below it."""
    for number, statement in enumerate(block):
        yields = any(isinstance(node, ast.Yield) for node in ast.walk(statement))
        if yields and not all(isinstance(after, ast.Return) for after in block[number + 1 :]):
            branches = isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return)
            if not branches:
                return True
        if any(skipped_on_error(inner) for inner in (getattr(statement, "body", []), getattr(statement, "orelse", []))):
            return True
    return False


def test_a_step_that_breaks_in_the_background_is_told() -> None:
    def step(stop: threading.Event) -> None:
        assert stop.wait(10)
        raise Broken

    with pytest.raises(Broken), run_in_background(step):
        pass


def test_a_signal_leaves_no_volume_mounted() -> None:
    with make_workspace("volumes-") as home, mount_volume(home / "deep" / "below", "1m") as made:
        if not made:
            pytest.skip("this account may not mount a volume")
        with mount_volume(home / "deep" / "below" / "audit", "1m"):
            end_chains()
        assert not any(Path(part.mountpoint).is_relative_to(home) for part in psutil.disk_partitions(all=True))
        assert not home.exists()


def test_a_full_volume_is_emptied_again() -> None:
    with make_workspace("volumes-") as home, mount_volume(home / "small", "1m") as made:
        if not made:
            pytest.skip("this account may not mount a volume")
        with fill_volume(home / "small", 100_000):
            assert 0 <= shutil.disk_usage(home / "small").free <= 100_000
        assert list((home / "small").iterdir()) == []


def test_a_worker_is_killed_though_another_has_just_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Child("A worker", ["sleep", "600"]) as other, Child("A worker", ["sleep", "600"]) as worker:
        ended, living = psutil.Process(other.pid), psutil.Process(worker.pid)
        other.kill()
        found = iter([[], [ended], [ended, ended], [ended, living]])
        service = ServiceProcess(tmp_path, {})
        monkeypatch.setattr(service, "web_processes", lambda: next(found))
        service.kill_worker(lambda process: process in (ended, living))
        assert next(found, None) is None
        assert not living.is_running()


def test_a_missing_program_says_how_to_get_it() -> None:
    with pytest.raises(ConfigurationError) as caught:
        programs.find_program("prometheus-of-tomorrow", "none-such")
    assert "prometheus-of-tomorrow or none-such" in caught.value.message
    assert "apt-get install" in caught.value.hint


def test_a_child_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    child = Child("A child", ["sh", "-c", "echo sorry; exit 3"], lambda: False, tmp_path / "log")
    with pytest.raises(ConfigurationError, match="ended with 3") as caught:
        child.start()
    assert "sorry" in caught.value.hint


def test_what_was_started_can_be_ended_at_once(tmp_path: Path) -> None:
    child = Child("A child", ["sleep", "600"], lambda: True, tmp_path / "log").start()
    assert child in RUNNING
    end_chains()
    assert child.exit_status is not None
    assert child not in RUNNING
