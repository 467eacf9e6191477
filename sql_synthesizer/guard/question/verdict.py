"""What a layer of the question guard finds in a text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TextKind = Literal["sql_injection", "prompt_injection", "write_request"]
"""What an attack aims at: the database through SQL in the text, the model through its instructions, or a change."""
Grade = Literal["weak", "suspicious", "attack"]
"""From the least to the gravest: ``weak`` alone is recorded, and the question passes; ``suspicious`` refuses the
question; ``attack`` also counts towards the alerts, so nothing benign may reach it."""


@dataclass(frozen=True, slots=True)
class QuestionVerdict:
    """``layer`` is where a sign was found, ``reason`` a stable word for which; both come from closed lists."""

    layer: str
    kind: TextKind
    grade: Grade
    reason: str
