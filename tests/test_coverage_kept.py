"""The run that the documents show: told as it was, good enough, and of the service as it is but for a few paths."""

from __future__ import annotations

import json
from pathlib import Path as File

from sql_synthesizer_proof.coverage import report
from sql_synthesizer_proof.coverage.run import find_paths

ROOT = File(__file__).parent.parent
DOCS = ROOT / "docs"
KEPT = report.read_report(DOCS / "coverage.json")
REMOVED = json.loads((DOCS / "coverage-removed.json").read_text(encoding="utf-8"))
MISSED = 0.9
"""Share of the instruments whose absence is told by a path; the page names the others."""
NEWER = 0.05
"""Share of the paths that may have come since; the tests drive a tenth of those too."""


def test_the_page_and_the_readme_tell_the_run() -> None:
    assert (DOCS / "coverage.md").read_text(encoding="utf-8") == report.format_page(KEPT, REMOVED)
    readme, figures = (ROOT / "README.md").read_text(encoding="utf-8"), report.sum_up(KEPT)
    assert f"{figures.share:.1%} of the critical paths leave all of these that they owe" in readme
    assert f"{figures.share_of_all:.1%} if those that nobody can go count as missed" in readme


def test_the_run_is_good_enough_and_of_the_service_as_it_is() -> None:
    assert report.sum_up(KEPT).share_of_all >= report.GOAL
    assert len({*find_paths()} - {row.path for row in KEPT}) <= NEWER * len(find_paths())


def test_what_is_taken_away_is_missed() -> None:
    assert sum(bool(path) for _, path in REMOVED) >= MISSED * len(REMOVED) > 0
