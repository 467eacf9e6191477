"""What the benchmarks said at each commit: what is kept, and which steps are found."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer_proof import history
from sql_synthesizer_proof.cli.history import command

TABLE = {
    "title": "a cached question",
    "unit": "us",
    "base": "Flask POST",
    "rows": [
        {"arm": "Flask POST", "ratio": 1.0},
        {"arm": "everything on", "ratio": 3.21987},
        {"arm": "beside", "ratio": None},
    ],
}


def commits(count: int, since: int, factor: float) -> list[history.Kept]:
    draw = random.Random(1)
    return [
        {"commit": f"c{n}", "at": "", "ratios": {"x / y": 3 * draw.gauss(1, 0.01) * (factor if n >= since else 1)}}
        for n in range(count)
    ]


def test_a_step_is_found_with_its_commit() -> None:
    (step,) = history.find_steps(commits(30, 20, 1.2))
    assert (step.commit, step.name) == ("c20", "x / y")
    assert step.after / step.before == pytest.approx(1.2, rel=0.03)


@pytest.mark.parametrize(("count", "since", "factor"), [(30, 30, 1.0), (30, 20, 1.02), (9, 5, 2.0), (90, 10, 2.0)])
def test_no_step(count: int, since: int, factor: float) -> None:
    """None at all, a small one, too few commits, and one that is long past."""
    assert history.find_steps(commits(count, since, factor)) == []


def test_one_line_a_commit(tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    assert history.read(file) == []
    for commit, ratio in (("a", 1.0), ("b", 2.0), ("a", 3.0)):
        history.keep({"commit": commit, "at": "", "ratios": {"x": ratio}}, file)
    assert [(kept["commit"], kept["ratios"]["x"]) for kept in history.read(file)] == [("b", 2.0), ("a", 3.0)]


def test_what_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "__init__.py").touch()
    (tmp_path / "benchmarks" / "question.py").write_text(
        f"import sys, pathlib\npathlib.Path(sys.argv[4]).write_text({json.dumps(TABLE)!r} + chr(10))\n"
    )
    monkeypatch.setattr(history, "ROOT", tmp_path)
    monkeypatch.setattr(history, "_commit", lambda: "abc")
    kept = history.measure(5)
    assert (kept["commit"], kept["ratios"]) == ("abc", {"a cached question: everything on / Flask POST": 3.2199})
    monkeypatch.setattr(history, "ROOT", tmp_path / "benchmarks")
    with pytest.raises(ConfigurationError, match="not here"):
        history.measure(5)


def test_the_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "read", lambda: commits(30, 20, 1.2))
    shown = CliRunner().invoke(command, ["show"])
    assert shown.exit_code == 1
    assert "step at c20: x / y" in shown.output
    assert json.loads(CliRunner().invoke(command, ["show", "--json"]).output)[0]["commit"] == "c20"
    monkeypatch.setattr(history, "measure", lambda _: commits(1, 1, 1)[0])
    monkeypatch.setattr(history, "keep", lambda _: None)
    assert json.loads(CliRunner().invoke(command, ["keep"]).output)["commit"] == "c0"
