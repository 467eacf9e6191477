"""Exposition: its formats, and the counts of several processes."""

from __future__ import annotations

import pathlib
import subprocess
import threading

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sql_synthesizer.monitoring import shared
from sql_synthesizer.monitoring.exposition import render_metrics
from sql_synthesizer.monitoring.metrics import METRICS_REGISTRY
from sql_synthesizer.monitoring.multiprocess import SharedCollector, mark_dead
from sql_synthesizer.monitoring.shared import lock_directory, prepare_directory
from tests.support import program
from tests.support.metrics import PREFIX, questions, samples
from tests.support.metrics import directory as directory
from tests.support.metrics import worker as worker

# --- formats ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"),
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
def test_the_format_is_negotiated(accept, content_type):
    body, given = render_metrics(accept, METRICS_REGISTRY)
    assert given == content_type
    parse = parse_openmetrics if "openmetrics" in content_type else parse_text
    assert PREFIX + "security_events" in {f.name.removesuffix("_total") for f in parse(body.decode())}


def test_any_registry_can_be_rendered():
    registry = CollectorRegistry()
    Counter("apples", "Apples.", registry=registry).inc()
    assert b"apples_total 1.0" in render_metrics(None, registry)[0]


def test_promtool_finds_nothing_to_say():
    result = subprocess.run(
        [program("promtool"), "check", "metrics"],
        input=render_metrics(None, METRICS_REGISTRY)[0],
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


# --- several processes ----------------------------------------------------------------------------


def test_processes_are_summed_and_levels_follow_their_modes(directory, worker):
    worker(3, free=700)
    worker(4, free=500)
    assert questions(directory) == 7
    found = samples(SharedCollector(directory))
    assert found[PREFIX + "questions_running",] == 6
    assert found[PREFIX + "audit_free_bytes",] == 500
    assert (PREFIX + "dependency_up",) not in found
    assert (PREFIX + "memory_usage_bytes",) not in found


def test_a_killed_worker_keeps_its_counts_and_loses_its_levels(directory, worker):
    first, second = worker(3), worker(4)
    first.kill()
    first.wait()
    mark_dead(first.pid, directory)
    assert questions(directory) == 7
    assert samples(SharedCollector(directory))[PREFIX + "questions_running",] == 3
    second.kill()
    second.wait()
    mark_dead(second.pid, directory)
    mark_dead(second.pid, directory)
    assert questions(directory) == 7
    assert sorted(file.name for file in directory.glob("*.db")) == ["counter_ended.db", "histogram_ended.db"]


def test_recycling_leaves_a_bounded_number_of_files(directory, worker):
    for _ in range(3):
        process = worker(2)
        process.communicate(b"\n")
        mark_dead(process.pid, directory)
    assert questions(directory) == 6
    assert len(list(directory.iterdir())) == 3  # two of the ended ones and the lock


def test_scrapes_never_see_a_count_fall_while_files_are_compacted(directory, worker):
    ended = [worker(5) for _ in range(4)]
    for process in ended:
        process.communicate(b"\n")
    seen, stop = [], threading.Event()

    def scrape():
        while not stop.is_set():
            seen.append(questions(directory))

    thread = threading.Thread(target=scrape)
    thread.start()
    for process in ended:
        mark_dead(process.pid, directory)
    stop.set()
    thread.join()
    assert set(seen) == {20}
    assert questions(directory) == 20


def test_a_damaged_file_does_not_cost_the_others(directory, worker):
    worker(3)
    (directory / "counter_1.db").write_bytes(b"\xff" * 200)
    (directory / "gauge_livesum_2.db").write_bytes(b"")
    (directory / "exemplars_3.json").write_bytes(b"{")
    assert questions(directory) == 3


@pytest.mark.parametrize("step", range(9))
def test_a_crash_while_files_are_compacted_counts_nothing_twice(directory, worker, monkeypatch, step):
    """Whatever step it does not survive."""
    first, second = worker(3), worker(4)
    for process in (first, second):
        process.communicate(b"\n")
    mark_dead(first.pid, directory)
    left = iter(range(step))

    def survived(change):
        def changed(path, *arguments, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return change(path, *arguments, **options)

        return changed

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(pathlib.Path, name, survived(getattr(pathlib.Path, name)))
        with pytest.raises(KeyboardInterrupt):
            mark_dead(second.pid, directory)
    assert questions(directory) == 7
    mark_dead(second.pid, directory)
    assert questions(directory) == 7
    assert sorted(file.name for file in directory.glob("*.*")) == ["counter_ended.db", "histogram_ended.db"]


@pytest.mark.parametrize("damaged", ["ended", "one"])
def test_a_damaged_file_does_not_keep_later_ones_apart(directory, worker, caplog, damaged):
    first, second = worker(3), worker(4)
    for process in (first, second):
        process.communicate(b"\n")
    mark_dead(first.pid, directory)
    (directory / f"counter_{'ended' if damaged == 'ended' else second.pid}.db").write_bytes(b"\x7f" * 200)
    mark_dead(second.pid, directory)
    assert sorted(file.name for file in directory.glob("*.db")) == ["counter_ended.db", "histogram_ended.db"]
    counted = PREFIX + "queries_total", ("database_type", "sqlite"), ("query_type", "select"), ("success", "success")
    assert samples(SharedCollector(directory))[counted] == (4 if damaged == "ended" else 3)
    assert "damaged and set aside" in caplog.text
    prepare_directory(directory)
    assert [file.name for file in directory.iterdir()] == ["lock"]


def test_exemplars_of_all_processes_are_rendered(directory, worker):
    first, _ = worker(1), worker(1)
    body = render_metrics("application/openmetrics-text", SharedCollector(directory))[0].decode()
    families = {family.name: family for family in parse_openmetrics(body)}
    family = families[PREFIX + "query_duration_seconds"]
    marked = [s for s in family.samples if s.exemplar]
    assert family.unit == "seconds"
    assert marked
    for sample in marked:
        assert len(sample.exemplar.labels["trace_id"]) == 32
        assert sample.exemplar.value <= float(sample.labels["le"])
    assert b"trace_id" not in render_metrics(None, SharedCollector(directory))[0]
    first.kill()
    first.wait()
    mark_dead(first.pid, directory)
    assert not (directory / f"exemplars_{first.pid}.json").exists()


def test_preparing_empties_the_directory(directory, worker):
    worker(1).communicate(b"\n")
    prepare_directory(directory)
    assert [file.name for file in directory.iterdir()] == ["lock"]


def test_a_lock_that_is_never_free_is_reported(directory, monkeypatch):
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.01)
    with lock_directory(directory), pytest.raises(TimeoutError), lock_directory(directory):
        pass


def test_files_of_an_ended_process_stay_apart_while_the_lock_is_not_free(directory, worker, monkeypatch, caplog):
    monkeypatch.setattr(shared, "LOCK_WAIT", 0.01)
    ended = worker(2)
    ended.communicate(b"\n")
    with lock_directory(directory):
        mark_dead(ended.pid, directory)
    assert f"the metrics of process {ended.pid} stay apart" in caplog.text
    assert questions(directory) == 2
    mark_dead(ended.pid, directory)
    assert questions(directory) == 2
    assert not (directory / f"counter_{ended.pid}.db").exists()
