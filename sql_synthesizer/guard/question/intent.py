"""Finds questions that try to steer the model, pry out secrets, or have something changed.

A text is read as a line of word classes, one character each, and the signs of ``intent.toml`` are searched in that
line: a sign costs little, and holds for every synonym and language that the classes know.
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import pairwise
from pathlib import Path

from sql_synthesizer.guard.question.grammar import IntentGrammar
from sql_synthesizer.guard.question.verdict import Grade, QuestionVerdict

_TOKEN = re.compile(r"\w+(?:['\u2019-]\w+)*|[.!?;:,\"\u201c\u201d\u2014|\[\]]|(?<=\s)--?(?=\s)")  # words and marks
_SQL = re.compile(  # the beginning of a statement, read as one word
    r"\b(?:(?:drop|truncate|alter|create)\s+(?:table|database|schema|user|view|index|function|trigger)\b|delete\s+from\b"
    r"|insert\s+into\b|update\s+\w+\s+set\b|grant\s+\w+(?:\s+\w+)?\s+on\b|union\s+(?:all\s+)?select\b"
    r"|select\s+(?=\w+\s*\(|@@|\*|[\w.]+\s*,|[\w.]+\s+from\s+[\w.]+\s*(?:$|;|where\b|limit\b|--))|delete\s+where\b"
    r"|merge\s+into\b|exec(?:ute)?\s+(?:xp_|sp_|immediate\b))"
)
_SPACED = re.compile(r"(?:\b[^\W_][ .\-*|]{1,3}){7,}[^\W_]\b")  # i g n o r e
_NAMED = re.compile(  # a noun or verb of naming, and what is quoted behind it
    r"\b(?:title|name|call|tag|label|subject|phrase|word|text|note|comment|contain|mention|read|wrote|type|talk|book|song|film"
    r"|movie|album|course|product|brand|track|persona|message|line|review|hashtag|error)(?:d|ed|s|ing|led)?"
    r"(?: (?:is|are|has|with|say|says|said|like|of|the|words?|that|start|starts|whose))*\s?[:=]?\s?"
    r"(?:\"[^\"]{1,200}\"|\u201c[^\u201d]{1,200}\u201d)"
)
_GAP = re.compile(r"[\W_]+")
_STEMS = re.compile(  # what is worth spelling out
    r"ignor|instruct|disregard|prompt|droptable|delete|truncat|reveal|password|bypass|override|jailbreak|forget|pretend"
)
_TURNED = frozenset(  # the same words backwards
    "erongi dragersid tegrof snoitcurtsni noitcurtsni tpmorp laever elbat eteled etacnurt drowssap selur".split()
)

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")

_IDLE = frozenset({"persona", "off_task"})  # what asks nothing of the data
_SURE_OF_IDLE, _SURE_ALONE = 3.0, 2.0  # log odds from which on such signs, and hints or the model alone, are not weak
_FOR_ATTACK = -0.5  # log odds: the model is not clearly against it
_CALM = 8  # so that a text is not judged by one or two of its words alone


class Linear:
    """A linear model whose numbers are a readable file: feature, weight, and the recipe that they come from.

    The score is ``bias + sum(weights of the known features) / sqrt(known features + 8)``: log odds under the logistic
    loss that it was trained with. Raises KeyError or ValueError when the file is not of this form.
    """

    def __init__(self, path: Path) -> None:
        model = json.loads(path.read_text(encoding="utf-8"))
        self._weights: dict[str, float] = model["weights"]
        self._bias = float(model["bias"])
        self._refuse: list[float] = model["refuse"]

    def score(self, features: Collection[str]) -> float:
        """Log odds that the text is an attack."""
        known = [weight for feature in features if (weight := self._weights.get(feature)) is not None]
        return self._bias + sum(known) / math.sqrt(len(known) + _CALM)

    def refuses(self, score: float, hints: int) -> bool:
        """Whether ``score`` is enough beside evidence of weight ``hints``; the more there is, the less it takes."""
        return score > self._refuse[min(hints, len(self._refuse) - 1)]


@cache
def load_intent_model() -> tuple[IntentGrammar, Linear]:
    """The grammar and the model, read once: a quarter of a second that only whoever judges has to spend."""
    here = Path(__file__)
    grammar = tomllib.loads(here.with_name("intent.toml").read_text(encoding="utf-8"))
    return IntentGrammar(grammar), Linear(here.with_name("intent.json"))


def verdict_reasons() -> tuple[str, ...]:
    """Every reason that a verdict may have, sorted."""
    rows = load_intent_model()[0].rows
    return tuple(sorted({*(row.reason for row in rows), "likeness", "spelled_out", "turned_round"}))


def judge_intent(form: str, grammar: IntentGrammar | None = None) -> QuestionVerdict | None:
    """The verdict on a normalised lower-case text; None when it shows no sign of an attack on the model.

    The linear model decides with the signs of ``grammar`` (the shipped one by default) among its features; the heavier
    they are, the less it must be convinced. An attack takes a sign of weight 4, or two that weigh 5. Hints, the model
    alone, and signs that only want it to be or do something else are weak unless it is convinced. Nothing below an
    attack rests on a quoted name alone.
    """
    verdict = _judge_form(form, grammar)
    if verdict and verdict.grade != "attack" and (unquoted := _NAMED.sub(" something ", form)) != form:
        return _judge_form(unquoted, grammar)
    return verdict


def _judge_form(form: str, grammar: IntentGrammar | None) -> QuestionVerdict | None:
    model = load_intent_model()[1]
    found, parts = signs_and_features(form, grammar)
    score = max(map(model.score, parts))
    reason = max(found, key=lambda name: (found[name], name), default="likeness")
    certain = found.get(reason, 0) >= 4 or sum(sorted(found.values())[-2:]) >= 5
    refused = model.refuses(score, sum(found.values()))
    if certain and not (refused and score > _FOR_ATTACK):  # what stands before may speak against it
        alone = (_judge_form(part, grammar) for part in _SENTENCE_END.split(form) if part != form)
        if attack := next((verdict for verdict in alone if verdict and verdict.grade == "attack"), None):
            return attack
    if not refused:
        return None
    grade: Grade = "weak" if _is_weak(found, reason, score) else "suspicious"
    if reason == "destructive":
        return QuestionVerdict("intent", "write_request", grade, reason)
    return QuestionVerdict("intent", "prompt_injection", "attack" if certain and score > _FOR_ATTACK else grade, reason)


def _is_weak(found: Mapping[str, int], reason: str, score: float) -> bool:
    heavy = {name for name, weight in found.items() if weight > 1}
    return (reason in _IDLE and heavy <= _IDLE and score < _SURE_OF_IDLE) or (not heavy and score < _SURE_ALONE)


def signs_and_features(form: str, grammar: IntentGrammar | None = None) -> tuple[dict[str, int], list[set[str]]]:
    """Reason and weight of the signs in a text, and what the linear model sees of the whole and of each sentence."""
    words = _TOKEN.findall(_SQL.sub("sqlstatement ", form))
    grammar = grammar or load_intent_model()[0]
    line = grammar.encode_words(words)
    found = _find_signs(grammar, form, words, line)
    return found, list(_part_features(grammar, words, line, found))


def _find_signs(grammar: IntentGrammar, form: str, words: list[str], line: str) -> dict[str, int]:
    found = grammar.search(line)
    letters, ascii_only = set(form), form.isascii()
    for sign in grammar.texts:
        tried = not sign.marks.isdisjoint(letters) if sign.marks else not ascii_only
        if tried and found.get(sign.reason, 0) < sign.weight and sign.pattern.search(form):
            found[sign.reason] = sign.weight
    if any(_STEMS.search(_GAP.sub("", match[0])) for match in _SPACED.finditer(form)):
        found["spelled_out"] = 2
    if not _TURNED.isdisjoint(words):
        found["turned_round"] = 2
    return found


def _part_features(grammar: IntentGrammar, words: list[str], line: str, found: dict[str, int]) -> Iterator[set[str]]:
    marks = {f"!{reason}" for reason in found} | {f"!{reason}{weight}" for reason, weight in found.items()}
    if found:
        marks.add(f"!{min(5, sum(found.values()))}")
    for part in _text_parts(words, line):
        yield grammar.features(*part) | marks
        marks = set()


def _text_parts(words: list[str], line: str) -> Iterator[tuple[list[str], str]]:
    """The whole, and each of its sentences: an attack is not diluted by what stands around it."""
    yield words, line
    ends = [place for place, letter in enumerate(line) if letter == "."]
    sentences = [(start, end) for start, end in pairwise(ends) if end - start > 3]
    if len(sentences) > 1:
        for start, end in sentences:
            yield words[start : end - 1], line[start : end + 1]
