"""The names of metrics, a directory of them, and workers that count into it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sql_synthesizer.monitoring import multiprocess
from sql_synthesizer.monitoring.multiprocess import SharedCollector
from sql_synthesizer.monitoring.shared import prepare_directory

PREFIX = "sql_synthesizer_"

WORKER = """
import sys
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer import telemetry
from sql_synthesizer.monitoring import metrics
metrics.observer.precreate({"database_type": ["sqlite"], "cache_type": []})
telemetry.default.read(vocabulary.QUESTIONS_RUNNING, lambda: [({}, 3)])
telemetry.default.read(vocabulary.AUDIT_FREE_BYTES, lambda: [({}, float(sys.argv[2]))])
for _ in range(int(sys.argv[1])):
    labels = {"query_type": "select", "database_type": "sqlite", "source": "rules"}
    with telemetry.default.operation(vocabulary.QUESTION, **labels):
        pass
telemetry.default.fold(readings=True)
metrics.observer.close()
print("counted", flush=True)
input()
"""


@pytest.fixture
def directory(tmp_path):
    place = tmp_path / "metrics"
    prepare_directory(place)
    return place


@pytest.fixture
def worker(directory):
    """Starts processes that count questions into the directory and then wait."""
    running = []

    def start(questions, free=1000):
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(questions), str(free)],
            env={**os.environ, multiprocess.VARIABLE: str(directory)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        running.append(process)
        assert process.stdout.readline() == b"counted\n"
        return process

    yield start
    for process in running:
        process.kill()
        process.communicate()


def samples(source):
    """Name and labels -> value."""
    return {(s.name, *sorted(s.labels.items())): s.value for family in source.collect() for s in family.samples}


def questions(directory):
    found = samples(SharedCollector(directory))
    key = (("database_type", "sqlite"), ("query_type", "select"), ("success", "success"))
    counted = found[PREFIX + "queries_total", *key]
    assert counted == found[PREFIX + "query_duration_seconds_count", *key]
    return counted
