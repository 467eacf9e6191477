"""Errors: each can be told from the others, says what to do, and happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sql_synthesizer.errors import SqlSynthesizerError, UnexpectedError, error_classes
from sql_synthesizer.telemetry.vocabulary import SECURITY_EVENTS
from sql_synthesizer_proof.mixin.checks.source import list_faults, words_beside

ROOTS = (SqlSynthesizerError, UnexpectedError)
"""Those whose reason is ``internal``."""


def error_faults() -> Iterator[str]:
    """What a class of ``errors`` lacks; one that only others derive from needs nothing but a status."""
    said = words_beside("errors")
    classes = [cls for cls in error_classes() if cls not in ROOTS and "sql_synthesizer.errors" in cls.__module__]
    reasons = Counter(vars(cls).get("reason") for cls in classes)
    for cls in classes:
        own = vars(cls)
        if cls.__subclasses__() and "reason" not in own:
            continue
        expected = {
            f"{cls.status} is no status of an error": 400 <= cls.status < 600,
            "it has no reason of its own": "reason" in own and reasons[cls.reason] == 1,
            "it has no message or no hint of its own": {"default_message", "default_hint"} <= own.keys(),
            f"there is no security event {cls.event}": cls.event is None or cls.event in SECURITY_EVENTS,
            "nothing in the service raises it": {cls.__name__, f"errors.{cls.__name__}"} & said,
        }
        yield from list_faults(f"error {cls.__name__}", expected)
