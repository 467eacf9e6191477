"""The measurements that the documents show: complete, kept, and told as they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sql_synthesizer_proof.drill import report
from sql_synthesizer_proof.drill.run import load_rules

DOCS = Path(__file__).parent.parent / "docs"
PAGE = " ".join((DOCS / "drill.md").read_text(encoding="utf-8").split())
SEEN = report.read_report(DOCS / "drill.json")
ROWS = report.build_rows(SEEN.lines)
FAST = {name for name, found in load_rules().items() if any("detection" in rule["labels"] for rule in found)}


def test_every_alert_was_fired_and_kept_its_promise() -> None:
    assert {row.alert for row in ROWS} == load_rules().keys()
    assert [row.alert for row in ROWS if not row.kept] == []
    assert [check.name for check in SEEN.checks if not check.kept] == []


@pytest.mark.parametrize("name", sorted(FAST))
def test_fast_alerts_were_fired_five_times_unscaled(name: str) -> None:
    (row,) = [row for row in ROWS if row.alert == name]
    assert row.fast
    assert row.runs >= 5
    assert not row.scaled


def test_the_page_tells_the_figures() -> None:
    fast = [row for row in ROWS if row.fast]
    assert f"{sum(row.runs for row in fast)} times" in PAGE
    assert f"{max(row.most or 0 for row in fast):.1f} s" in PAGE
    for row in ROWS:
        cells = [
            f"`{row.alert}`",
            str(row.runs),
            *(f"{value:.1f}" for value in (row.median, row.p95, row.most) if value),
        ]
        assert " | ".join(cells) in PAGE


@pytest.mark.parametrize("name", ["silence", "attacks-100", "attacks-1000"])
def test_silences_were_silent(name: str) -> None:
    told = json.loads((DOCS / f"{name}.json").read_text(encoding="utf-8"))
    assert told["kept"]
    assert f"{told['requests']:,} requests" in PAGE
    if told["attack_share"]:
        assert f"{told['attacks']} attacks" in PAGE
        assert f"{told['false_upper_bound']:.1%}" in PAGE
        assert told["false_upper_bound"] < 0.05
    else:
        assert told["alerts"] == {}
        assert told["failed"] <= 0.001 * told["requests"]
