"""Who drives a path, and on which instance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sql_synthesizer.web.app import UNMATCHED
from sql_synthesizer_proof.coverage.faults import drive_question, drive_unrecorded_job, find_fault
from sql_synthesizer_proof.coverage.instance import Instance
from sql_synthesizer_proof.coverage.path import Path
from sql_synthesizer_proof.coverage.requests import drive_request, drive_unmatched


@dataclass(frozen=True, slots=True)
class Driver:
    """``drive`` takes a path on an instance that is set up as ``setup`` says, and returns the trace that it was in."""

    setup: str
    drive: Callable[[Instance, Path], str]


def find_driver(path: Path) -> Driver:
    """The driver of a path. Raises LookupError where there is none."""
    if path.fits("question / job / settle / *"):
        return Driver("main", drive_unrecorded_job)
    if path.kind == "question" and (fault := find_fault(path)) is not None:
        return Driver(fault.setup, drive_question)
    if path.kind == "route":
        return Driver("main", drive_unmatched if path.surface == UNMATCHED else drive_request)
    raise LookupError(path)
