"""What answers without a model and a network: the rules, and the engine for what the rules do not understand."""

from __future__ import annotations

from sql_synthesizer.errors import Declined
from sql_synthesizer.model import Statement
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.engine.readings import LEAST_CONFIDENCE, read_question
from sql_synthesizer.synthesizer.rules import RulesSynthesizer


class EmbeddedSynthesizer:
    """Answers plain questions deterministically, the same words always with the same SQL."""

    source = "rules"

    def __init__(self) -> None:
        self._rules = RulesSynthesizer()

    def synthesize(self, context: Context) -> Statement:
        """SQL that answers the question. Raises Declined, with questions that can be answered, when not sure."""
        try:
            return self._rules.synthesize(context)
        except Declined:
            readings = read_question(context)
            if not readings or readings[0].confidence < LEAST_CONFIDENCE:
                raise
            return Statement(readings[0].sql, self.source, readings[0].explain())
