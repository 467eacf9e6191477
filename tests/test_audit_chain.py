"""The record cannot be changed unseen: every edit is found and placed."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sql_synthesizer.audit import chain, lifecycle, lines, read_records
from sql_synthesizer.audit.anchor import Checkpoint, mac_fingerprint
from sql_synthesizer.audit.manifest import NAME, Manifest
from sql_synthesizer.audit.verdict import RecordFault, VerificationState
from tests.support.audit import Bench
from tests.support.chain import RECORDS
from tests.support.chain import kept as kept


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


def test_a_fault_is_told_with_its_place():
    told = {
        "changed: a.jsonl, record 4, byte 9: why": RecordFault("changed", "a.jsonl", "why", "w", 4, 9),
        "damaged: manifest, entry 4, byte 9: why": RecordFault("damaged", "manifest", "why", "", 4, 9),
        "missing: a.jsonl, byte 0: why": RecordFault("missing", "a.jsonl", "why", "w"),
    }
    assert {text: str(fault) for text, fault in told.items()} == {text: text for text in told}


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


def test_a_fault_hides_none_of_a_later_segment(kept):
    for segment, record in enumerate([3, -1]):
        kept.edit(kept.path(1, segment), lambda lines, record=record: lines.pop(record))
    faults = [(fault.kind, fault.file) for fault in kept.verify().faults]
    assert faults == [("missing", kept.path(1).name), ("cut", kept.path(1, 1).name)]


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
