"""How likely a reading is right: a logistic model over a few features of it, with its coefficients as plain text."""

from __future__ import annotations

import math

COEFFICIENTS: dict[str, float] = {
    "unread": -0.772,
    "links": -0.870,
    "joins": -0.259,
    "notes": 0.231,
    "unstored": -0.364,
    "outs": 0.098,
    "conditions": -0.087,
    "grouped": -0.294,
    "having": 0.389,
    "limit": -0.106,
    "nested": -0.368,
    "combined": 0.769,
    "unnamed": 0.368,
    "graded": -0.779,
    "tables": 0.065,
    "wide": -1.399,
    "joined": -0.040,
    "lost": -0.403,
    "uncompared": -1.639,
    "unused": -2.972,
    "echo": -2.180,
    "margin": 1.288,
    "words": -0.454,
}
INTERCEPT = 1.961


def estimate_confidence(features: dict[str, float]) -> float:
    """The probability that a reading with these features is right."""
    total = INTERCEPT + sum(COEFFICIENTS.get(name, 0.0) * float(value) for name, value in features.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
