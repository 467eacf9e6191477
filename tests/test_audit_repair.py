"""What crashes, other writers and logs leave is no edit: it is repaired or read as it is."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest

from sql_synthesizer.audit import manifest, repair
from sql_synthesizer.audit.anchor import read_anchors
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.manifest import NAME, Manifest
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.audit import Bench, files
from tests.support.chain import kept as kept


def test_a_manifest_whose_end_is_no_entry_is_not_begun_anew(kept):
    path = kept.directory / NAME
    with path.open("ab") as file:
        file.write(b"x" * (2 * manifest.TAIL_BYTES))
    text = path.read_bytes()
    with pytest.raises(AuditUnavailable):
        Bench(kept.directory.parent).ask()
    assert path.read_bytes() == text


def test_a_crash_that_left_more_than_a_line_is_not_repaired(tmp_path, monkeypatch):
    crash(tmp_path)
    (path,) = files(tmp_path / "audit")
    with path.open("ab") as file:
        file.write(b"x" * 5_000)
    text = path.read_bytes()
    monkeypatch.setattr(repair, "LINE_LIMIT", 4_000)
    bench = Bench(tmp_path)
    bench.ask()
    bench.log.close()
    assert path.read_bytes() == text
    assert b'"how":"crashed"' not in (tmp_path / "audit" / NAME).read_bytes()


def test_a_line_that_no_writer_wrote_does_not_stop_the_next_writer(tmp_path):
    crash(tmp_path)
    (path,) = files(tmp_path / "audit")
    with path.open("ab") as file:
        file.write(b'\n{"a":1,"mac":"' + b"0" * 32 + b'"}\n')
    bench = Bench(tmp_path)
    bench.ask()
    bench.log.close()
    assert {fault.kind for fault in verify_record(tmp_path / "audit", Keyring(tmp_path / "audit.key")).faults} == {
        "damaged"
    }


def test_anchors_are_found_among_other_log_lines(kept, tmp_path):
    log = tmp_path / "service.log"
    lines = [orjson.dumps({"event": "audit_checkpoint", **asdict(anchor)}) for anchor in kept.anchors]
    log.write_bytes(
        b"\n".join([b"starting", b'{"event":"http_request"}', b"app | " + lines[0], *lines[1:], b'{"audit'])
    )
    assert list(read_anchors(log)) == kept.anchors
    with pytest.raises(ConfigurationError):
        list(read_anchors(tmp_path / "none.log"))


def test_the_log_carries_checkpoints_whatever_its_level(tmp_path):
    code = (
        "from tests.support.audit import Bench; from pathlib import Path; import sys\n"
        "from sql_synthesizer.monitoring.logs import LogObserver\n"
        "from sql_synthesizer.settings import Settings\n"
        "bench = Bench(Path(sys.argv[1]))\n"
        "bench.telemetry.observers.append(LogObserver(Settings(log_level='error'), bench.telemetry))\n"
        "bench.ask(); bench.telemetry.close()\n"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=True)
    (tmp_path / "log").write_bytes(done.stdout)
    (anchor,) = read_anchors(tmp_path / "log")
    report = verify_record(tmp_path / "audit", Keyring(tmp_path / "audit.key"), anchors=[anchor])
    assert report.sound, report.faults
    assert anchor.sequence == 1


CRASH = """
import os, signal, sys
from pathlib import Path
from tests.support.audit import Bench
bench = Bench(Path(sys.argv[1]))
for count in range(3):
    bench.ask(str(count))
with bench.log._segments._path.open("ab") as file:
    file.write(b'{"writer":"half a rec')
