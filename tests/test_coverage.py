"""The critical paths: a tenth of them is driven here, ``sql-synthesizer coverage`` drives all."""

from __future__ import annotations

from pathlib import Path as File

import pytest

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer_proof.coverage import report
from sql_synthesizer_proof.coverage.excuses import read_excuses
from sql_synthesizer_proof.coverage.owed import owed_signals
from sql_synthesizer_proof.coverage.path import SIGNALS, Path, Result
from sql_synthesizer_proof.coverage.run import choose_tenth, find_paths, run_paths


@pytest.fixture(scope="module")
def paths() -> list[Path]:
    return [*find_paths()]


def test_a_tenth_leaves_every_signal(tmp_path: File, paths: list[Path]) -> None:
    results = run_paths(choose_tenth(paths), tmp_path)
    assert len(results) >= len(paths) / 10
    assert [(str(row.path), row.missing, row.fault) for row in report.find_gaps(results)] == []


def test_a_path_that_nothing_drives_is_a_gap(tmp_path: File) -> None:
    (row,) = run_paths([Path("question", "query", "execute", "nonsense")], tmp_path)
    assert report.find_gaps([row]) == [row]
    assert "nothing is known" in report.as_text([row])


def test_what_is_owed_is_told_with_a_reason(paths: list[Path]) -> None:
    for path in paths:
        owed = owed_signals(path)
        assert {*owed.signals} | owed.why.keys() == {*SIGNALS}, path
        assert not {*owed.signals} & owed.why.keys(), path


def test_the_figure_counts_what_is_excused_as_not_covered(tmp_path: File) -> None:
    rows = [
        Result(Path("question", "query", "answer", name), SIGNALS, {*SIGNALS}) for name in ("llm", "rules", "cache")
    ]
    rows[0].seen.discard("span")
    rows[1].excused = "nobody gets there"
    figures = report.sum_up(rows)
    assert (figures.share, figures.share_of_all) == (1 / 2, 1 / 3)
    text = report.as_text(rows)
    assert "gap: question / query / answer / llm: no span" in text
    assert text.endswith("1 of 2 paths are covered: 50.0%; 33.3% with the 1 excused ones counted as not covered")
    (tmp_path / "kept.json").write_text(report.as_json(rows, {}))
    assert report.read_report(tmp_path / "kept.json") == rows


@pytest.mark.parametrize("line", ["{path: question / *, reason: ''}", "{path: no such path, reason: none}"])
def test_a_line_without_a_reason_or_a_path_is_an_error(tmp_path: File, line: str, paths: list[Path]) -> None:
    file = tmp_path / "excused.yml"
    file.write_text(f"- {line}")
    with pytest.raises(ConfigurationError, match="has no reason"):
        read_excuses(paths, file)
