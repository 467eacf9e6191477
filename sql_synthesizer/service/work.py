"""What the stages of a question hand to each other."""

from __future__ import annotations

from dataclasses import dataclass

from sql_synthesizer.model import Question, Rows, Schema
from sql_synthesizer.telemetry import Operation


@dataclass(slots=True)
class AnswerPage:
    """Rows ``(number - 1) * size`` and following of an answer; ``number`` starts at 1."""

    question_id: str
    number: int
    pages: int
    rows: Rows
    row_count: int


@dataclass(slots=True)
class Work:
    """A question in progress, with its operation and the timings of its stages."""

    question: Question
    schema: Schema
    operation: Operation
    timings: dict[str, float]