os.kill(os.getpid(), signal.SIGKILL)
"""


def crash(root: Path) -> None:
    done = subprocess.run([sys.executable, "-c", CRASH, root], check=False)
    assert done.returncode == -9


def test_an_unfinished_line_is_repaired_by_the_next_writer_and_reported(tmp_path, caplog):
    crash(tmp_path)
    (path,) = files(tmp_path / "audit")
    keyring = Keyring(tmp_path / "audit.key")
    before = verify_record(tmp_path / "audit", keyring)
    assert before.sound
    assert "unfinished" in before.notes[0]
    bench = Bench(tmp_path)
    bench.ask("after")
    bench.log.close()
    (told,) = caplog.records
    assert told.args == (path.name.rpartition("-")[0], len(b'{"writer":"half a rec'))
    report = verify_record(tmp_path / "audit", keyring)
    assert report.sound, report.faults
    assert not report.notes
    assert report.records == 4
    assert [path.read_bytes().endswith(b"\n") for path in files(tmp_path / "audit")] == [True, True]
    assert b'"how":"crashed"' in (tmp_path / "audit" / NAME).read_bytes()


def test_the_end_of_a_living_writer_is_not_noted_by_others(kept):
    entries = Manifest(kept.directory).lines()
    other = Bench(kept.directory.parent)
    other.ask()
    other.log.close()
    assert kept.verify().sound
    added = [orjson.loads(line) for line in Manifest(kept.directory).lines()[len(entries) :]]
    assert [(entry["kind"], entry["writer"]) for entry in added] == [
        ("segment", other.log.writer),
        ("ended", other.log.writer),
    ]


def test_a_torn_entry_of_the_manifest_is_taken_off(kept):
    with (kept.directory / NAME).open("ab") as file:
        file.write(b'{"number":99')
    assert kept.verify().sound
    Bench(kept.directory.parent).ask()
    assert kept.verify().sound


def test_files_from_before_the_chain_are_adopted_and_guarded_from_then_on(tmp_path):
    old = tmp_path / "audit" / "20250101T000000Z-1-00000000-000000.jsonl"
    old.parent.mkdir()
    record = {
        "time": "2025-01-01T00:00:00.000000Z",
        "sequence": 1,
        "writer": "w",
        "actor": "old",
        "event_type": "other",
    }
    old.write_bytes(orjson.dumps(record) + b"\n")
    bench = Bench(tmp_path)
    bench.ask(actor="new")
    assert [record["actor"] for record in bench.records()] == ["old", "new"]
    assert verify_record(bench.directory, bench.log.keyring).sound
    old.write_bytes(old.read_bytes().replace(b"old", b"odd"))
    assert [fault.kind for fault in verify_record(bench.directory, bench.log.keyring).faults] == ["changed"]
    bench.log.close()


def test_a_writer_that_was_taken_for_dead_goes_on(kept):
    bench = kept.benches[2]
    bench.log._segments._close_segment()
    Bench(kept.directory.parent).ask()
    bench.ask("still here")
    assert kept.verify().sound


def test_a_child_that_is_forked_while_the_manifest_is_locked_does_not_keep_it(kept):
    with Manifest(kept.directory).locked(kept.keyring):
        child = os.fork()
        if not child:
            os.kill(os.getpid(), 19)
    try:
        with Manifest(kept.directory).locked(kept.keyring):
            pass
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_a_manifest_that_somebody_keeps_locked_is_not_waited_for(kept, monkeypatch):
    monkeypatch.setattr(manifest, "LOCK_WAIT", 0.05)
    with Manifest(kept.directory).locked(kept.keyring):
        other = Bench(kept.directory.parent)
        with pytest.raises(AuditUnavailable):
            other.ask()
    other.ask()
    other.log.close()
    assert kept.verify().sound


def test_memory_observer_sees_no_text_in_checkpoints(kept):
    observer = MemoryObserver()
    kept.benches[2].telemetry.observers.append(observer)
    kept.benches[2].ask("a private thing")
    kept.benches[2].log._checkpoints.emit_checkpoint(now=True)
    kept.benches[2].telemetry.fold()
    (event,) = observer.events("audit_checkpoint")
    assert "private" not in str(event.details)
