"""Files that several processes use: locks have a deadline, files are whole or not there."""

from __future__ import annotations

import os
import re
import signal
import stat
import threading
from pathlib import Path

import pytest

from sql_synthesizer import files
from sql_synthesizer.files import draft_file, hold_lock, take_lock, write_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(b"old")
    return tmp_path / "file"


# --- locks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("held", "wanted"), [(False, False), (False, True), (True, False)])
def test_a_lock_is_refused_and_the_error_says_who_cannot_have_what(path: Path, held: bool, wanted: bool) -> None:
    with path.open() as one, path.open() as other, hold_lock(one, "x", shared=held):
        with pytest.raises(TimeoutError) as refused, hold_lock(other, "the ledger", shared=wanted, wait=0.01):
            pass
        assert re.search(rf"process {os.getpid()} cannot lock the ledger: .* 0\.01 s", str(refused.value))
    with path.open() as other, hold_lock(other, "the ledger", shared=wanted):
        pass


def test_readers_share_a_lock(path: Path) -> None:
    with path.open() as one, path.open() as other, hold_lock(one, "x", shared=True), hold_lock(other, "x", shared=True):
        pass


def test_a_lock_that_becomes_free_in_time_is_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = threading.Event()
    monkeypatch.setattr(files.time, "sleep", lambda _: tried.set())

    def take() -> None:
        with path.open() as other:
            take_lock(other, "x", wait=60)

    thread = threading.Thread(target=take)
    with path.open() as one, hold_lock(one, "x"):
        thread.start()
        assert tried.wait(30)
    thread.join(30)
    assert not thread.is_alive()


def test_a_forked_child_does_not_keep_a_lock(path: Path) -> None:
    with path.open() as one, hold_lock(one, "x"):
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGSTOP)
    try:
        with path.open() as other, hold_lock(other, "x"):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


# --- whole files -------------------------------------------------------------------------------


def test_a_file_is_whole_private_and_alone(path: Path) -> None:
    write_file(path, [b"a", b"b"])
    assert path.read_bytes() == b"ab"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_draft_that_fails_leaves_what_was_there(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_file(path, (bytes(1 // n) for n in (1, 0)))
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_first_of_several_wins(path: Path) -> None:
    with pytest.raises(FileExistsError):
        write_file(path, [b"new"], replace=False)
    assert path.read_bytes() == b"old"
    write_file(path.with_name("other"), [b"new"], replace=False)
    assert sorted(path.parent.iterdir()) == [path, path.with_name("other")]


@pytest.mark.parametrize("replace", [True, False])
def test_the_name_is_durable_too(path: Path, monkeypatch: pytest.MonkeyPatch, replace: bool) -> None:
    """Or a crash takes the new name back, while what was written later elsewhere speaks of it."""
    target = path if replace else path.with_name("other")
    synced = []

    def note(descriptor: int) -> None:
        named = target.exists() and target.read_bytes() == b"new"
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), named))

    monkeypatch.setattr(os, "fsync", note)
    write_file(target, [b"new"], replace=replace)
    assert synced == [(False, False), (True, True)]
    with draft_file(target, durable=False) as draft:
        draft.write_bytes(b"newer")
    assert len(synced) == 2
