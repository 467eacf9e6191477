"""How likely a reading is right: a logistic model over a few features of it, with its coefficients as plain text."""

from __future__ import annotations

import math

COEFFICIENTS: dict[str, float] = {
    "unread": -1.229,
    "links": -1.248,
    "joins": -0.369,
    "notes": 0.710,
    "share": -0.440,
    "unstored": -0.817,
    "outs": 0.035,
    "conditions": -0.252,
    "either": -0.222,
    "grouped": -0.553,
    "having": 0.477,
    "limit": -0.487,
    "nested": -0.540,
    "combined": 2.118,
    "unnamed": 0.442,
    "graded": -1.334,
    "tables": -0.157,
    "wide": -2.920,
    "ordered": 0.263,
    "joined": 0.525,
    "margin": 0.984,
    "words": -0.650,
}
INTERCEPT = 2.633


def estimate_confidence(features: dict[str, float]) -> float:
    """The probability that a reading with these features is right."""
    total = INTERCEPT + sum(COEFFICIENTS.get(name, 0.0) * float(value) for name, value in features.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
