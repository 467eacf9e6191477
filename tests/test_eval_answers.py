"""The verb that asks labelled questions of their databases: lines in, lines out, and scores."""

from __future__ import annotations

import io
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

from sql_synthesizer.errors import InvalidRequest
from sql_synthesizer.settings import load
from sql_synthesizer_proof.answers import Answerer, answer_lines, evaluate_lines, read_lines
from sql_synthesizer_proof.cli.eval import command
from sql_synthesizer_proof.fit import Example, answered_from, calibrate, cross_validate, fit_model
from tests.support.worlds import MUSIC

ASKED = [
    ("How many songs are there?", "SELECT COUNT(*) FROM songs", "counts"),
    ("titles of all jazz songs", "SELECT title FROM songs WHERE genre = 'jazz'", "lists"),
    ("artists without albums", "SELECT name FROM artists WHERE id = 1", "lists"),
    ("What is the capital of France?", "SELECT 1", "others"),
]


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """A directory of questions with one database."""
    (tmp_path / "databases").mkdir()
    connection = sqlite3.connect(tmp_path / "databases" / "music.sqlite")
    connection.executescript(MUSIC)
    connection.close()
    lines = [
        json.dumps({"id": n, "db": "music", "question": question, "gold_sql": gold, "source": source})
        for n, (question, gold, source) in enumerate(ASKED)
    ]
    lines.append(json.dumps({"id": 9, "db": "music", "question": "?", "gold_sql": "SELECT 1", "dialect": "postgres"}))
    (tmp_path / "questions.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_lines_in_and_lines_out(questions: Path) -> None:
    asked = [
        json.dumps({"id": f"q{n}", "db_path": str(questions / "databases" / "music.sqlite"), "question": question})
        for n, (question, _, _) in enumerate(ASKED)
    ]
    target = io.StringIO()
    answer_lines(Answerer(load()), io.StringIO("\n\n".join(asked)), target)
    answers = [json.loads(line) for line in target.getvalue().splitlines()]
    assert [answer["id"] for answer in answers] == ["q0", "q1", "q2", "q3"]
    assert [answer["sql"] is None for answer in answers] == [False, False, False, True]


def test_scores_are_of_rows(questions: Path) -> None:
    found = {
        name: score.as_dict()
        for name, score in evaluate_lines(Answerer(load()), read_lines(questions), "source").items()
    }
    assert found["all"]["questions"] == 4
    assert found["all"]["right"] == 0.5
    assert found["all"]["declined"] == 0.25
    assert found["source: counts"]["right_of_all"] == 1.0
    assert found["source: lists"]["right"] == 0.5
    assert found["source: others"] == {"questions": 1, "right": 0.0, "declined": 1.0, "sure": 0.0}


def test_the_confidence_is_fitted_and_judged_on_databases_left_out(questions: Path) -> None:
    wide, narrow = ({"links": value, "margin": 1.0} for value in (0.1, 0.9))
    examples = [
        Example(f"db{n % 9}", features, 1.0, right=right)
        for n in range(900)
        for features, right in ((wide, n % 10 > 0), (narrow, n % 10 == 0))
    ]
    foretold = cross_validate(examples)
    tenths, error = calibrate(examples, foretold)
    assert error < 0.1
    assert sum(tenth.count for tenth in tenths) == 1800
    assert answered_from(examples, foretold, 0.5) == pytest.approx((0.5, 0.45, 0.9))
    assert fit_model(examples)["links"] < 0
    shown = CliRunner().invoke(command, ["fit", str(questions), "--write", str(questions / "made.txt")])
    assert "expected calibration error" in shown.output
    assert (questions / "made.txt").read_text().splitlines()[1].startswith("intercept ")


def test_the_verb_prints_a_table_or_json(questions: Path) -> None:
    table = CliRunner().invoke(command, ["answers", str(questions)])
    assert table.exit_code == 0
    assert "source: counts" in table.output
    figures = json.loads(CliRunner().invoke(command, ["answers", "--json", "--by", "db", str(questions)]).output)
    assert figures["db: music"]["questions"] == 4
    assert CliRunner().invoke(command, ["answers"]).exit_code == 2


def test_a_broken_gold_statement_is_no_wrong_answer(questions: Path) -> None:
    line = {"db": "music", "question": ASKED[0][0], "gold_sql": "SELECT nothing FROM nowhere"}
    (questions / "questions.jsonl").write_text(json.dumps(line), encoding="utf-8")
    figures = json.loads(CliRunner().invoke(command, ["answers", "--json", str(questions)]).output)["all"]
    assert (figures["questions"], figures["broken_gold"]) == (0, 1)
    assert "1 answers are in no score" in CliRunner().invoke(command, ["answers", str(questions)]).output


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "line 1: The line is no JSON"),
        ("[]", "no JSON object"),
        ('{"gold_sql": "SELECT 1"}', "no 'question'"),
        ('{"question": "?", "gold_sql": "SELECT 1"}', "no 'db_path'"),
        ('{"question": "?", "db": "music"}', "no question with gold_sql"),
        (None, "cannot be read"),
    ],
)
def test_what_cannot_be_asked_is_said(tmp_path: Path, text: str | None, why: str) -> None:
    if text is not None:
        (tmp_path / "questions.jsonl").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match=why):
        evaluate_lines(Answerer(load()), read_lines(tmp_path), "source")
