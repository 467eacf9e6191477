"""The time that retention goes by: what a clock that jumped removes, and what it does not."""

from __future__ import annotations

import json

import pytest

from sql_synthesizer.audit import lifecycle, stamp
from sql_synthesizer.audit.stamp import REST_LIMIT, Lead, Stamp, first_stamp
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.telemetry import facade
from tests.support.audit import Bench
from tests.support.chain import Kept

DAY = 86_400.0
NOW = 1_800_000_000.0


class Host:
    """A host whose clock is set, and which is started again."""

    def __init__(self, monkeypatch, tmp_path):
        self.clock, self.ticks, self.boot = NOW, 1_000.0, tmp_path / "boot_id"
        self.boot.write_text("first\n")
        monkeypatch.setattr(stamp, "BOOT_ID", self.boot)
        monkeypatch.setattr(stamp.time, "clock_gettime", lambda _: self.ticks)
        monkeypatch.setattr(stamp.time, "time", lambda: self.clock)

    def pass_time(self, seconds, *, jump=0.0):
        self.ticks += seconds
        self.clock += seconds + jump

    def restart(self, seconds, *, jump=0.0):
        self.boot.write_text(f"after {self.clock}\n")
        self.ticks = 0.0
        self.clock += seconds + jump


@pytest.fixture
def host(monkeypatch, tmp_path):
    return Host(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("jump", "lead"), [(0.0, 0.0), (30.0, 0.0), (100 * DAY, 100 * DAY), (-30.0, 0.0), (-100 * DAY, 0.0)]
)
def test_what_is_believed_while_a_host_runs(host, jump, lead):
    before = Stamp.take()
    host.pass_time(3600, jump=jump)
    after = before.advance()
    assert after.lead == lead
    assert after.believed - NOW == pytest.approx(3600 + (jump if abs(jump) < 60 else 0))
    host.pass_time(3600, jump=-jump)
    assert abs(after.advance().lead) < 60, "a clock that was set right again is believed"


@pytest.mark.parametrize(
    ("off", "jump", "believed"), [(3600, 0, 3600), (2 * DAY, 0, 2 * DAY), (3600, 100 * DAY, REST_LIMIT), (60, -DAY, 0)]
)
def test_what_is_believed_of_the_time_that_a_host_was_off(host, off, jump, believed):
    before = Stamp.take()
    host.restart(off, jump=jump)
    assert before.advance().believed - NOW == believed


def test_a_host_that_does_not_say_when_it_started(host):
    host.boot.unlink()
    before = Stamp.take()
    host.pass_time(3600)
    assert before.advance().lead == 0
    host.pass_time(3600, jump=100 * DAY)
    assert before.advance().believed == NOW + REST_LIMIT


def test_without_a_stamp_the_first_line_of_the_manifest_says_when_it_began(host):
    assert first_stamp([]).believed == NOW
    assert first_stamp([b"{}\n"]).believed == 0
    assert first_stamp([b"no line"]).believed == 0
    line = b'{"time":"2027-01-01T00:00:00.000000Z","mac":"' + b"0" * 32 + b'"}\n'
    assert first_stamp([line]).believed == record_time("2027-01-01T00:00:00+00:00")


def kept_by(tmp_path, monkeypatch, *days):
    """A record with a segment of each of these days before now."""
    for number, age in enumerate(days):
        with monkeypatch.context() as patched:
            then = NOW - age * DAY
            patched.setattr(facade.time, "time_ns", lambda then=then: int(then * 1e9))
            bench = Bench(tmp_path)
            bench.ask(str(number))
            bench.log.close()
    return Kept(tmp_path, [])


def ages(kept):
    found = [line for path in kept.directory.glob("*.jsonl") for line in path.read_text().splitlines()]
    times = sorted(json.loads(line.split("\t")[0])["time"] for line in found)
    return [round((NOW - record_time(text)) / DAY) for text in times]


def record_time(text):
    return stamp.datetime.fromisoformat(text).timestamp()


def retire(kept, state, days=30, **options):
    return lifecycle.retire_segments(
        kept.directory, kept.keyring, state, lifecycle.retention_limit(state, days), **options
    )


def test_a_clock_that_jumped_removes_nothing_more(host, tmp_path, monkeypatch):
    kept = kept_by(tmp_path, monkeypatch, 33, 31, 29, 1)
    state = VerificationState(stamp=Stamp.take())
    host.pass_time(3600, jump=100 * DAY)
    state = kept.verify(known=state).state
    assert len(retire(kept, state)) == 2
    assert ages(kept) == [29, 1]
    report = kept.verify(known=state)
    assert report.sound, report.faults
    assert report.state.stamp.lead == 100 * DAY


def test_one_run_removes_a_week_of_records(host, tmp_path, monkeypatch):
    kept = kept_by(tmp_path, monkeypatch, 100, 95, 90, 60, 1)
    state = kept.verify(known=VerificationState(stamp=Stamp.take())).state
    left = []
    for _ in range(4):
        retire(kept, state)
        left.append(ages(kept))
    assert left == [[90, 60, 1], [60, 1], [1], [1]]


def test_all_at_once(host, tmp_path, monkeypatch):
    kept = kept_by(tmp_path, monkeypatch, 100, 60, 1)
    retire(kept, kept.verify(known=VerificationState(stamp=Stamp.take())).state, span=None)
    assert ages(kept) == [1]


def test_nothing_goes_where_nobody_knows_the_time(host, tmp_path, monkeypatch):
    kept = kept_by(tmp_path, monkeypatch, 100)
    state = kept.verify().state
    state.stamp = None
    assert retire(kept, state) == []


def test_a_stamp_is_kept_sealed_and_an_older_state_has_one(host, tmp_path, monkeypatch):
    kept = kept_by(tmp_path, monkeypatch, 1)
    path, state = tmp_path / "audit.verified", kept.verify().state
    state.save(path, kept.keyring.current)
    assert VerificationState.load(path, kept.keyring).stamp == state.stamp
    state.stamp = None
    state.save(path, kept.keyring.current)
    assert VerificationState.load(path, kept.keyring).stamp == (state.verified_at, state.verified_at, "", 0.0)


def test_the_lead_is_read_when_the_file_changes(host, tmp_path):
    path, lead, loads = tmp_path / "audit.verified", Lead(), []
    first = Stamp.take()

    def load():
        loads.append(1)
        return first

    assert lead.read(path, load) is None
    path.touch()
    assert lead.read(path, load) == 0
    host.pass_time(60, jump=50 * DAY)
    assert lead.read(path, load) == 50 * DAY
    assert len(loads) == 1
