"""The tables of the question guard hold themselves: a row catches what it says, and nothing else would."""

from __future__ import annotations

import tomllib
from functools import cache, partial
from typing import get_args

import pytest

from benchmarks.train_intent import GRAMMAR
from sql_synthesizer.guard.question import fragment, intent, judge_text
from sql_synthesizer.guard.question.fragment import TABLES, FragmentJudge
from sql_synthesizer.guard.question.grammar import IntentGrammar
from sql_synthesizer.guard.question.normal import as_single_line, text_readings
from sql_synthesizer.guard.question.screening import ReadingJudge
from sql_synthesizer.guard.question.shapes import Place, Shape
from sql_synthesizer.guard.question.verdict import Grade

GRADES = get_args(Grade)
SHAPES = [(place, shape) for place, table in TABLES.items() for shape in table]
SOURCE = tomllib.loads(GRAMMAR.read_text(encoding="utf-8"))
ROWS = IntentGrammar(SOURCE).rows
SIGNS = [number for number, row in enumerate(ROWS) if row.weight]
EXCUSES = [number for number, row in enumerate(ROWS) if not row.weight]
PASSES = {text for row in (*(shape for _, shape in SHAPES), *(ROWS[number] for number in SIGNS)) for text in row.passes}

every_shape = pytest.mark.parametrize(("place", "shape"), SHAPES, ids=[f"{place}-{s.reason}" for place, s in SHAPES])
every_sign = pytest.mark.parametrize("number", SIGNS, ids=[ROWS[number].reason for number in SIGNS])
every_excuse = pytest.mark.parametrize("number", EXCUSES, ids=[ROWS[number].reason for number in EXCUSES])


def grade(text: str, sql: ReadingJudge = fragment.judge_fragment, words: ReadingJudge = intent.judge_intent) -> int:
    """How grave the whole guard, or what is left of it, finds a text: 0 passes, 3 is an attack."""
    return max((GRADES.index(verdict.grade) + 1 for verdict in judge_text(text, sql, words)), default=0)


def only(place: Place, shape: Shape) -> ReadingJudge:
    return FragmentJudge({name: (shape,) if name == place else () for name in TABLES}).judge


def without(shape: Shape) -> ReadingJudge:
    return FragmentJudge(
        {name: tuple(row for row in table if row is not shape) for name, table in TABLES.items()}
    ).judge


@cache
def grammar_of(kept: frozenset[int]) -> IntentGrammar:
    """The grammar with these rows of signs, by their places in the file."""
    first = len(SOURCE["signs"])
    signs = [row for number, row in enumerate(SOURCE["signs"]) if number in kept]
    texts = [row for number, row in enumerate(SOURCE["texts"], first) if number in kept]
    return IntentGrammar({**SOURCE, "signs": signs, "texts": texts})


def words_without(number: int) -> ReadingJudge:
    return partial(intent.judge_intent, grammar=grammar_of(frozenset(range(len(ROWS))) - {number}))


def reasons(text: str, grammar: IntentGrammar) -> set[str]:
    return {reason for r in text_readings(text) for reason in intent.signs_and_features(as_single_line(r), grammar)[0]}


@pytest.mark.parametrize(("place", "shape", "text"), [(*row, text) for row in SHAPES for text in row[1].catches])
def test_a_shape_finds_what_it_catches(place: Place, shape: Shape, text: str) -> None:
    assert grade(text, only(place, shape), lambda _: None)


@pytest.mark.parametrize(("number", "text"), [(number, text) for number in SIGNS for text in ROWS[number].catches])
def test_a_sign_finds_what_it_catches(number: int, text: str) -> None:
    assert ROWS[number].reason in reasons(text, grammar_of(frozenset({number})))


@pytest.mark.parametrize("text", sorted(PASSES))
def test_plain_english_next_to_a_row_passes(text: str) -> None:
    assert judge_text(text) == ()


@every_shape
def test_a_shape_catches_what_nothing_else_does(place: Place, shape: Shape) -> None:
    less = without(shape)
    assert any(grade(text, less) < grade(text) for text in shape.catches), f"{place}: {shape.pattern} earns nothing"


@every_sign
def test_a_sign_catches_what_nothing_else_does(number: int) -> None:
    less = words_without(number)
    assert any(grade(text, words=less) < grade(text) for text in ROWS[number].catches), "the row earns nothing"


@every_excuse
def test_an_excuse_lets_pass_what_nothing_else_does(number: int) -> None:
    row, less = ROWS[number], words_without(number)
    assert [judge_text(text) for text in row.catches] == [()] * len(row.catches)
    assert any(grade(text, words=less) for text in row.catches), "the row earns nothing"
    assert all(judge_text(text) for text in row.passes)


def test_a_row_that_is_gone_is_missed() -> None:
    shape = Shape("tautology", 1, "never", ("1 or 1=1",), ())
    assert grade("1 or 1=1", without(shape)) == grade("1 or 1=1") == 3
    assert grade("1 or 1=1", only("text", shape), lambda _: None) == 0
