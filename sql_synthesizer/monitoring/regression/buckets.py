"""Is one version slower than another? By what fell into the buckets of a histogram, minute by minute.

Requests of one minute share its load, so they are no independent samples: only whole minutes are compared. Their
mean ranks and the percentile of all are computed anew for many random assignments of the minutes to the versions
(a permutation test of blocks: P. Good, Permutation, Parametric and Bootstrap Tests of Hypotheses, chapter 3).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal, TypeVar

T = TypeVar("T")
Minute = Sequence[float]
"""What fell into each bucket within a minute, the last being the one without a bound."""

ALPHA = 0.01
"""Share of comparisons of equal versions that may find one worse, of all that are looked at together."""
DRAWS = 1_999
LEAST = 1_000
"""Requests of each version below which nothing is said."""
LEAST_MINUTES = 5
RATIO = 1.05
"""Of the percentiles: less than that is not worth a word."""
QUANTILE = 0.95
LEAST_FAILURES = 0.005
"""By how much the share of failures has to be higher."""
Verdict = Literal["worse", "not worse", "too few"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """A new version beside an old one. ``before`` and ``after`` are percentiles in seconds, or shares of failures."""

    name: str
    requests: tuple[int, int]
    before: float
    after: float
    chance: float
    """How likely a difference of that size is between equal versions."""
    verdict: Verdict

    @property
    def ratio(self) -> float:
        """``after`` per ``before``."""
        return self.after / self.before if self.before else math.inf if self.after else 1.0


def compare_durations(
    name: str, bounds: Sequence[float], old: Sequence[Minute], new: Sequence[Minute], *, looks: int = 1, seed: int = 1
) -> Comparison:
    """Whether the new version is slower; ``looks`` is how many comparisons are made together."""
    old, new = _busy(old), _busy(new)
    requests = round(sum(map(sum, old))), round(sum(map(sum, new)))
    before, after = (quantile_of(bounds, _add_up(minutes)) for minutes in (old, new))
    if not is_enough(old, new):
        return Comparison(name, requests, before, after, 1.0, "too few")
    ranks = _bucket_ranks(_add_up([*old, *new]))
    minutes = [(minute, _mean_rank(minute, ranks)) for minute in (*old, *new)]

    def differences(first: Sequence[tuple[Minute, float]], second: Sequence[tuple[Minute, float]]) -> tuple[float, ...]:
        slow = [quantile_of(bounds, _add_up([minute for minute, _ in part])) for part in (first, second)]
        mean = [sum(rank for _, rank in part) / len(part) for part in (first, second)]
        return mean[1] - mean[0], slow[1] - slow[0]

    chance = _permute(minutes, len(old), differences, seed)
    worse = chance < ALPHA / looks and after > before * RATIO
    return Comparison(name, requests, before, after, chance, "worse" if worse else "not worse")


def compare_shares(
    name: str, old: Sequence[Minute], new: Sequence[Minute], *, looks: int = 1, seed: int = 1
) -> Comparison:
    """Whether the new version fails more often; a minute is how many failed, and how many did not."""
    old, new = _busy(old), _busy(new)
    requests = round(sum(map(sum, old))), round(sum(map(sum, new)))
    before, after = _share(old), _share(new)
    if not is_enough(old, new):
        return Comparison(name, requests, before, after, 1.0, "too few")
    chance = _permute([*old, *new], len(old), lambda first, second: (_share(second) - _share(first),), seed)
    worse = chance < ALPHA / looks and after - before > LEAST_FAILURES
    return Comparison(name, requests, before, after, chance, "worse" if worse else "not worse")


def is_enough(old: Sequence[Minute], new: Sequence[Minute]) -> bool:
    """Whether each version had enough requests, in enough minutes, to say something."""
    busy = _busy(old), _busy(new)
    return all(len(minutes) >= LEAST_MINUTES and sum(map(sum, minutes)) >= LEAST for minutes in busy)


def quantile_of(bounds: Sequence[float], counts: Minute, share: float = QUANTILE) -> float:
    """The quantile in seconds, by the line through its bucket as ``histogram_quantile`` of Prometheus has it.

    0 of nothing.
    """
    target, below = share * sum(counts), 0.0
    for bound, floor, count in zip(bounds, (0.0, *bounds), counts, strict=False):
        if count and below + count >= target:
            return floor + (bound - floor) * (target - below) / count
        below += count
    return bounds[-1] if below else 0.0


def _permute(
    minutes: Sequence[T], first: int, differences: Callable[[Sequence[T], Sequence[T]], tuple[float, ...]], seed: int
) -> float:
    """The chance of the largest difference, times the number of differences: one of them has to be that large."""
    found = differences(minutes[:first], minutes[first:])
    choose, pool, above = random.Random(seed), list(minutes), [1] * len(found)
    for _ in range(DRAWS):
        choose.shuffle(pool)
        drawn = differences(pool[:first], pool[first:])
        above = [count + (one >= seen) for count, one, seen in zip(above, drawn, found, strict=True)]
    return min(1.0, len(found) * min(above) / (DRAWS + 1))


def _busy(minutes: Sequence[Minute]) -> list[Minute]:
    return [minute for minute in minutes if sum(minute) > 0]


def _add_up(minutes: Sequence[Minute]) -> list[float]:
    return [sum(column) for column in zip(*minutes, strict=True)]


def _bucket_ranks(pooled: Minute) -> list[float]:
    """The mean rank, 0 to 1, of what is in each bucket."""
    ends, whole = list(accumulate(pooled)), sum(pooled)
    return [(end - count / 2) / whole for end, count in zip(ends, pooled, strict=True)]


def _mean_rank(minute: Minute, ranks: Sequence[float]) -> float:
    return sum(count * rank for count, rank in zip(minute, ranks, strict=True)) / sum(minute)


def _share(minutes: Sequence[Minute]) -> float:
    failed = sum(minute[0] for minute in minutes)
    whole = sum(map(sum, minutes))
    return failed / whole if whole else 0.0
