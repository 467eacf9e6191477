"""Every type of security event on the real service: on record, counted and logged under one trace id."""

from __future__ import annotations

import json
from pathlib import Path

from sql_synthesizer.telemetry.vocabulary import SECURITY_EVENTS
from tests.support.serving import run_own


def test_every_type_of_security_event_is_seen(tmp_path: Path) -> None:
    report = tmp_path / "events.json"
    done = run_own(None, "prove", "events", "--json", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(SECURITY_EVENTS)} of {len(SECURITY_EVENTS)} types"
    assert set(json.loads(report.read_text())["kept"]) == set(SECURITY_EVENTS)
