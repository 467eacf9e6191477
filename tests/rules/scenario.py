"""What a rule is shown and what it must do: series in promtool's notation, and moments in seconds.

Numbers stand here literally and not as names of ``slo.py``: a threshold changed by mistake fails a test.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

JOB = "sql-synthesizer"
OURS = f'job="{JOB}"'
HERE = f'instance="a",{OURS}'


@dataclass(frozen=True)
class Text:
    """What the reader of the alert sees; ``labels`` beside those of the result."""

    severity: str
    summary: str
    description: str
    dashboard: str
    team: str = "operations"
    labels: str = ""


@dataclass(frozen=True)
class Case:
    """One situation: at ``firing`` exactly ``alerts`` fire (given by their labels), at ``quiet`` none does.

    ``rule`` is the name of the alert, with the long window where several rules share the name. Evaluations are
    ``step`` seconds apart, and so are samples if not ``scrape`` seconds. ``fault`` marks the moment after which a fast
    alert must keep its bound.
    """

    rule: str
    situation: str
    series: Mapping[str, str]
    firing: Sequence[float] = ()
    quiet: Sequence[float] = ()
    alerts: Sequence[str] = (OURS,)
    step: int = 15
    scrape: int | None = None
    fault: int | None = None
    text: Text | None = None

    def __post_init__(self) -> None:
        assert self.firing or self.quiet or self.fault is not None, f"{self.situation} expects nothing"


def expected(fires: bool, *moments: float) -> dict[str, Any]:
    """The arguments of a case that fires, or keeps quiet, at these moments."""
    return {"firing" if fires else "quiet": moments}


def metric(name: str, instance: str = "a", job: str = JOB, **labels: str) -> str:
    """A series of a metric, as it is after the scrape."""
    labels = {"job": job, "instance": instance, **labels}
    return name + "{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"


def own(name: str, instance: str = "a", job: str = JOB, **labels: str) -> str:
    """A series of one of the service's metrics."""
    return metric(f"sql_synthesizer_{name}", instance, job, **labels)


Phase = tuple[float, float]


def listed(values: Sequence[float]) -> str:
    """Samples as promtool reads them."""
    return " ".join(f"{round(value, 6):.16g}" for value in values)


def counter(*phases: Phase, step: int = 15) -> str:
    """A counter that grows in each phase (seconds, per second); one sample every ``step`` seconds, the first at 0."""
    ends = [0.0, *accumulate(seconds for seconds, _ in phases)]
    growth = [(begin, end, rate) for begin, end, (_, rate) in zip(ends[:-1], ends[1:], phases, strict=True)]
    moments = range(0, int(ends[-1]) + 1, step)
    return listed([sum(max(0.0, min(at, end) - begin) * rate for begin, end, rate in growth) for at in moments])


def gauge(*phases: Phase, step: int = 15) -> str:
    """A gauge that has the value of each phase (seconds, value); the first phase begins at 0."""
    values: list[float] = []
    end = 0.0
    for seconds, value in phases:
        end += seconds
        values.extend([value] * (math.ceil(end / step) - len(values)))
    return listed(values)


def ramp(first: float, per_second: float, seconds: float, step: int = 15) -> str:
    """A gauge that moves steadily from its first value."""
    return listed([first + per_second * at for at in range(0, int(seconds) + 1, step)])


def falling(halving: float, seconds: float, last: float, step: int = 15) -> str:
    """A counter whose growth halves every ``halving`` seconds, until it is ``last`` per second at the end.

    Windows of different length see different rates of it at every moment, however long a rule holds.
    """
    scale = last * 2 ** (seconds / halving) * halving / math.log(2)
    return listed([scale * (1 - 2 ** (-at / halving)) for at in range(0, int(seconds) + 1, step)])
