"""Is this text an attack? An alarm and a first filter; the boundary is the statement guard."""

from sql_synthesizer.guard.question.screening import QuestionGuard, clean_question, judge_text

__all__ = ["QuestionGuard", "clean_question", "judge_text"]
