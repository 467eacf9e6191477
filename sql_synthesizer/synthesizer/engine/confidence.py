"""How likely a reading is right: a logistic model over a few features of it, ``coefficients.txt`` beside this file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files

FILE = "coefficients.txt"
INTERCEPT = "intercept"


@lru_cache(maxsize=1)
def coefficients() -> dict[str, float]:
    """What each feature adds to the logit; the intercept is one of them."""
    lines = files(__package__).joinpath(FILE).read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def estimate_confidence(features: Mapping[str, float]) -> float:
    """The probability that a reading with these features is right."""
    known = coefficients()
    total = known[INTERCEPT] + sum(known.get(name, 0.0) * float(value) for name, value in features.items())
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, total))))
