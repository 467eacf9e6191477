"""The record cannot be changed unseen: every edit is found and placed, and what a crash leaves is no edit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql_synthesizer.audit import chain, lifecycle, lines, manifest, read_records, repair
from sql_synthesizer.audit.anchor import Checkpoint, mac_fingerprint, read_anchors
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.manifest import NAME, Manifest
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.errors import AuditUnavailable, ConfigurationError
from sql_synthesizer.telemetry.testing import MemoryObserver
from tests.support.audit import Bench, files

RECORDS = 12


@pytest.fixture
def kept(tmp_path):
    """Two writers that have ended, the second with two segments, and one that still writes; with an anchor of each."""
    benches = [Bench(tmp_path), Bench(tmp_path, audit_segment_bytes=10_000), Bench(tmp_path)]
    for number, bench in enumerate(benches):
        for count in range(RECORDS * (3 if number == 1 else 1)):
            bench.ask(f"question {count}", actor=f"key-{number}", sql=f"SELECT {count} FROM orders")
        if number < 2:
            bench.log.close()
    benches[2].log._checkpoints.emit_checkpoint(now=True)
    made = Kept(tmp_path, benches)
    assert made.verify().sound
    yield made
    benches[2].log.close()


class Kept:
    def __init__(self, root: Path, benches: list[Bench]):
        self.directory = root / "audit"
        self.keyring = Keyring(root / "audit.key")
        self.benches = benches
        told = [event.details for bench in benches for event in bench.reported("audit_checkpoint")]
        self.anchors = [Checkpoint(**details) for details in told]

    def verify(self, *, anchored=False, **options):
        anchors = self.anchors if anchored else []
        return verify_record(self.directory, self.keyring, anchors=anchors, **options)

    def path(self, number: int, segment: int = 0) -> Path:
        return self.directory / f"{self.benches[number].log.writer}-{segment:06d}.jsonl"

    def lines(self, path: Path) -> list[bytes]:
        return path.read_bytes().splitlines(keepends=True)

    def edit(self, path: Path, change) -> None:
        lines = self.lines(path)
        change(lines)
        path.write_bytes(b"".join(lines))


def test_a_record_of_several_writers_is_sound(kept):
    report = kept.verify(anchored=True)
    assert report.sound, report.faults
    assert (report.records, report.writers, report.anchors) == (5 * RECORDS, 3, 3)
    assert report.segments >= 4


# --- every edit is found and placed ----------------------------------------------------------------


def reseal(lines: list[bytes], at: int, **fields) -> None:
    """Forges a record with a key that the attacker made up."""
    told = orjson.loads(lines[at])
    told.pop("mac")
    told.pop("text", None)
    lines[at], _ = chain.seal_line(b"0" * 16, orjson.dumps(told | fields), b"k" * 32)


def swap(lines):
    lines[3], lines[4] = lines[4], lines[3]


def put(old: bytes, new: bytes):
    """Replaces something in the fourth line."""
    return lambda lines: lines.__setitem__(3, lines[3].replace(old, new))


EDITS = {
    "change a value": (put(b"key-", b"key_"), "changed", 4),
    "change the question": (put(b"question 3", b"question 4"), "changed", 4),
    "change the hash": (put(b'"mac":"', b'"mac":"0'), "damaged", 4),
    "change the number": (put(b'"sequence":4', b'"sequence":9'), "missing", 4),
    "delete": (lambda lines: lines.pop(3), "missing", 4),
    "swap": (swap, "missing", 4),
    "repeat": (lambda lines: lines.insert(3, lines[2]), "repeated", 4),
    "garbage": (lambda lines: lines.insert(3, b"{}\n"), "damaged", 4),
    "forge with another key": (lambda lines: reseal(lines, 3, actor="nobody"), "changed", 4),
    "cut within a line": (lambda lines: lines.__setitem__(-1, lines[-1][:-9]), "cut", RECORDS),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_is_found_and_placed_without_an_anchor(kept, edit):
    change, kind, sequence = EDITS[edit]
    before = kept.lines(kept.path(0))
    kept.edit(kept.path(0), change)
    report = kept.verify()
    first = report.faults[0]
    assert (first.kind, first.file, first.sequence) == (kind, kept.path(0).name, sequence), report.faults
    if edit != "cut within a line":
        assert first.byte == sum(map(len, before[:3]))


def test_a_replayed_record_is_found_after_the_end(kept):
    kept.edit(kept.path(0), lambda lines: lines.append(lines[5]))
    (fault,) = kept.verify().faults
    assert (fault.kind, fault.sequence) == ("repeated", RECORDS + 1)


def test_a_record_appended_to_an_ended_writer_is_found(kept):
    kept.edit(kept.path(0), lambda lines: (lines.append(lines[-1]), reseal(lines, -1, sequence=RECORDS + 1)))
    (fault,) = kept.verify().faults
    assert (fault.kind, fault.sequence) == ("changed", RECORDS + 1)


def test_a_record_of_another_writer_is_found(kept):
    other = kept.lines(kept.path(1))[0]
    kept.edit(kept.path(0), lambda lines: lines.append(other))
    assert [fault.kind for fault in kept.verify().faults] == ["foreign"]


def test_the_tail_of_an_ended_writer_is_missed_without_an_anchor(kept):
    kept.edit(kept.path(0), lambda lines: lines.__delitem__(slice(-2, None)))
    (fault,) = kept.verify().faults
    assert (fault.kind, fault.sequence) == ("cut", RECORDS - 1)


def test_the_tail_of_an_earlier_segment_is_missed_without_an_anchor(kept):
    count = len(kept.lines(kept.path(1)))
    kept.edit(kept.path(1), lambda lines: lines.pop())
    (fault,) = kept.verify().faults
    assert (fault.kind, fault.file, fault.sequence) == ("cut", kept.path(1).name, count)


def test_the_tail_of_a_living_writer_is_missed_with_an_anchor(kept):
    kept.edit(kept.path(2), lambda lines: lines.__delitem__(slice(-3, None)))
    assert kept.verify().sound, "without an anchor nothing tells that there was more"
    (fault,) = kept.verify(anchored=True).faults
    assert (fault.kind, fault.sequence) == ("cut", RECORDS)
    number = mac_fingerprint(kept.anchors[2].mac)
    (fault,) = kept.verify(fingerprints=[number]).faults
    assert fault.kind == "anchor"
    assert str(number) in fault.message


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_removed_writer_is_missed_without_an_anchor(kept, number):
    name = kept.benches[number].log.writer
    for path in kept.directory.glob(f"{name}-*"):
        path.unlink()
    faults = kept.verify().faults
    assert {fault.kind for fault in faults} <= {"removed", "cut"}
    assert {fault.writer for fault in faults} == {name}


def test_a_writer_removed_with_its_entries_is_missed_with_an_anchor(kept):
    name = kept.benches[2].log.writer
    kept.path(2).unlink()
    kept.edit(kept.directory / NAME, lambda lines: lines.pop())
    assert kept.verify().sound, "without an anchor nothing tells that it was there"
    faults = kept.verify(anchored=True).faults
    assert {(fault.kind, fault.file) for fault in faults} == {("cut", NAME), ("cut", name)}


@pytest.mark.parametrize("edit", ["change", "delete", "swap", "damage"])
def test_an_edit_of_the_manifest_is_found(kept, edit):
    def change(lines):
        if edit == "change":
            lines[2] = lines[2].replace(b'"time":"2', b'"time":"1')
        elif edit == "delete":
            lines.pop(2)
        elif edit == "damage":
            lines[2] = b"\n"
        else:
            lines[1], lines[2] = lines[2], lines[1]

    kept.edit(kept.directory / NAME, change)
    first = kept.verify().faults[0]
    assert (first.file, first.sequence) == (NAME, 2 if edit == "swap" else 3)


def test_a_record_forged_as_a_whole_with_another_key_is_found(kept, tmp_path):
    forger = Bench(tmp_path / "forger")
    forger.ask("nothing happened")
    forger.log.close()
    shutil.rmtree(kept.directory)
    shutil.copytree(forger.directory, kept.directory)
    assert kept.verify().faults[0].kind == "unknown_key"
    assert {fault.kind for fault in kept.verify(anchored=True).faults} >= {"unknown_key", "cut"}


def test_a_file_that_nobody_registered_is_found(kept):
    shutil.copy(kept.path(0), kept.directory / "20300101T000000Z-1-00000000-000000.jsonl")
    assert [fault.kind for fault in kept.verify().faults] == ["unregistered"]


TAILS = {
    "another actor": b',"actor":"alice"}\n',
    "another time": b',"time":"2001-01-01T00:00:00.000000Z"}\n',
    "a second text": b',"text":null}\n',
    "a text of another kind": b"",
}


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("place", [0, None])
def test_nothing_may_follow_the_mac_but_the_text(kept, tail, place):
    path = kept.directory / NAME if place is None else kept.path(place)

    def change(lines):
        line = lines[2]
        if tail == "a text of another kind":
            at = line.rfind(b'"mac"') + 40
            lines[2] = line[:at] + b',"text":{"0123456789abcdef":1,"question":1}}\n'
        elif place is None:
            lines[2] = line.removesuffix(b"}\n") + b',"text":0' + TAILS[tail]
        else:
            lines[2] = line.removesuffix(b"}\n") + TAILS[tail]

    kept.edit(path, change)
    report = kept.verify()
    assert (report.faults[0].kind, report.faults[0].sequence) == ("damaged", 3)
    assert "alice" not in {record["actor"] for record in read_records(kept.directory, report=lambda *_: None)}


def test_the_border_between_salt_and_question_cannot_be_moved(kept):
    def change(lines):
        salt, question = orjson.loads(lines[3])["text"]
        moved = orjson.dumps([salt + question[:4], question[4:]])
        lines[3] = lines[3].replace(orjson.dumps([salt, question]), moved)

    kept.edit(kept.path(0), change)
    assert [(fault.kind, fault.sequence) for fault in kept.verify().faults] == [("damaged", 4)]


def test_a_record_whose_manifest_was_removed_is_not_adopted(kept):
    state = kept.verify().state
    (kept.directory / NAME).unlink()
    kept.edit(kept.path(0), lambda lines: lines.__setitem__(3, lines[3].replace(b"key-", b"key_")))
    other = Bench(kept.directory.parent)
    other.ask()
    other.log.close()
    kinds = {fault.kind for fault in kept.verify().faults}
    assert kinds == {"unregistered"}
    assert kept.verify(known=state).faults[0].kind in ("cut", "changed")


@pytest.mark.parametrize("there", ["link", "directory", "pipe", "dangling"])
def test_what_is_no_file_hangs_nobody_and_is_found(kept, there, tmp_path):
    path = kept.path(0)
    path.rename(tmp_path / "moved")
    if there == "link":
        path.symlink_to(tmp_path / "moved")
    elif there == "directory":
        path.mkdir()
    elif there == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nowhere")
    assert {fault.kind for fault in kept.verify().faults} == {"removed", "damaged"}
    assert {record["actor"] for record in read_records(kept.directory)} == {"key-1", "key-2"}
    assert lifecycle.erase_texts(kept.directory, kept.keyring, lambda record: record["actor"] == "key-0") == 0


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "ended"},
        {"kind": "segment", "segment": "x", "writer": 3},
        {"kind": "segment", "writer": "w", "segment": 0, "after": 0, "follows": "no MAC", "seal": "k", "key": "k"},
        {"kind": "erased", "writer": "w", "records": [[1]], "key": "k"},
        {"kind": "erased", "writer": "w", "records": 1, "key": "k"},
        {"kind": ["ended"], "key": "k"},
    ],
)
def test_an_entry_without_its_fields_is_found_and_the_records_are_still_read(kept, fields):
    last = chain.parse_line(Manifest(kept.directory).lines()[-1])
    line, _ = chain.seal_line(last.mac, orjson.dumps({"number": 99, **fields}), b"k" * 32)
    with (kept.directory / NAME).open("ab") as file:
        file.write(line)
    report = kept.verify()
    assert [(fault.kind, fault.file) for fault in report.faults] == [("damaged", NAME)]
    assert report.records == 5 * RECORDS


def test_nothing_hides_behind_a_line_that_was_padded_up_to_the_longest(kept, monkeypatch):
    limit = 2_000
    monkeypatch.setattr(lines, "LINE_LIMIT", limit)

    def change(all_lines):
        padded = all_lines[3].removesuffix(b"}\n").ljust(limit - 1) + b"}"
        all_lines[3] = padded + b'{"actor":"alice"}\n'

    kept.edit(kept.path(0), change)
    assert [(fault.kind, fault.sequence) for fault in kept.verify().faults] == [("damaged", 4)]


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


def test_an_anchor_that_nobody_signed_proves_nothing_and_is_told(kept):
    kept.anchors = [Checkpoint(**{**asdict(kept.anchors[0]), "sequence": 1_000})]
    assert [fault.kind for fault in kept.verify(anchored=True).faults] == ["anchor"]


def test_a_removed_manifest_is_found(kept):
    (kept.directory / NAME).unlink()
    assert {fault.kind for fault in kept.verify().faults} == {"unregistered"}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_of_a_sealed_segment_is_found(kept, data):
    path = kept.path(0)
    text = path.read_bytes()
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.integers(0, 255).filter(lambda byte: byte != text[at]))
    path.write_bytes(text[:at] + bytes([new]) + text[at + 1 :])
    try:
        report = kept.verify()
        # Hexadecimal digits mean the same in capitals; the MAC that they write is the same.
        assert not report.sound or text[at : at + 1].lower() == bytes([new]).lower()
    finally:
        path.write_bytes(text)


# --- what is no edit -------------------------------------------------------------------------------


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
    keyring = Keyring(tmp_path / "audit.key")
    before = verify_record(tmp_path / "audit", keyring)
    assert before.sound
    assert "unfinished" in before.notes[0]
    bench = Bench(tmp_path)
    bench.ask("after")
    bench.log.close()
    assert "21 bytes of an unfinished record were taken off" in caplog.text
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


# --- going on from the last verification -----------------------------------------------------------


def test_a_later_verification_goes_on_and_still_finds_what_changed(kept, tmp_path):
    path = tmp_path / "audit.verified"
    kept.verify().state.save(path, kept.keyring.current)
    state = VerificationState.load(path, kept.keyring)
    assert kept.verify(since=state).records == 0
    kept.benches[2].ask("one more")
    report = kept.verify(since=state)
    assert (report.sound, report.records) == (True, 1)
    kept.edit(kept.path(2), lambda lines: lines.__setitem__(-1, lines[-1].replace(b"one more", b"one less")))
    assert [(fault.kind, fault.sequence) for fault in kept.verify(since=state).faults] == [("changed", RECORDS + 1)]
    os.truncate(kept.path(2), 10)
    assert [fault.kind for fault in kept.verify(since=state).faults] == ["cut"]
    kept.path(0).unlink()
    assert [fault.kind for fault in kept.verify(since=state).faults] == ["removed", "cut"]


def test_a_record_that_was_put_in_the_place_of_another_is_found_by_the_next_verification(kept):
    state = kept.verify().state
    shutil.rmtree(kept.directory)
    bench = Bench(kept.directory.parent)
    bench.ask()
    bench.log.close()
    assert kept.verify().sound, "by itself it is a record"
    for found in (kept.verify(since=state), kept.verify(known=state)):
        assert (found.faults[0].kind, found.faults[0].file) == ("cut", NAME)
    shutil.rmtree(kept.directory)
    assert not kept.verify(known=state).sound


def test_a_state_that_was_changed_counts_for_nothing(kept, tmp_path):
    path = tmp_path / "audit.verified"
    kept.verify().state.save(path, kept.keyring.current)
    path.write_bytes(path.read_bytes().replace(b'"manifest":', b'"manifest":9'))
    assert VerificationState.load(path, kept.keyring) == VerificationState()


# --- retention, erasure, keys ----------------------------------------------------------------------


def test_retention_removes_only_what_is_old_and_verified_and_the_rest_verifies(kept):
    assert lifecycle.retire_segments(kept.directory, kept.keyring, VerificationState(), 1) == []
    state = kept.verify().state
    assert lifecycle.retire_segments(kept.directory, kept.keyring, state, 1) == []
    shifted = [path for path in files(kept.directory) if path != kept.path(2)]
    removed = lifecycle.retire_segments(kept.directory, kept.keyring, state, -1)
    assert sorted(removed) == sorted(path.name for path in shifted)
    report = kept.verify(anchored=True)
    assert report.sound, report.faults
    assert report.records == RECORDS
    assert kept.verify(since=state).sound
    assert lifecycle.retire_segments(kept.directory, kept.keyring, state, -1) == []


def test_a_file_in_the_place_of_a_retired_segment_is_found(kept):
    text = kept.path(0).read_bytes()
    lifecycle.retire_segments(kept.directory, kept.keyring, kept.verify().state, -1)
    kept.path(0).write_bytes(text)
    assert kept.verify().sound, "a crash may leave it behind"
    kept.path(0).write_bytes(text.replace(b"key-0", b"key-9", 1))
    assert [fault.kind for fault in kept.verify().faults] == ["changed"]
    lifecycle.retire_segments(kept.directory, kept.keyring, kept.verify().state, -1)


def test_retention_believes_no_record_that_was_changed(kept):
    state = kept.verify().state
    kept.edit(kept.path(0), lambda lines: lines.__setitem__(-1, lines[-1].replace(b'"time":"2', b'"time":"1')))
    assert kept.path(0).name not in lifecycle.retire_segments(kept.directory, kept.keyring, state, -1)


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


def test_a_key_file_that_vanishes_is_not_replaced(kept, caplog):
    text = kept.keyring.path.read_text()
    kept.keyring.path.unlink()
    kept.benches[2].log._reload_key()
    kept.benches[2].ask("with the key that is held")
    assert "cannot be read" in caplog.text
    stranger = Bench(kept.directory.parent)
    with pytest.raises(AuditUnavailable):
        stranger.ask()
    with pytest.raises(AuditUnavailable):
        stranger.log.ping(1.0)
    kept.keyring.path.write_text(text)
    kept.benches[2].log._reload_key()
    kept.benches[2].ask("again")
    kept.keyring.reload()
    assert kept.verify().sound


def test_a_key_that_was_rotated_out_seals_nothing_more(kept, tmp_path, monkeypatch):
    old = tmp_path / "old" / "audit.key"
    old.parent.mkdir()
    old.write_text(kept.keyring.path.read_text())
    lifecycle.rotate_key(kept.directory, kept.keyring)
    thief = Bench(kept.directory.parent, audit_key_file=old)
    with pytest.raises(AuditUnavailable):
        thief.ask()
    monkeypatch.setattr(manifest, "_find_key", lambda _keyring, _id: thief.log.keyring.current)
    thief.ask("forged")
    thief.log.close()
    assert kept.verify().faults[0].kind == "unknown_key"


def test_an_erased_text_is_gone_and_the_chain_holds(kept):
    size = kept.path(2).stat().st_size

    def mine(record):
        return record["actor"] == "key-2" and record["sequence"] > 6

    count = lifecycle.erase_texts(kept.directory, kept.keyring, mine)
    assert count == RECORDS - 6
    text = kept.path(2).read_bytes()
    assert b"question 7" not in text
    assert b"question 5" in text
    assert len(text) == size
    assert kept.verify(anchored=True).sound
    texts = [record["details"]["question"] for record in read_records(kept.directory) if record["actor"] == "key-2"]
    assert texts == [*(f"question {number}" for number in range(6)), *["[erased]"] * 6]
    kept.benches[2].ask("goes on")
    assert kept.verify().sound
    assert lifecycle.erase_texts(kept.directory, kept.keyring, mine) == 0


def test_a_text_that_somebody_erases_beside_the_verb_is_found(kept):
    kept.edit(kept.path(0), lambda lines: lines.__setitem__(3, chain.erase_line_text(lines[3])))
    (fault,) = kept.verify().faults
    assert (fault.kind, fault.sequence) == ("changed", 4)
    assert "manifest" in fault.message


def test_many_texts_are_erased_at_once(kept, monkeypatch):
    monkeypatch.setattr(lifecycle, "ERASED_TOGETHER", 5)
    assert lifecycle.erase_texts(kept.directory, kept.keyring, lambda record: record["actor"] == "key-1") == 3 * RECORDS
    assert kept.verify(anchored=True).sound


def test_a_rotated_key_is_taken_up_and_old_records_still_verify(kept):
    old = kept.keyring.current
    new = lifecycle.rotate_key(kept.directory, kept.keyring)
    bench = kept.benches[2]
    assert bench.log.keyring.reload()
    bench.ask("under the new key")
    report = kept.verify(anchored=True)
    assert report.sound, report.faults
    seals = [orjson.loads(line).get("seal") for line in Manifest(kept.directory).lines()]
    assert seals[-1] == new.id != old.id
    alone = Keyring(kept.directory.parent / "alone.key")
    alone.path.write_text(kept.keyring.path.read_text().splitlines()[1])
    alone.reload()
    assert verify_record(kept.directory, alone).faults[0].kind == "unknown_key"


def test_a_key_that_a_crash_kept_out_of_the_manifest_is_told_to_it_by_the_next_writer(kept):
    new = kept.keyring.add(bytes(range(32)))
    bench = Bench(kept.directory.parent)
    bench.ask()
    bench.log.close()
    report = kept.verify()
    assert report.sound, report.faults
    assert any(f'"new":"{new.id}"'.encode() in line for line in Manifest(kept.directory).lines())


def test_memory_observer_sees_no_text_in_checkpoints(kept):
    observer = MemoryObserver()
    kept.benches[2].telemetry.observers.append(observer)
    kept.benches[2].ask("a private thing")
    kept.benches[2].log._checkpoints.emit_checkpoint(now=True)
    kept.benches[2].telemetry.fold()
    (event,) = observer.events("audit_checkpoint")
    assert "private" not in str(event.details)
