"""What the supervisor has done to the audit record from time to time, each by a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

import click

from sql_synthesizer.settings import Settings

FIRST_AFTER = 30.0
"""Seconds after the start until the record is verified first."""
NICENESS = 10
LIMIT = 6 * 3600.0
"""Seconds after which a step that does not end is ended."""
FAILED = 1
"""The exit status of a verification that found something."""


class Upkeep:
    """Verifies the record at the interval of the settings, then removes what retention no longer keeps."""

    def __init__(self, settings: Settings, environment: dict[str, str]) -> None:
        self._interval = settings.audit_verify_minutes * 60.0
        self._environment = environment
        self._next = time.monotonic() + min(FIRST_AFTER, self._interval)
        self._steps = [["audit", "verify", "--incremental", "--log"]]
        if settings.audit_retention_days is not None:
            self._steps.append(["audit", "retire"])
        self._left: list[list[str]] = []
        self._until = 0.0
        self._process: subprocess.Popen[bytes] | None = None

    def poll_steps(self) -> None:
        """Starts what is due, and tells how it ended; never waits."""
        if self._process is not None:
            if self._process.poll() is None:
                if time.monotonic() > self._until:
                    self._process.kill()
                return
            self._finish_step(self._process.returncode)
        if self._left:
            self._start_step(self._left.pop(0))
        elif self._interval and time.monotonic() >= self._next:
            self._next = time.monotonic() + self._interval
            self._left = list(self._steps)

    def stop(self) -> None:
        """Ends what runs; a verification that was cut short changes nothing."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _start_step(self, step: list[str]) -> None:
        command = [sys.executable, "-m", "sql_synthesizer", *step]
        self._process = subprocess.Popen(command, env=self._environment)  # noqa: S603 - our own module
        self._until = time.monotonic() + LIMIT
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICENESS)

    def _finish_step(self, status: int) -> None:
        self._process = None
        if status:
            self._left = []
            told = "found the record NOT sound" if status == FAILED else f"ended with {status}"
            click.echo(f"the verification of the audit record {told}: run sql-synthesizer audit verify", err=True)
