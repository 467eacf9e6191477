"""What the supervisor has done to the audit record from time to time, each by a process of its own."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import click

from sql_synthesizer.operate.child import Child, own_command
from sql_synthesizer.settings import Settings

FIRST_AFTER = 30.0
"""Seconds after the start until the record is verified first."""
NICENESS = 10
LIMIT = 6 * 3600.0
"""Seconds after which a step that does not end is ended."""
VERIFY, RETIRE = ("audit", "verify", "--incremental", "--log"), ("audit", "retire")
NOT_SOUND = 1
"""The exit status of a verification that found something."""


class Upkeep:
    """Verifies the record at the interval of the settings, then removes what retention no longer keeps."""

    def __init__(self, settings: Settings, environment: dict[str, str]) -> None:
        self._interval = settings.audit_verify_minutes * 60.0
        self._environment = environment
        self._next = time.monotonic() + min(FIRST_AFTER, self._interval)
        self._steps = [VERIFY] if settings.audit_retention_days is None else [VERIFY, RETIRE]
        self._left: list[tuple[str, ...]] = []
        self._until = 0.0
        self._running: Child | None = None

    def poll_steps(self) -> None:
        """Starts what is due, and reports how it ended; never waits."""
        if self._running is not None:
            if (status := self._running.exit_status) is None:
                if time.monotonic() > self._until:
                    self._running.kill()
                return
            self._finish_step(self._running.name, status)
        if self._left:
            self._start_step(self._left.pop(0))
        elif self._interval and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._left = list(self._steps)

    def stop(self) -> None:
        """Ends what runs; a verification that was cut short changes nothing."""
        if self._running is not None:
            self._running.stop()

    def _start_step(self, step: tuple[str, ...]) -> None:
        self._running = Child(" ".join(step[:2]), own_command(*step), environment=self._environment).start()
        self._until = time.monotonic() + LIMIT
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._running.pid, NICENESS)

    def _finish_step(self, name: str, status: int) -> None:
        self._running = None
        if status:
            self._left = []
            unsound = name == "audit verify" and status == NOT_SOUND
            result = "found the record NOT sound" if unsound else f"ended with {status}"
            click.echo(f"{name} {result}: run sql-synthesizer {name}", err=True)
