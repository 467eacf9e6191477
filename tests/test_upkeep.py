"""What the supervisor has done to the audit record from time to time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sql_synthesizer.audit import read_records
from sql_synthesizer.cli import upkeep
from sql_synthesizer.cli.upkeep import Upkeep
from sql_synthesizer.settings import child_environment, load
from tests.support.audit import Bench, files
from tests.support.serving import until


@pytest.fixture
def kept(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A record of three questions, and the settings of the service that it belongs to."""
    monkeypatch.setattr(upkeep, "FIRST_AFTER", 0.0)
    monkeypatch.setattr(upkeep, "NICENESS", 0)  # a busy machine would never come to it
    state = tmp_path / "state"
    bench = Bench(state)
    for number in range(3):
        bench.ask(str(number))
    bench.log.close()

    def make(**settings) -> Upkeep:
        given = {"state_dir": state, "database_url": f"sqlite:///{demo_path}", **settings}
        return Upkeep(load(**given), child_environment(given))

    return state, make


def run(kept: Upkeep) -> None:
    kept.poll_steps()
    until(lambda: kept.poll_steps() or (kept._running is None and not kept._left))


def test_the_record_is_verified(kept) -> None:
    state, make = kept
    run(make())
    assert (state / "audit.verified").exists()


def test_a_changed_record_is_reported(kept, capfd) -> None:
    state, make = kept
    (path,) = files(state / "audit")
    path.write_bytes(path.read_bytes().replace(b"key-1", b"key-2", 1))
    run(make())
    out, err = capfd.readouterr()
    assert "audit verify found the record NOT sound" in err
    told = [json.loads(line) for line in out.splitlines()]
    (event,) = [line for line in told if line["event"] == "audit_verification_failed"]
    assert event["level"] == "critical"
    assert [r["event_type"] for r in read_records(state / "audit")][-1] == "audit_verification_failed"
    assert not (state / "audit.verified").exists()


def test_what_retention_does_not_keep_is_removed_after_it_was_verified(kept) -> None:
    state, make = kept
    run(make(audit_retention_days=1))
    told = [r["details"].get("action") for r in read_records(state / "audit") if r["event_type"] == "audit_access"]
    assert told == ["retire", "retired"]


@pytest.mark.parametrize(("step", "status"), [(upkeep.VERIFY, 3), (upkeep.RETIRE, 1)])
def test_a_step_that_fails_otherwise_is_told_by_its_name(kept, step, status, monkeypatch, capfd) -> None:
    _, make = kept
    monkeypatch.setattr(upkeep, "own_command", lambda *_: ["sh", "-c", f"exit {status}"])
    kept = make()
    kept._steps = [step, upkeep.RETIRE]
    run(kept)
    (told,) = capfd.readouterr().err.splitlines()
    assert f"audit {step[1]} ended with {status}" in told
    assert told.endswith(f"sql-synthesizer audit {step[1]}"), "what to type is there to be copied"


def test_nothing_is_done_where_it_is_turned_off(kept) -> None:
    _, make = kept
    kept = make(audit_verify_minutes=0)
    kept.poll_steps()
    kept.poll_steps()
    assert kept._running is None


def test_a_stop_does_not_wait_for_a_verification(kept) -> None:
    _, make = kept
    kept = make()
    kept.poll_steps()
    kept.poll_steps()
    assert kept._running is not None
    kept.stop()
    assert kept._running.exit_status is not None
