"""What is retired, erased or sealed with a newer key still verifies."""

from __future__ import annotations

import orjson
import pytest

from sql_synthesizer.audit import chain, lifecycle, manifest, read_records
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.manifest import Manifest
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.errors import AuditUnavailable
from tests.support.audit import Bench, files
from tests.support.chain import RECORDS
from tests.support.chain import kept as kept


def retire(kept, state, *, days):
    limit = lifecycle.retention_limit(state, days)
    return lifecycle.retire_segments(kept.directory, kept.keyring, state, limit)


def test_retention_removes_only_what_is_old_and_verified_and_the_rest_verifies(kept):
    assert retire(kept, VerificationState(), days=1) == []
    state = kept.verify().state
    assert retire(kept, state, days=1) == []
    shifted = [path for path in files(kept.directory) if path != kept.path(2)]
    removed = retire(kept, state, days=-1)
    assert sorted(removed) == sorted(path.name for path in shifted)
    report = kept.verify(anchored=True)
    assert report.sound, report.faults
    assert report.records == RECORDS
    assert kept.verify(since=state).sound
    assert retire(kept, state, days=-1) == []


def test_a_file_in_the_place_of_a_retired_segment_is_found(kept):
    text = kept.path(0).read_bytes()
    retire(kept, kept.verify().state, days=-1)
    kept.path(0).write_bytes(text)
    assert kept.verify().sound, "a crash may leave it behind"
    kept.path(0).write_bytes(text.replace(b"key-0", b"key-9", 1))
    assert [fault.kind for fault in kept.verify().faults] == ["changed"]
    retire(kept, kept.verify().state, days=-1)


def test_retention_believes_no_record_that_was_changed(kept):
    state = kept.verify().state
    kept.edit(kept.path(0), lambda lines: lines.__setitem__(-1, lines[-1].replace(b'"time":"2', b'"time":"1')))
    assert kept.path(0).name not in retire(kept, state, days=-1)


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
