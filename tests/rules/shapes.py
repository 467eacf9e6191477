"""Courses of events that rules of one shape are all shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.rules.scenario import HERE, OURS, Case, Phase, counter, expected, falling, gauge, metric, ramp

Named = Callable[..., str]
"""Names a series of an instance."""


@dataclass(frozen=True)
class Ratio:
    """An alert on the share that ``part`` has of ``part`` and ``rest``.

    It fires above ``share``, or below it where ``low``; over ``window`` seconds, after ``hold`` seconds, and with
    ``least`` events within the window where the rule asks for so many. ``within``: ``rest`` counts the part too.
    ``local``: each instance is looked at alone, so that a busy and healthy one beside the bad one hides nothing.
    """

    rule: str
    part: Named
    rest: Named
    share: float
    window: int
    hold: int
    least: int | None = None
    low: bool = False
    within: bool = False
    local: bool = False
    step: int = 15
    alerts: Sequence[str] = (OURS,)

    def cases(self) -> list[Case]:
        return [*self._beside(), *self._windows(), self._sudden(), *self._restart(), self._slow(), *self._few()]

    def _rest(self, share: float) -> float:
        return 1 if self.within else 1 - share

    def _case(self, situation: str, series: Mapping[str, str], **seen: Any) -> Case:
        return Case(self.rule, situation, series, alerts=self.alerts, step=self.step, **seen)

    def mixed(self, share: float, *phases: Phase) -> dict[str, str]:
        """Three quarters of the part on one instance, three quarters of the rest on the other."""

        def grown(rate: float) -> str:
            return counter(*((seconds, each * rate) for seconds, each in phases), step=self.step)

        if self.local:
            return {
                self.part("a"): grown(share),
                self.rest("a"): grown(self._rest(share)),
                self.part("b"): grown(0),
                self.rest("b"): grown(100),
            }
        return {
            self.part("a"): grown(0.75 * share),
            self.part("b"): grown(0.25 * share),
            self.rest("a"): grown(0.25 * self._rest(share)),
            self.rest("b"): grown(0.75 * self._rest(share)),
        }

    def _bad(self, factor: float) -> float:
        return self.share / factor if self.low else self.share * factor

    def _beside(self) -> list[Case]:
        end = self.window + self.hold + 4 * self.step
        return [
            self._case(f"{name} at {rate}/s", self.mixed(self._bad(factor), (end, rate)), **expected(fires, end))
            for rate in (1, 100)
            for name, factor, fires in (
                ("just beyond the threshold", 1.04, True),
                ("just within the threshold", 0.96, False),
            )
        ]

    def _windows(self) -> list[Case]:
        seconds = 3 * self.window + self.hold
        made = partial(falling, self.window / 2, seconds, step=self.step)
        return [
            self._case(
                f"falling traffic, {name} the threshold",
                {self.part("a"): made(share), self.rest("a"): made(self._rest(share))},
                **expected(fires, seconds),
            )
            for name, share, fires in (
                ("beyond", self._bad(1.25), True),
                ("within", self._bad(0.8), False),
            )
        ]

    def _sudden(self) -> Case:
        """Silence, then everything is bad: true at the first sample, so that only the hold delays."""
        start, step = 2 * self.step, self.step
        lasts = self.hold + 2 * step
        series = self.mixed(0 if self.low else 1, (start, 0), (lasts, 100))
        gone = start + lasts + self.window + 2 * step
        return self._case(
            "everything at once, until the target is gone",
            {name: f"{values} stale" for name, values in series.items()},
            firing=(start + lasts,),
            quiet=(start + self.hold, gone),
        )

    def _restart(self) -> list[Case]:
        half = self.window + self.step
        end = 2 * half + self.hold + self.step
        found = []
        for name, factor, fires in (("beyond", 1.25, True), ("within", 0.8, False)):
            before = self.mixed(self._bad(factor), (half, 1))
            after = self.mixed(self._bad(factor), (half + self.hold, 1))
            series = {name: f"{values} {after[name]}" for name, values in before.items()}
            found.append(self._case(f"counters start again, {name} the threshold", series, **expected(fires, end)))
        return found

    def _slow(self) -> Case:
        end = self.window + self.hold + 4 * self.step
        series = self.mixed(0 if self.low else 1, (end, 0.01))
        return self._case("one event in 100 s, and all bad", series, **expected(not self.least, end))

    def _few(self) -> list[Case]:
        if self.least is None:
            return []
        end = 2 * self.window + self.hold
        everything = partial(self.mixed, 0 if self.low else 1)
        return [
            self._case("as many as needed", everything((end, self.least / self.window)), firing=(end,)),
            self._case("one too few", everything((end, (self.least - 1) / self.window)), quiet=(end,)),
        ]


def first(rule: str, named: Named, window: int, alerts: Sequence[str] = (OURS,), fast: bool = False) -> list[Case]:
    """An alert that one event fires, and that ends with its window."""
    begin = 2 * window
    once = counter((begin, 0), (15, 1 / 15), (2 * window, 0))
    never = counter((begin + 2 * window, 0))
    return [
        Case(
            rule,
            "the first event ever, on one of two instances",
            {named("a"): once, named("b"): never},
            firing=(begin + 15, begin + 0.75 * window),
            quiet=(begin, begin + window + 30),
            alerts=alerts,
            fault=begin if fast else None,
        ),
        Case(rule, "a restart", {named("a"): f"{counter((300, 1))} {never}"}, quiet=(window + 330,), alerts=alerts),
        Case(rule, "ten a second", {named("a"): counter((60, 10))}, firing=(45,), alerts=alerts),
    ]


def born(rule: str, named: Named, number: int, window: int, alerts: Sequence[str] = (OURS,)) -> list[Case]:
    """An alert that sees what a new instance had counted already, and not what an old one had that was away."""
    up, late = partial(metric, "up"), " ".join(["_"] * (window // 15))
    kept = gauge((3 * window, number))
    return [
        Case(
            rule,
            "the first scrape of a new instance",
            {up("b"): gauge((4 * window, 1)), up("a"): f"{late} {kept}", named("a"): f"{late} {kept}"},
            firing=(window + 15, 2 * window - 15),
            quiet=(window - 15, 2 * window + 15),
            alerts=alerts,
        ),
        Case(
            rule,
            "Prometheus is new",
            {up("a"): f"{late} {gauge((3 * window, 1))}", named("a"): f"{late} {kept}"},
            quiet=(window, 1.6 * window, 2 * window + 15),
        ),
        Case(
            rule,
            "an instance that could not be scraped for long, beside another",
            {
                up("b"): gauge((4 * window, 1)),
                up("a"): gauge((window, 0), (3 * window, 1)),
                named("a"): f"{late} {kept}",
            },
            quiet=(window + 15, 1.5 * window),
        ),
    ]


def recurring(rule: str, named: Named, window: int, hold: int, alerts: Sequence[str] = (OURS,)) -> list[Case]:
    """An alert on events that keep coming for as long as it holds; one that came once is not enough."""
    pause = 0.8 * window
    again = [phase for _ in range(int(hold / pause) + 3) for phase in ((15, 1 / 15), (pause - 15, 0))]
    start = 60
    return [
        Case(
            rule,
            "again and again, on one of two instances",
            {
                named("a"): counter((start, 0), *again, (2 * window, 0)),
                named("b"): counter((start + 3 * hold + 2 * window, 0)),
            },
            firing=(start + hold + 30,),
            quiet=(start + hold, start + sum(seconds for seconds, _ in again) + window + 30),
            alerts=alerts,
        ),
        Case(
            rule,
            "once",
            {named("a"): counter((60, 0), (15, 1), (3 * hold, 0))},
            quiet=(60 + window + 30,),
            alerts=alerts,
        ),
    ]


def count(
    rule: str, named: Named, number: float, window: int, alerts: Sequence[str] = (OURS,), *, local: bool = False
) -> list[Case]:
    """An alert on the number of events within a window; each instance counts alone where it is ``local``."""
    end, over = 2 * window + 60, window + 60
    shares = {"a": 1.0, "b": 0.5} if local else {"a": 0.5, "b": 0.5}
    return [
        Case(
            rule,
            f"{number * share:g} within the window, by two instances",
            {named(at): counter((end, number * share * part / window), (over, 0)) for at, part in shares.items()},
            alerts=alerts,
            firing=(end,) if fires else (),
            quiet=(end + over,) if fires else (end,),
        )
        for share, fires in ((1.04, True), (0.96, False))
    ]


def level(
    rule: str, named: Named, healthy: float, bad: float, hold: int, alerts: Sequence[str] = (HERE,)
) -> list[Case]:
    """An alert on a level, one instance of two being bad; nothing but the hold delays it, and it ends at once."""
    start = 120
    end = 2 * start + hold
    steady = gauge((end + start, healthy))
    return [
        Case(
            rule,
            f"{bad:g} on one of two instances, {healthy:g} on the other",
            {named("a"): gauge((start, healthy), (hold + start, bad), (start, healthy)), named("b"): steady},
            firing=(start + hold + 15,),
            quiet=(start, start + hold - 15, end + 15),
            alerts=alerts,
        )
    ]


def average(rule: str, named: Named, threshold: float, hold: int, alerts: Sequence[str] = (HERE,)) -> list[Case]:
    """An alert on the average over five minutes, which is above the threshold 150 s after the level is."""
    crossing = 900
    slope = threshold / 6000
    end = crossing + 150 + hold + 60
    return [
        Case(
            rule,
            "rising steadily on one of two instances",
            {
                named("a"): ramp(threshold - slope * crossing, slope, end),
                named("b"): gauge((end, threshold * 0.96)),
            },
            firing=(crossing + 150 + hold + 30,),
            quiet=(crossing + 150 + hold - 30,),
            alerts=alerts,
        ),
        Case(
            rule,
            "just above, and later below",
            {named("a"): gauge((hold + 60, threshold * 1.02), (600, threshold * 0.5))},
            firing=(hold + 30,),
            quiet=(hold + 360,),
            alerts=alerts,
        ),
        Case(
            rule,
            "a peak of a minute",
            {named("a"): gauge((300, threshold * 0.5), (60, threshold * 1.25), (hold + 300, threshold * 0.5))},
            quiet=(360, 360 + hold),
            alerts=alerts,
        ),
    ]
