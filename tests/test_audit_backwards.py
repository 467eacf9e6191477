"""Reading the record from its end gives what reading it from its start gives, the other way round."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sql_synthesizer.audit import backwards, lines
from sql_synthesizer.audit.backwards import ReadBudget, find_record, newest_first, search_records
from sql_synthesizer.audit.lines import segment_name
from sql_synthesizer.audit.reading import RecordFilter, filter_records, read_records
from sql_synthesizer.audit.record import format_rfc3339

START = datetime(2026, 1, 1, tzinfo=UTC)
WRITERS = ("20260101T000000Z-1-aa", "20260101T000010Z-2-bb", "20260101T000100Z-3-cc")


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(backwards, "BLOCK", 700)
    monkeypatch.setattr(lines, "BLOCK", 700)
    monkeypatch.setattr(backwards, "PROBE", 900)


def at(seconds):
    return START + timedelta(seconds=seconds)


def line(writer, sequence, seconds, **fields):
    time = format_rfc3339(int(at(seconds).timestamp() * 1_000_000) * 1000)
    record = {"writer": writer, "sequence": sequence, "time": time, "actor": "a", "details": {}, "mac": "0" * 32}
    return orjson.dumps({**record, **fields}, option=orjson.OPT_APPEND_NEWLINE)


def write(directory, writer, number, *lines):
    (directory / segment_name(writer, number)).write_bytes(b"".join(lines))


def places(records):
    return [(record["writer"], record["sequence"]) for record in records]


def in_order(records):
    """By time, and where times are equal by writer and number."""
    return sorted(records, key=lambda record: (record["time"], record["writer"], record["sequence"]))


DISTURBANCES = st.sampled_from([b"", b"", b"not json\n", b"[]\n", b"x" * 2000 + b"\n", b'{"a":\r1}\n', b"\n"])


@st.composite
def directories(draw):
    """Segments of several writers: times a little out of order, lines that are none, repeats after a failed write."""
    segments = {}
    for writer, begun in zip(WRITERS, (0, 10, 60), strict=True):
        lines, number, seconds = [], 0, float(begun)
        for sequence in range(1, draw(st.integers(1, 26))):
            seconds += draw(st.sampled_from([0.0, 0.001, 1.0, 30.0]))
            told = max(float(begun), seconds - draw(st.sampled_from([0.0, 0.0, 0.5, 4.0])))
            actor = draw(st.sampled_from(["a", "b", "x" * 300]))
            lines += [draw(DISTURBANCES), line(writer, sequence, told, actor=actor)]
            if draw(st.integers(0, 7)) == 0:
                segments[writer, number] = lines
                number, lines = number + 1, lines[-1:] if draw(st.booleans()) else []
        segments[writer, number] = [*lines, draw(st.sampled_from([b"", b'{"writer":"x","seq']))]
    return segments


MOMENTS = st.none() | st.sampled_from([at(0), at(5), at(61), at(200), at(10_000)])


@settings(max_examples=150, deadline=None)
@given(directories(), st.sampled_from([None, "a", "b", "nobody"]), MOMENTS, MOMENTS, st.integers(0, 30))
def test_both_directions_give_the_same(segments, actor, since, until, limit):
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for (writer, number), lines in segments.items():
            write(directory, writer, number, *lines)
        wanted = RecordFilter(actor=actor, since=since, until=until)
        forwards = list(filter_records(directory, wanted, report=lambda *_: None))
        found = list(newest_first(directory, wanted, report=lambda *_: None))
        assert in_order(found) == in_order(forwards)
        assert [record["time"] for record in found] == sorted((r["time"] for r in forwards), reverse=True)
        newest = search_records(directory, wanted, limit=limit, report=lambda *_: None)
        assert newest == found[:limit][::-1]
        for record in found:
            assert find_record(directory, record["writer"], record["sequence"]) == record


def test_faults_are_reported_once_at_their_place(tmp_path):
    first, second = line(WRITERS[0], 1, 0), line(WRITERS[0], 2, 1)
    write(tmp_path, WRITERS[0], 0, first, b"not json\n[]\n", second, b'{"writer":"x"')
    found = {True: [], False: []}
    list(read_records(tmp_path, report=lambda *fault: found[True].append(fault)))
    list(newest_first(tmp_path, RecordFilter(), report=lambda *fault: found[False].append(fault)))
    assert found[True] == found[False][::-1]
    assert len(found[True]) == 3


@pytest.mark.parametrize("size", [1_501, 2_000, 3_001, 9_000])
def test_a_line_that_is_too_long_is_one_fault_at_its_place(tmp_path, monkeypatch, size):
    monkeypatch.setattr(lines, "LINE_LIMIT", 1_500)
    first, second, third = (line(WRITERS[0], n, n) for n in (1, 2, 3))
    long = (second.removesuffix(b"}\n") + b"}").ljust(size)
    path = tmp_path / segment_name(WRITERS[0], 0)
    path.write_bytes(first + long + b"\n" + third)
    found = {True: [], False: []}
    forwards = list(read_records(tmp_path, report=lambda *fault: found[True].append(fault)))
    backwards = list(newest_first(tmp_path, RecordFilter(), report=lambda *fault: found[False].append(fault)))
    assert places(forwards) == places(backwards)[::-1] == [(WRITERS[0], 1), (WRITERS[0], 3)]
    assert found[True] == found[False] == [(path, len(first), "damaged")]


def test_a_page_reads_a_small_part(tmp_path):
    lines = [line(WRITERS[0], n, n) for n in range(1, 2001)]
    write(tmp_path, WRITERS[0], 0, *lines[:1000])
    write(tmp_path, WRITERS[0], 1, *lines[1000:])
    for until in (None, at(1500), at(300)):
        budget = ReadBudget(bytes=sum(map(len, lines)) / 10)
        page = list(islice(newest_first(tmp_path, RecordFilter(until=until), budget=budget), 20))
        last = 2000 if until is None else (until - START).seconds - 1
        assert places(page) == [(WRITERS[0], n) for n in range(last, last - 20, -1)]
        assert budget.stopped is None


def test_a_search_that_may_not_read_on_says_how_far_it_came_and_goes_on_from_there(tmp_path):
    for number, writer in enumerate(WRITERS):
        lines = [line(writer, n, 60 + 10 * n + number, actor="b" if n % 50 == 0 else "a") for n in range(1, 301)]
        write(tmp_path, writer, 0, *lines)
    everything = list(newest_first(tmp_path, RecordFilter(actor="b")))
    found, until, steps = [], None, 0
    while steps == 0 or until is not None:
        budget = ReadBudget(bytes=30_000)
        found += newest_first(tmp_path, RecordFilter(actor="b", until=until), budget=budget)
        assert until is None or budget.stopped is None or budget.stopped < until
        until, steps = budget.stopped, steps + 1
    assert found == everything
    assert steps > 3
    assert list(newest_first(tmp_path, RecordFilter(), budget=ReadBudget(seconds=0))) == []


def test_one_record_with_a_wrong_time_hides_none(tmp_path):
    lines = [line(WRITERS[0], n, 100 + n) for n in range(1, 20)]
    write(tmp_path, WRITERS[0], 0, *lines, line(WRITERS[0], 20, 0), line(WRITERS[0], 21, 0, time="never"))
    assert set(places(search_records(tmp_path, RecordFilter(since=at(101))))) >= {(WRITERS[0], n) for n in range(1, 20)}
    assert len(search_records(tmp_path, RecordFilter())) == 21


@pytest.mark.parametrize(("writer", "sequence"), [("nobody", 1), (WRITERS[0], 0), (WRITERS[0], 9), ("../x", 1)])
def test_what_is_not_there_is_not_found(tmp_path, writer, sequence):
    write(tmp_path, WRITERS[0], 0, line(WRITERS[0], 1, 0))
    assert find_record(tmp_path, writer, sequence) is None
    assert find_record(tmp_path / "absent", writer, sequence) is None
