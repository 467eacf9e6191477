"""Who drives a path, and on which instance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sql_synthesizer.web.app import UNMATCHED
from sql_synthesizer_proof.coverage import commands, happenings, jobs
from sql_synthesizer_proof.coverage.faults import drive_question, find_fault
from sql_synthesizer_proof.coverage.instance import Instance
from sql_synthesizer_proof.coverage.path import Path
from sql_synthesizer_proof.coverage.requests import drive_request, drive_unmatched

MAIN = "main"
ELSEWHERE: Mapping[str, str] = {
    "operation / cache / cache_type / redis": "redis",
    "operation / cache / cache_type / memcached": "memcached",
    "operation / cache / hit_miss / error": "cacheless",
    "operation / llm_request / figure / llm_unpriced_requests_total": "redis",
    "event / event / query_execution / cache_saved_unpriced_requests_total": "redis",
    "event / event / query_execution / question_unpriced_requests_total": "redis",
    "event / event / session_left / emitted": "postgres",
    "job / job / failed / job_timeout": "brief",
    "command / demo load / command / ok": "postgres",
    **{f"command / {words} / command / ok": "programs" for words in commands.LASTING},
}
"""Paths that need another instance than most, beside questions."""


@dataclass(frozen=True, slots=True)
class Driver:
    """``drive`` takes a path on an instance that is set up as ``setup`` says, and returns the trace that it was in."""

    setup: str
    drive: Callable[[Instance, Path], str]


def find_driver(path: Path) -> Driver:
    """The driver of a path. Raises LookupError where there is none."""
    if path.fits("question / job / settle / *"):
        return Driver(MAIN, jobs.drive_unrecorded_job)
    if path.kind == "question":
        if (fault := find_fault(path)) is None:
            raise LookupError(path)
        return Driver(fault.setup, drive_question)
    if path.fits("event / event / job_retried / *") or path.fits("event / event / job_given_up / *"):
        passing = jobs.find_passing_fault(path.outcome)
        return Driver(passing.setup if passing else MAIN, jobs.fail_question)
    if path.surface == UNMATCHED:
        return Driver(MAIN, drive_unmatched)
    return Driver(ELSEWHERE.get(str(path), MAIN), _DRIVERS[path.kind])


def _read_level(instance: Instance, path: Path) -> str:
    if path.stage.startswith("audit"):  # some are known once the record was verified
        instance.command("audit", "verify")
    return ""


_DRIVERS: Mapping[str, Callable[[Instance, Path], str]] = {
    "route": drive_request,
    "event": happenings.drive_event,
    "operation": happenings.drive_operation,
    "level": _read_level,
    "job": jobs.change_job,
    "command": commands.drive_command,
}
