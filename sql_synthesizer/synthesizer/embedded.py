"""What answers without a model and a network: the rules, and the engine for what the rules do not understand."""

from __future__ import annotations

from dataclasses import replace

from sql_synthesizer.errors import Declined
from sql_synthesizer.model import Statement
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.engine.readings import LEAST_CONFIDENCE, Reading, read_question
from sql_synthesizer.synthesizer.rules import RulesSynthesizer

RULES_CONFIDENCE = 0.93
"""The share of the answers of the rules that were right on databases set aside."""
LEAST_CHOICE = 0.2
CHOICES = 3
UNSURE = "Not sure of this"
"""With what the explanation of an answer that is not sure ends."""


class EmbeddedSynthesizer:
    """Answers plain questions deterministically, the same words always with the same SQL.

    ``sure`` is the confidence from which an answer is not marked.
    """

    source = "rules"

    def __init__(self, sure: float = 0.92) -> None:
        self._rules = RulesSynthesizer()
        self._sure = sure

    def synthesize(self, context: Context) -> Statement:
        """SQL that answers the question. Raises Declined, with questions that can be answered, when not sure."""
        try:
            return self._mark(replace(self._rules.synthesize(context), confidence=RULES_CONFIDENCE))
        except Declined as declined:
            readings = read_question(context)
            best = readings[0].confidence if readings else 0.0
            if best < LEAST_CONFIDENCE:
                asked = declined.topic in {"words", "ambiguous"} and best >= LEAST_CHOICE
                declined.choices = _choices(readings) if asked else ()
                raise
            statement = Statement(readings[0].sql, self.source, readings[0].explain())
            return self._mark(replace(statement, confidence=round(best, 2)))

    def _mark(self, statement: Statement) -> Statement:
        confidence = statement.confidence or 0.0
        if confidence >= self._sure:
            return statement
        doubt = f"{UNSURE}: {confidence:.0%} likely right."
        return replace(statement, explanation=f"{statement.explanation} {doubt}".strip(), sure=False)


def _choices(readings: list[Reading]) -> tuple[str, ...]:
    """What a question that is declined could have meant, in plain words, the likeliest first."""
    return tuple(dict.fromkeys(reading.explain() for reading in readings))[:CHOICES]
