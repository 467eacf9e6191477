"""Records are read and found again, whatever stands between them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sql_synthesizer.audit import RecordFilter, read_records, search_records
from tests.support.audit import Bench, files
from tests.support.audit import bench as bench


def test_a_torn_last_line_and_a_damaged_one_are_skipped_and_reported(bench):
    bench.ask(actor="a")
    bench.ask(actor="b")
    bench.log.close()
    (path,) = files(bench.directory)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"not json\n[]\n" + second + b'{"writer":"x","seq')
    found = []
    actors = [r["actor"] for r in read_records(bench.directory, report=lambda *fault: found.append(fault))]
    assert actors == ["a", "b"]
    size = len(first)
    assert found == [
        (path, size, "damaged"),
        (path, size + 9, "damaged"),
        (path, size + 12 + len(second), "torn"),
    ]


def test_records_of_several_writers_come_in_time_order(tmp_path):
    benches = [Bench(tmp_path) for _ in range(3)]
    for n in range(9):
        benches[n % 3].ask(actor=str(n))
    for one in benches:
        one.log.close()
    assert [record["actor"] for record in read_records(tmp_path / "audit")] == [str(n) for n in range(9)]


def test_a_line_that_was_written_twice_counts_once(bench):
    bench.ask()
    bench.log.close()
    (path,) = files(bench.directory)
    path.with_name(path.name.replace("-000000", "-000001")).write_bytes(path.read_bytes())
    assert len(bench.records()) == 1


def test_search_finds_who_did_what_when(bench):
    for n in range(6):
        bench.ask(actor=f"key-{n % 2}")
    bench.refuse(actor="key-1", name="access_denied")
    bench.log.close()
    records = bench.records()
    asked = search_records(bench.directory, RecordFilter(actor="key-1", event_type="query_execution"))
    assert [r["sequence"] for r in asked] == [2, 4, 6]
    newest = search_records(bench.directory, RecordFilter(until=datetime.now(UTC), actor="key-0"), limit=2)
    assert [r["sequence"] for r in newest] == [3, 5]
    assert search_records(bench.directory, RecordFilter(trace_id=records[3]["trace_id"])) == [records[3]]
    assert search_records(bench.directory, RecordFilter(question_id="none")) == []
    assert search_records(bench.directory, RecordFilter(since=datetime.now(UTC) + timedelta(minutes=1))) == []
    assert search_records(bench.directory / "absent", RecordFilter()) == []
    since = datetime.fromisoformat(records[5]["time"])
    assert [r["sequence"] for r in search_records(bench.directory, RecordFilter(since=since))] == [6]


def test_a_question_id_in_the_details_becomes_the_records(bench):
    bench.ask(question_id="q7")
    assert [r["question_id"] for r in search_records(bench.directory, RecordFilter(question_id="q7"))] == ["q7"]
