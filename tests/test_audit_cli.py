"""The audit verbs, as the security officer uses them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from sql_synthesizer.audit import read_records
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.stamp import Stamp
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer.cli import group
from sql_synthesizer.errors import SqlSynthesizerError
from tests.support.audit import files

ASKED = ("how many customers are there", "how many orders per status", "how many customers are in Berlin")


class Officer:
    def __init__(self, state: Path) -> None:
        self.directory = state / "audit"

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(group, list(arguments))

    def told(self, event_type: str) -> list[dict[str, object]]:
        return [record["details"] for record in read_records(self.directory) if record["event_type"] == event_type]


@pytest.fixture
def officer(tmp_path: Path, demo_path: Path, monkeypatch: pytest.MonkeyPatch) -> Officer:
    """Somebody at a terminal, after three questions."""
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{demo_path}")
    made = Officer(tmp_path / "state")
    for asked in ASKED:
        assert made("ask", asked).exit_code == 0, asked
    return made


def test_a_sound_record_is_told_and_no_record_is_made_of_it(officer: Officer) -> None:
    before = len(list(read_records(officer.directory)))
    done = officer("audit", "verify")
    assert done.exit_code == 0
    assert done.stdout.startswith(f"The audit record is sound: {before:,} records in 3 segments of 3 writers")
    assert len(list(read_records(officer.directory))) == before
    report = json.loads(officer("audit", "verify", "--incremental", "--json").stdout)
    assert (report["sound"], report["records"], report["writers"]) == (True, 0, 3)


def test_a_changed_record_is_named_recorded_and_ends_with_status_1(officer: Officer) -> None:
    (path, *_) = files(officer.directory)
    path.write_bytes(path.read_bytes().replace(b'"count":1', b'"count":2', 1))
    done = officer("audit", "verify")
    assert done.exit_code == 1
    assert f"first bad record: changed: {path.name}, record 1" in done.stdout
    (fault,) = officer.told("audit_verification_failed")
    assert (fault["kind"], fault["file"], fault["sequence"], fault["faults"]) == ("changed", path.name, 1, 1)
    assert officer("audit", "verify", "--incremental", "--json").exit_code == 1


def test_a_failed_verification_leaves_the_last_good_state(officer: Officer) -> None:
    assert officer("audit", "verify").exit_code == 0
    before = files(officer.directory)
    assert officer("ask", "average price of products").exit_code == 0
    (path,) = set(files(officer.directory)) - set(before)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"count":1', b'"count":2', 1))
    assert officer("audit", "verify", "--incremental").exit_code == 1
    path.write_bytes(good)
    assert officer("audit", "verify", "--incremental").exit_code == 0


def test_an_anchor_file_without_checkpoints_is_refused(officer: Officer, tmp_path: Path) -> None:
    (tmp_path / "empty.log").write_text("nothing here\n")
    done = officer("audit", "verify", "--anchor", str(tmp_path / "empty.log"))
    assert isinstance(done.exception, SqlSynthesizerError)


def test_a_value_is_found_by_its_hash(officer: Officer) -> None:
    (line,) = officer("audit", "value", "Berlin").stdout.splitlines()
    literal = line.split("literal ")[1].split()[0]
    (found,) = map(orjson.loads, officer("audit", "search", "--value", "Berlin").stdout.splitlines())
    assert literal in found["details"]["sql"]
    assert "Berlin" not in found["details"]["sql"]
    assert not officer("audit", "search", "--value", "Munich").stdout
    assert all("Berlin" not in str(details) for details in officer.told("audit_access"))


def test_texts_are_erased_and_the_record_verifies(officer: Officer) -> None:
    question_id = next(
        record["question_id"]
        for record in read_records(officer.directory)
        if "customers" in record["details"]["question"]
    )
    assert "1 records" in officer("audit", "erase", "--question", question_id).stdout
    texts = [record["details"].get("question") for record in read_records(officer.directory)]
    assert "[erased]" in texts
    assert "how many orders per status" in texts
    assert officer("audit", "verify").exit_code == 0
    assert isinstance(officer("audit", "erase").exception, SqlSynthesizerError)


def test_retention_waits_for_a_verification_and_for_age(officer: Officer) -> None:
    assert officer("audit", "retire", "--days", "1").stdout.startswith("0 segments")
    officer("audit", "verify")
    assert officer("audit", "retire", "--days", "1").stdout.startswith("0 segments")
    assert isinstance(officer("audit", "retire").exception, SqlSynthesizerError)


def keys_of_values(officer: Officer) -> list[str]:
    """The keys under which the hash of a value is told."""
    return [line.split()[1] for line in officer("audit", "value", "x").stdout.splitlines()]


def test_another_key_seals_from_then_on(officer: Officer) -> None:
    (first,) = keys_of_values(officer)
    key = officer("audit", "rotate-key").stdout.split()[1]
    assert officer("ask", "average price of products").exit_code == 0
    assert officer("audit", "verify").exit_code == 0
    entries = map(orjson.loads, (officer.directory / "manifest.chain").read_bytes().splitlines())
    assert [entry["seal"] for entry in entries if "seal" in entry][-1] == key
    assert set(keys_of_values(officer)) == {first, key}


@pytest.mark.parametrize(
    ("arguments", "action"),
    [
        (("search",), "search"),
        (("value", "x"), "value"),
        (("erase", "--actor", "nobody"), "erase"),
        (("rotate-key",), "rotate-key"),
        (("retire", "--days", "9"), "retire"),
    ],
)
def test_each_use_is_recorded_before_it_happens(officer: Officer, arguments: tuple[str, ...], action: str) -> None:
    assert officer("audit", *arguments).exit_code == 0
    assert officer.told("audit_access")[0]["action"] == action


def test_the_record_is_used_although_only_its_reserve_is_left(
    officer: Officer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = os.statvfs(officer.directory)
    monkeypatch.setenv("SQL_SYNTHESIZER_AUDIT_RESERVE_BYTES", str(free.f_blocks * free.f_frsize))
    refused = officer("ask", "how many customers are there")
    assert refused.exit_code != 0
    assert "reserve" in str(refused.exception)
    assert officer("audit", "search").exit_code == 0
    assert [record["event_type"] for record in read_records(officer.directory)][3:5] == [
        "query_execution",
        "answer_withheld",
    ]


def test_the_key_may_not_lie_among_what_it_seals(officer: Officer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQL_SYNTHESIZER_AUDIT_KEY_FILE", str(officer.directory / "key"))
    assert isinstance(officer("audit", "search").exception, SqlSynthesizerError)


def test_retention_says_that_the_clock_jumped_and_takes_it_for_right(officer: Officer) -> None:
    assert officer("audit", "verify").exit_code == 0
    path, keyring = officer.directory.parent / "audit.verified", Keyring(officer.directory.parent / "audit.key")
    state = VerificationState.load(path, keyring)
    assert state.stamp is not None
    state.stamp = Stamp.take(state.stamp.believed - 97 * 86_400)
    state.save(path, keyring.current)
    said = officer("audit", "retire", "--days", "30")
    assert "97.0 days ahead" in said.stderr
    said = officer("audit", "retire", "--days", "30", "--trust-clock")
    assert (said.exit_code, said.stderr) == (0, "")
    told = [details for details in officer.told("audit_access") if details["action"] == "retired"]
    assert [(details["removed"], details["clock_days_ahead"]) for details in told] == [(0, 97.0), (0, 0.0)]
    after = VerificationState.load(path, keyring).stamp
    assert after is not None
    assert after.lead == 0


def test_an_emptied_directory_is_not_sound(officer: Officer) -> None:
    assert officer("audit", "verify").exit_code == 0
    for path in officer.directory.iterdir():
        path.unlink()
    said = officer("audit", "verify")
    assert said.exit_code == 1
    assert "NOT sound" in said.stdout, "the last verification knows that there was a record"
    for path in officer.directory.iterdir():
        path.unlink()
    (officer.directory.parent / "audit.verified").unlink()
    said = officer("audit", "verify")
    assert (said.exit_code, "sound" in said.stdout) == (1, False)
    assert "There is no audit record here" in said.stdout
    assert not (officer.directory.parent / "audit.verified").exists()
    assert officer("audit", "verify", "--log").exit_code == 0, "a service that was asked nothing yet"


def test_of_a_copy_nothing_is_written(officer: Officer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert officer("audit", "verify").exit_code == 0
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("audit", "audit.key", "audit.verified"):
        (officer.directory.parent / name).rename(copy / name)
    monkeypatch.setenv("SQL_SYNTHESIZER_STATE_DIR", str(copy))

    def look() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in [copy, *copy.rglob("*")]}

    before = look()
    verbs = (("verify",), ("search", "--value", "Berlin"), ("export", "--format", "csv"), ("value", "Berlin"))
    for verb in verbs:
        said = officer("audit", *verb, "--copy")
        assert (said.exit_code, bool(said.stdout)) == (0, True), said
    assert look() == before
    (copy / "audit.key").unlink()
    refused = officer("audit", "verify", "--copy")
    assert isinstance(refused.exception, SqlSynthesizerError)
    assert not (copy / "audit.key").exists()
