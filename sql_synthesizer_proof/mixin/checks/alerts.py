"""Alerts: each was seen to fire and to keep quiet, as a rule and with a fault in a running service."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from sql_synthesizer_proof.drill.faults import SCENARIOS
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.checks.source import list_faults

CASES = "tests/rules/scenarios"
_PRINT = """
from tests.rules.scenarios import WRITTEN
for case in WRITTEN:
    for name in ("firing", "quiet", "text", "fault"):
        if getattr(case, name):
            print(f"{name} of {case.rule}")
"""


def drill_faults(alerts: tuple[Alert, ...]) -> Iterator[str]:
    """Alerts that no fault of the drill fires, and faults that are to fire an alert that does not exist."""
    names, drilled = {alert.name for alert in alerts}, {scenario.alert for scenario in SCENARIOS}
    yield from (f"alert {name}: no scenario in drill/faults fires it" for name in sorted(names - drilled))
    yield from (f"alert {name}: a scenario in drill/faults has it, but it is none" for name in sorted(drilled - names))


def case_faults(root: Path, alerts: tuple[Alert, ...]) -> Iterator[str]:
    """Alerts whose rule is not shown what must fire it and what must not."""
    if not (root / CASES).exists():
        yield f"{CASES} is not under {root}: whether each alert has its cases was not checked"
        return
    # In a process of its own: another checkout's package of the same name may be loaded here.
    command = [sys.executable, "-c", _PRINT]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - our own tests
    if done.returncode:
        yield f"{CASES} cannot be read: {done.stderr.strip().rpartition(chr(10))[2]}"
        return
    shown = done.stdout.splitlines()
    for alert in alerts:
        rule = " ".join((alert.name, *(value for label, value in alert.labels if label == "long")))
        expected = {
            f"no case in {CASES} fires it": f"firing of {rule}" in shown,
            f"no case in {CASES} keeps it quiet": f"quiet of {rule}" in shown or alert.severity == "none",
            f"no case in {CASES} shows its text": f"text of {rule}" in shown,
            f"it is fast, and no case in {CASES} has its fault": f"fault of {rule}" in shown or alert.fill is None,
        }
        yield from list_faults(f"alert {rule}", expected)
