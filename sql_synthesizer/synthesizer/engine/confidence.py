"""How likely a reading is right: a logistic model over a few features of it, with its coefficients as plain text."""

from __future__ import annotations

import math

COEFFICIENTS: dict[str, float] = {
    "unread": -1.489,
    "links": -1.007,
    "joins": -0.458,
    "notes": 0.721,
    "share": 1.219,
    "unstored": -1.056,
    "outs": 0.309,
    "conditions": -0.287,
    "either": 0.499,
    "grouped": -0.563,
    "having": 0.344,
    "limit": -0.275,
    "nested": -0.666,
    "combined": 1.359,
    "unnamed": 0.493,
    "graded": -1.164,
    "tables": 0.170,
    "wide": -4.754,
    "ordered": 0.075,
    "joined": 0.242,
    "margin": 1.205,
    "words": -0.647,
}
INTERCEPT = 2.417


def estimate_confidence(features: dict[str, float]) -> float:
    """The probability that a reading with these features is right."""
    total = INTERCEPT + sum(COEFFICIENTS.get(name, 0.0) * float(value) for name, value in features.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
