"""What a kill left between counters and audit record is counted afterwards, once."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from sql_synthesizer.monitoring import gap
from sql_synthesizer.monitoring.multiprocess import SharedCollector, adopt_counts, mark_dead
from sql_synthesizer.monitoring.shared import prepare_directory
from tests.support.audit import Bench
from tests.support.audit import bench as bench
from tests.support.metrics import samples

PID = 999_999_999
EVENT = {"event_type": "query_execution", "severity": "info"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    prepare_directory(tmp_path / "metrics")
    return tmp_path / "metrics"


def count(place: Path, number: float, event_type: str = "query_execution", kind: str = "counter") -> None:
    """A file of a process that had counted so many events."""
    file = MmapedDict(str(place / f"{kind}_{PID}.db"))  # type: ignore[no-untyped-call]
    labels = EVENT | {"event_type": event_type}
    key = mmap_key(gap.EVENTS.removesuffix("_total"), gap.EVENTS, list(labels), list(labels.values()), "Help.")
    file.write_value(key, number, 0.0)  # type: ignore[no-untyped-call]
    file.close()  # type: ignore[no-untyped-call]


def found(place: Path, bench: Bench) -> Counter[tuple[str, str]]:
    seen: Counter[tuple[str, str]] = Counter()
    gap.count_gaps(place, bench.directory, lambda metric, name, number: seen.update({(metric, name): int(number)}))
    return seen


def test_what_is_on_record_and_was_not_counted(place: Path, bench: Bench) -> None:
    for _ in range(3):
        bench.ask()
    bench.refuse(name="access_denied")
    bench.log.flush()
    (place / f"writer_{PID}").write_text(bench.log.writer)
    count(place, 1)
    assert gap.ended_processes(place) == [PID]
    mark_dead(PID, place)
    assert found(place, bench) == {(gap.UNCOUNTED, "query_execution"): 2, (gap.UNCOUNTED, "access_denied"): 1}
    mark_dead(PID, place)
    assert found(place, bench) == {}
    assert samples(SharedCollector(place))[gap.EVENTS, *sorted(EVENT.items())] == 1
    assert gap.ended_processes(place) == []


def test_what_was_counted_and_is_not_on_record(place: Path, bench: Bench) -> None:
    bench.ask()
    (place / f"writer_{PID}").write_text(bench.log.writer)
    count(place, 4)
    mark_dead(PID, place)
    assert found(place, bench) == {(gap.UNRECORDED, "query_execution"): 3}


def test_refusals_that_were_folded_are_as_many_as_they_say(place: Path, bench: Bench) -> None:
    for _ in range(50):
        bench.refuse()
    bench.log.flush()
    (place / f"writer_{PID}").write_text(bench.log.writer)
    count(place, 20, "authentication_failure")
    mark_dead(PID, place)
    assert found(place, bench) == {(gap.UNCOUNTED, "authentication_failure"): 30}


def test_whoever_ended_well_has_left_nothing(place: Path, bench: Bench) -> None:
    forget = gap.note_writer(place, bench.log.writer)
    assert [file.name for file in place.glob("writer_*")] == [f"writer_{os.getpid()}"]
    bench.ask()
    forget()
    mark_dead(os.getpid(), place)
    assert found(place, bench) == {}
    gap.note_writer(None, bench.log.writer)()


def test_a_service_that_was_killed_goes_on_counting(place: Path, bench: Bench) -> None:
    bench.ask()
    bench.ask()
    (place / f"writer_{PID}").write_text(bench.log.writer)
    count(place, 1)
    count(place, 7, kind="gauge_livesum")
    adopt_counts(place)
    assert sorted(file.suffix for file in place.iterdir()) == ["", ".db", ".json"]
    assert samples(SharedCollector(place))[gap.EVENTS, *sorted(EVENT.items())] == 1
    assert found(place, bench) == {(gap.UNCOUNTED, "query_execution"): 1}
    prepare_directory(place)
    assert len(samples(SharedCollector(place))) == 1  # the time


@pytest.mark.parametrize("text", ["{", '{"query_execution": 1}'])
def test_a_record_that_cannot_be_read_is_said(
    place: Path, bench: Bench, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError

    (place / "killed_w.json").write_text(text)
    monkeypatch.setattr(gap, "count_events", fail)
    assert found(place, bench) == {}
    assert "not known" in caplog.text
    assert list(place.glob("killed_*")) == []
