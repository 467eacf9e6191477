"""``sql-synthesizer eval security``: labelled texts are judged as the service judges them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sql_synthesizer.errors import InvalidRequest
from sql_synthesizer.settings import Settings, load
from sql_synthesizer_proof.cli.eval import command
from sql_synthesizer_proof.security import Judge, answer_lines, evaluate_lines, read_lines, wilson_interval

LINES = [
    {"id": "1", "text": "1' or '1'='1", "kind": "question", "label": "attack", "class": "tautology", "source": "a"},
    {"id": "2", "text": "orders of O'Brien", "kind": "question", "label": "benign", "class": "plain", "source": "b"},
    {"id": "3", "text": "SELECT a FROM t", "kind": "sql", "label": "benign", "class": "plain", "source": "b"},
    {"id": "4", "text": "DROP TABLE t", "kind": "sql", "label": "attack", "class": "ddl", "source": "a"},
]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return load(state_dir=tmp_path_factory.mktemp("state"), max_question_chars=100, max_sql_chars=200)


@pytest.fixture(scope="module")
def judge(settings: Settings) -> Judge:
    return Judge(settings)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for number, line in enumerate(LINES):
        (tmp_path / f"{number}.jsonl").write_text(json.dumps(line) + "\n\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "grade", "reason"),
    [
        ("how many customers", "none", ""),
        ("1 union select 1,2 --", "attack", "union_select"),
        ("a" * 101, "suspicious", "too_long"),
        ("a\x00b", "suspicious", "control_character"),
        (" ", "suspicious", "question_empty"),
    ],
)
def test_questions(judge: Judge, text: str, grade: str, reason: str) -> None:
    judged = judge.judge_question(text)
    assert (judged.grade, judged.reason) == (grade, reason)


@pytest.mark.parametrize(
    ("text", "dialect", "grade"),
    [
        ("SELECT a, count(*) FROM t GROUP BY a", None, "none"),
        ("SELECT `a` FROM t", None, "none"),
        ("SELECT a FROM t WHERE b ILIKE 'x%'", "postgres", "none"),
        ("SELECT a FROM t; DELETE FROM t", None, "attack"),
        ("SELECT pg_sleep(5)", "postgresql", "attack"),
        ("SELECT * FROM pg_catalog.pg_user", None, "attack"),
        ("SELECT FROM WHERE", None, "suspicious"),
        ("SELECT 1 -- " + "x" * 200, None, "suspicious"),
    ],
)
def test_statements(judge: Judge, text: str, dialect: str | None, grade: str) -> None:
    assert judge.judge_statement(text, dialect).grade == grade


def test_figures(judge: Judge, corpus: Path) -> None:
    told: Any = evaluate_lines(judge, read_lines(corpus), "class").as_dict()
    rows = {(row["kind"], row["label"], row["class"]): row for row in told["groups"]}
    assert rows["question", "attack", "tautology"] | {"low": 0, "high": 0} == {
        "kind": "question",
        "label": "attack",
        "class": "tautology",
        "n": 1,
        "flagged": 1,
        "rate": 1.0,
        "low": 0,
        "high": 0,
        "weak_grade": 0,
        "attack_grade": 1,
        "layers": {"fragment": 1},
    }
    assert rows["question", "benign", "all"]["flagged"] == 0
    assert rows["sql", "attack", "all"]["layers"] == {"statement": 1}
    assert told["benign_attack_grade"] == {"n": 1, "attack_grade": 0, "bound": 1.0}
    assert {(row["kind"], row["label"]) for row in told["cpu"]} == {(line["kind"], line["label"]) for line in LINES}


@pytest.mark.parametrize("by", ["class", "source"])
def test_a_class_of_the_name_all_is_counted_once(judge: Judge, tmp_path: Path, by: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(json.dumps(line | {by: "all"}) for line in LINES[:2]), encoding="utf-8")
    found = evaluate_lines(judge, read_lines(file), by)
    assert [(group.label, group.name, group.n) for group in found.groups] == [
        ("attack", "all", 1),
        ("attack", "all", 1),
        ("benign", "all", 1),
        ("benign", "all", 1),
    ]
    assert found.benign.n == 1


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(0, 0, 0, 1), (0, 10, 0, 0.2775), (10, 10, 0.7225, 1), (5, 10, 0.2366, 0.7634)]
)
def test_wilson(hits: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(hits, n) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"text": "a"}', "has no 'kind'"),
        (json.dumps(LINES[0] | {"text": 1}), "has a 'text' that is no string"),
        (json.dumps(LINES[0] | {"label": "bad"}), "has an unknown label; known are attack, benign"),
        (json.dumps(LINES[0] | {"kind": None}), "has an unknown kind; known are question, sql"),
        (json.dumps(LINES[2] | {"dialect": "tsql"}), "has an unknown dialect"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str, fault: str) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(LINES[0]) + "\n" + bad, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=rf"x\.jsonl, line 2: The line {fault}"):
        list(read_lines(tmp_path))


def test_nothing_to_judge_is_an_error(judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no line"):
        evaluate_lines(judge, read_lines(tmp_path), "class")


def test_conversation_goes_on_after_bad_lines(judge: Judge) -> None:
    given = [
        *map(json.dumps, LINES),
        "{",
        "[1]",
        '{"id": 5, "text": "a", "kind": "image"}',
        '{"id": 6, "text": 1, "kind": "sql"}',
        '{"id": 7, "text": "a"}',
        '{"id": 8, "text": "a", "kind": "sql", "dialect": "tsql"}',
    ]
    out = io.StringIO()
    answer_lines(judge, [*given, json.dumps(LINES[0])], out)
    answers: list[dict[str, Any]] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [answer["id"] for answer in answers] == ["1", "2", "3", "4", None, None, 5, 6, 7, 8, "1"]
    assert [answer.get("flagged") for answer in answers] == [True, False, False, True, *[None] * 6, True]
    assert answers[1] == {"id": "2", "flagged": False, "grade": "none", "reason": ""}
    assert "unknown kind" in answers[6]["error"]
    assert "'kind'" in answers[8]["error"]
    assert "unknown dialect" in answers[9]["error"]


@pytest.mark.parametrize("options", [[], ["--json"], ["--by", "source"]])
def test_command(corpus: Path, options: list[str]) -> None:
    result = CliRunner().invoke(command, ["security", str(corpus), *options])
    assert result.exit_code == 0, result.output
    assert "tautology" in result.output or "--by" in options
    if "--json" in options:
        assert json.loads(result.output)["by"] == "class"


def test_command_speaks_on_standard_output() -> None:
    result = CliRunner().invoke(command, ["security", "--stdio"], input=json.dumps(LINES[0]) + "\n")
    assert json.loads(result.output)["flagged"] is True
    assert CliRunner().invoke(command, ["security"]).exit_code == 2
