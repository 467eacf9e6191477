"""What a question that was declined is about, by its words."""

from __future__ import annotations

import re

_WORDS = {
    "future": "will|forecast|predict|prediction|expect|expected|tomorrow|next (?:week|month|quarter|year)",
    "cause": "why|because|reason|reasons|explain|cause|caused",
    "advice": "should|recommend|advise|suggest|advice|better to",
    "change": "delete|remove|update|insert|change|rename|drop|create|add",
    "trend": r"trend|trends|growth|grow|compared?|versus|vs|correlat\w*|seasonal\w*",
}
_PATTERNS = [(topic, re.compile(rf"\b(?:{words})\b", re.IGNORECASE)) for topic, words in _WORDS.items()]


def topic_of(question: str) -> str:
    """One of ``errors.DECLINED_TOPICS``: the first whose words, of English, are in the question, else ``words``."""
    return next((topic for topic, pattern in _PATTERNS if pattern.search(question)), "words")
