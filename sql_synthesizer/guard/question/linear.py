"""A linear model whose numbers are a readable file: feature, weight."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from pathlib import Path

_CALM = 8  # so that a text is not judged by one or two of its words alone


class Linear:
    """Scores a set of features; the file also holds the recipe that its numbers come from.

    The score is ``bias + sum(weights of the known features) / sqrt(known features + 8)``: log odds under the logistic
    loss that it was trained with. Raises KeyError or ValueError when the file is not of this form.
    """

    def __init__(self, path: Path) -> None:
        model = json.loads(path.read_text(encoding="utf-8"))
        self._weights: dict[str, float] = model["weights"]
        self._bias = float(model["bias"])
        self._refuse: list[float] = model["refuse"]

    def score(self, features: Collection[str]) -> float:
        """Log odds that the text is an attack."""
        known = [weight for feature in features if (weight := self._weights.get(feature)) is not None]
        return self._bias + sum(known) / math.sqrt(len(known) + _CALM)

    def refuses(self, score: float, hints: int = 0) -> bool:
        """Whether ``score`` is enough beside evidence of weight ``hints``; the more there is, the less it takes."""
        return score > self._refuse[min(hints, len(self._refuse) - 1)]
