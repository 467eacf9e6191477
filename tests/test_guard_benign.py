"""Benign sentences that merely use an attack's words are answered, and what is found in them raises no alert."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.train_intent import TRAINING
from sql_synthesizer.guard.question import judge_text
from sql_synthesizer_proof.security import Group, Judged, read_lines, wilson_interval

WORDS = Path(__file__).parent / "data" / "security" / "benign-words.jsonl"
"""Written for this test; the lines of source ``aside`` were not looked at while the guard was changed."""
LINES = list(read_lines(WORDS))


def group(source: str) -> Group:
    found = Group("question", "benign")
    for line in LINES:
        if line["source"] == source:
            verdicts = judge_text(line["text"])
            found.add(Judged(verdicts[0].grade if verdicts else "none"))
    return found


@pytest.mark.parametrize("source", ["develop", "aside"])
def test_words_of_an_attack_are_no_attack(source: str) -> None:
    found = group(source)
    assert found.n >= 150
    assert found.flagged <= 0.1 * found.n
    assert wilson_interval(found.attack, found.n)[1] < 0.05


def test_the_lines_are_of_several_kinds_and_not_trained_with() -> None:
    assert {(line["kind"], line["label"]) for line in LINES} == {("question", "benign")}
    assert len({line["text"].casefold() for line in LINES}) == len({line["id"] for line in LINES}) == len(LINES)
    kinds = Counter(str(line["class"]) for line in LINES)
    assert set(kinds) == {"data", "advice", "technique", "creative", "dense", "languages"}
    assert kinds["data"] == 100
    trained = {json.loads(row)["text"].casefold() for row in TRAINING.read_text(encoding="utf-8").splitlines()}
    assert not trained & {line["text"].casefold() for line in LINES}
