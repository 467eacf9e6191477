"""Has a series taken a step for the worse? By its own past weeks, as load has a daily and a weekly cycle.

What is judged is the logarithm of an hour's mean beside the median of the same hour in the three weeks before, and that
by its own spread within the last week; until there are three weeks, the last week as a whole is the past. When the
step was taken is told by ranks (the split with the largest Mann-Whitney statistic).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median, pstdev

SCORE = 4.0
"""Spreads of the last week that a step has to be beyond."""
RATIO = 1.15
"""Of now to the past: less than that is not worth a word."""
WEEKS = 3
PARTS = 2016
"""Points of a week: one every five minutes."""
LEAST_SPREAD = 0.02
LEAST_STEP = 15.0
"""Seconds between two points at least: as often as the service is scraped."""
LEAST_POINTS = 5
"""On each side of a step."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How a ``week`` of so many seconds is divided; the numbers are of points."""

    week: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(LEAST_STEP, self.week / PARTS)

    @property
    def points(self) -> int:
        """Of a week."""
        return round(self.week / self.step)

    @property
    def hour(self) -> int:
        """Of a mean."""
        return max(1, self.points // 168)

    @property
    def hold(self) -> int:
        """For which a step has to last: half an hour."""
        return max(2, self.points // 336)

    @property
    def near(self) -> int:
        """Within which the step is looked for: eight hours, as it is found within two."""
        return max(2 * LEAST_POINTS, self.points // 21)


@dataclass(frozen=True, slots=True)
class Step:
    """``began`` in Unix time; ``ratio`` is now per usual, ``score`` how many spreads it is at least."""

    began: float
    ratio: float
    score: float


def find_step(series: Mapping[float, float], now: float, scale: Scale, floor: float) -> Step | None:
    """The step that a series took and that lasts; None when there is none, or too little is known of it.

    ``floor`` is the value below which differences mean nothing.
    """
    values = _on_grid(series, now, scale, floor)
    means = [_mean(values[max(0, n - scale.hour + 1) : n + 1]) for n in range(len(values))]
    excess = _excess(means, scale)
    past = [one for one in excess[-scale.points : -scale.hold] if one is not None]
    last = [one for one in excess[-scale.hold :] if one is not None]
    if len(past) < max(scale.points // 2, LEAST_POINTS) or len(last) < scale.hold:
        return None
    spread, usual = max(LEAST_SPREAD, pstdev(past)), median(past)
    least = min(last) - usual
    if least <= SCORE * spread or least <= math.log(RATIO):
        return None
    nearby = [(n, one) for n, one in enumerate(_excess(values, scale)[-scale.near :]) if one is not None]
    split, _ = find_split([one for _, one in nearby], min(LEAST_POINTS, scale.hold))
    began = now - (scale.near - 1 - nearby[split][0]) * scale.step
    return Step(began, math.exp(fmean(last) - usual), least / spread)


def find_split(values: Sequence[float], least: int = LEAST_POINTS) -> tuple[int, float]:
    """Where the values before differ most from those after, by their ranks, and by how many standard deviations.

    At least so many are on each side.
    """
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    for rank, place in enumerate(order, 1):
        ranks[place] = rank
    count, below, best, found = len(values), 0.0, -1.0, least
    for split in range(1, count - least + 1):
        below += ranks[split - 1]
        if split < least:
            continue
        expected = split * (count + 1) / 2
        deviation = math.sqrt(split * (count - split) * (count + 1) / 12)
        if abs(below - expected) / deviation > best:
            best, found = abs(below - expected) / deviation, split
    return found, best


def _on_grid(series: Mapping[float, float], now: float, scale: Scale, floor: float) -> list[float | None]:
    """The logarithms, one for each step up to ``now``; None where the series has no value."""
    count = (WEEKS + 1) * scale.points + scale.hour
    found: list[float | None] = [None] * count
    for moment, value in series.items():
        place = count - 1 - round((now - moment) / scale.step)
        if 0 <= place < count and math.isfinite(value):
            found[place] = math.log(max(value, floor))
    return found


def _excess(values: Sequence[float | None], scale: Scale) -> list[float | None]:
    """Each of the last week, less what is usual at its time."""
    week, begin = scale.points, len(values) - scale.points
    whole = [[values[n - k * week] for k in range(1, WEEKS + 1)] for n in range(begin, len(values))]
    seasonal = all(len([one for one in past if one is not None]) == WEEKS for past in whole[-scale.hold :])
    found: list[float | None] = []
    for n, past in zip(range(begin, len(values)), whole, strict=True):
        known = [one for one in past if one is not None] if seasonal else [0.0]
        value = values[n]
        found.append(None if value is None or not known else value - median(known))
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return fmean(known) if known else None


def find_changes(series: Mapping[float, float]) -> list[float]:
    """When a level that says which version of something is in force became another one."""
    return [later for (_, before), (later, after) in pairwise(sorted(series.items())) if before != after]
