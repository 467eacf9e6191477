"""Is this text an attack? An alarm and a first filter; the boundary is the statement guard."""

from sql_synthesizer.guard.question.screening import QuestionGuard, Screening, judge_text

__all__ = ["QuestionGuard", "Screening", "judge_text"]
