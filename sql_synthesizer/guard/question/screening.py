"""Is a typed question an attack? An alarm and a first filter; the boundary is the statement guard.

Layers, from cheap to precise: a text without any sign leaves at once; ``fragment`` judges the text as typed,
``decoding`` what decoders and comment strippers would make of it, ``intent`` what it asks of the model in plain words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from sql_synthesizer.errors import InvalidRequest, QuestionEmpty, QuestionRefused, QuestionTooLong
from sql_synthesizer.guard.question import fragment, intent
from sql_synthesizer.guard.question.normal import as_single_line, text_readings
from sql_synthesizer.guard.question.verdict import Grade, QuestionVerdict
from sql_synthesizer.model import Caller
from sql_synthesizer.telemetry import Telemetry, vocabulary

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")  # no text has these
_EVENTS = {"sql_injection": "sql_injection_attempt"}
_ATTEMPT = "prompt_injection_attempt"
_STATEMENT_MESSAGE = "This is SQL or a database's command, not a question."
_STATEMENT_HINT = "Say in plain words what you want to know; who may run SQL can do so on the SQL page."
ReadingJudge = Callable[[str], QuestionVerdict | None]
"""What judges one reading of a text."""
_TYPED = frozenset({"statement", "select"})
"""Reasons that say that a text is SQL, and nothing worse of it."""
_READ_ONLY_HINT = "Data can be read here, not changed. Ask what you want to know."


class QuestionGuard:
    """Refuses questions that have the shape of an attack; counts the verdict of each layer, and suspicions by caller.

    ``repeated`` takes a caller's identity at each suspicion and returns whether they amount to an attack; a statement
    typed as a question is none, nor is a question that passes in spite of a weak sign. The text goes to the audit
    record with the refusal, or with the sign.
    """

    def __init__(self, telemetry: Telemetry, repeated: Callable[[str], bool], *, max_chars: int) -> None:
        self._telemetry = telemetry
        self._repeated = repeated
        self._max_chars = max_chars

    def check(self, text: str, caller: Caller) -> str:
        """The text in normal form (NFC), trimmed. Raises QuestionRefused, and what ``clean_question`` raises."""
        cleaned = clean_question(text, self._max_chars)
        verdicts = judge_text(cleaned)
        if not verdicts:
            return cleaned
        for verdict in verdicts:
            self._telemetry.emit(vocabulary.QUESTION_VERDICT, layer=verdict.layer, grade=verdict.grade)
        error = _build_refusal(verdicts, cleaned)
        if verdicts[0].grade == "weak":
            weak = vocabulary.SECURITY_EVENTS["suspicious_input"]
            self._telemetry.emit(weak, count=1, **error.details, outcome="passed")
            return cleaned
        suspicious = error.event == "suspicious_input" and not _is_plain_sql(verdicts)
        if suspicious and self._repeated(caller.identity):
            attempt = vocabulary.SECURITY_EVENTS[_EVENTS.get(verdicts[0].kind, _ATTEMPT)]
            self._telemetry.emit(attempt, count=1, **error.details, cause="repeated suspicions")
        raise error


def clean_question(text: str, max_chars: int) -> str:
    """The text in normal form (NFC), trimmed and not judged.

    Raises QuestionEmpty, QuestionTooLong, and InvalidRequest for control characters.
    """
    if len(text) > max_chars or len(cleaned := unicodedata.normalize("NFC", text).strip()) > max_chars:
        raise QuestionTooLong(f"The question is longer than {max_chars:,} characters.")
    if _CONTROL.search(text):
        raise InvalidRequest(
            "The question contains control characters.",
            hint="Type the question again, as plain text.",
            details={"rule": "control_character"},
        )
    if not cleaned:
        raise QuestionEmpty
    return cleaned


def judge_text(
    text: str, judge_sql: ReadingJudge = fragment.judge_fragment, judge_words: ReadingJudge = intent.judge_intent
) -> tuple[QuestionVerdict, ...]:
    """What the layers say about a text, at most one verdict each, the gravest first; empty when none finds a sign."""
    found: dict[str, QuestionVerdict] = {}
    lines: dict[str, None] = {}
    for number, reading in enumerate(text_readings(text)):
        verdict = judge_sql(reading)
        _add_verdict(found, replace(verdict, layer="decoding") if verdict and number else verdict)
        lines[as_single_line(reading)] = None
    for reading in lines:
        _add_verdict(found, judge_words(reading))
    return tuple(sorted(found.values(), key=_gravity, reverse=True))


def _add_verdict(found: dict[str, QuestionVerdict], verdict: QuestionVerdict | None) -> None:
    if verdict is not None and (verdict.layer not in found or _gravity(verdict) > _gravity(found[verdict.layer])):
        found[verdict.layer] = verdict


def _gravity(verdict: QuestionVerdict) -> int:
    return get_args(Grade).index(verdict.grade)


def _is_plain_sql(verdicts: tuple[QuestionVerdict, ...]) -> bool:
    """Whether the text is SQL as it stands, so that the layers say no more than that."""
    return any(verdict.reason in _TYPED for verdict in verdicts) and all(
        verdict.reason in _TYPED | {"smuggled_sql"} and verdict.layer != "decoding" for verdict in verdicts
    )


def _build_refusal(verdicts: tuple[QuestionVerdict, ...], text: str) -> QuestionRefused:
    """The error for the caller; its event is an attempt only when a verdict is an ``attack``."""
    gravest = verdicts[0]
    attack = gravest.grade == "attack"
    hints = {**dict.fromkeys(_TYPED, _STATEMENT_HINT), "destructive": _READ_ONLY_HINT}
    return QuestionRefused(
        _STATEMENT_MESSAGE if not attack and gravest.reason in _TYPED else None,
        hint=None if attack else hints.get(gravest.reason),
        event=_EVENTS.get(gravest.kind, _ATTEMPT) if attack else None,
        details={"layer": gravest.layer, "rule": gravest.reason, "grade": gravest.grade, "question": text},
    )
