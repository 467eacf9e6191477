"""An audit log of a test's own, and its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from sql_synthesizer.audit import AuditLog, read_records
from sql_synthesizer.audit.folding import Folding
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Event, Telemetry, Trace, vocabulary
from sql_synthesizer.telemetry.testing import MemoryObserver

NAMES = vocabulary.SECURITY_EVENTS


class Bench:
    """An audit log in a directory of its own, with the telemetry it reports to."""

    def __init__(self, root: Path, **settings):
        self.directory = root / "audit"
        self.telemetry = Telemetry()
        self.observer = MemoryObserver()
        self.telemetry.observers.append(self.observer)
        self.settings = Settings(audit_dir=self.directory, **settings)
        self.log = AuditLog(self.settings, self.telemetry)
        self.log._folding = Folding(clock=lambda: 1.0)
        self.telemetry.recorder = self.log

    def ask(self, text="how many customers", actor="key-1", **details):
        with self.telemetry.operation(vocabulary.COMMAND) as operation:
            operation.trace.actor, operation.trace.address = actor, "192.0.2.1"
            self.telemetry.emit(NAMES["query_execution"], question=text, **details)
            ticket = operation.trace.ticket
            self.telemetry.settle()
            return ticket

    def refuse(self, address="203.0.113.7", name="authentication_failure", actor=""):
        return self.log.append(
            Event(NAMES[name], 1_700_000_000_000_000_000, Trace("t", False, actor=actor, address=address), "", {})
        )

    def records(self):
        return list(read_records(self.directory))

    def asked(self):
        """Who asked; who got no answer is marked by the record that says so."""
        withheld = {record["trace_id"] for record in self.records() if record["event_type"] == "answer_withheld"}
        return [
            record["actor"] + " (withheld)" * (record["trace_id"] in withheld)
            for record in read_records(self.directory, report=lambda *_: None)
            if record["event_type"] != "answer_withheld"
        ]

    def reported(self, name):
        self.telemetry.fold()
        return self.observer.events(name)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.log.close()


def files(directory):
    return sorted(directory.glob("*.jsonl"))
