"""The error budgets: a long window that says it matters, a short one that says it still goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.rules.scenario import Case, Text, counter, expected, own

MINUTE, HOUR, DAY = 60, 3600, 86_400
RECORDED = 30
"""Seconds between two recorded rates, of which a rule counts events. promtool records at every evaluation."""

asked = partial(own, query_type="select", database_type="sqlite")
queries = partial(asked, "queries_total")
buckets = partial(asked, "query_duration_seconds_bucket", success="success")
counts = partial(asked, "query_duration_seconds_count", success="success")

Phase = tuple[float, float, float]
"""Seconds, per second, share that is bad."""


def failing(*phases: Phase, step: int) -> dict[str, str]:
    """Failures on one of two instances."""
    made = partial(counter, step=step)
    return {
        queries("a", success="error"): made(*((length, rate * bad) for length, rate, bad in phases)),
        queries("a", success="success"): made(*((length, rate * (1 - bad) / 2) for length, rate, bad in phases)),
        queries("b", success="error"): made(*((length, 0) for length, _, _ in phases)),
        queries("b", success="success"): made(*((length, rate * (1 - bad) / 2) for length, rate, bad in phases)),
    }


def slow(*phases: Phase, step: int) -> dict[str, str]:
    """Queries that take longer than two seconds on one of two instances."""
    made = partial(counter, step=step)
    half = made(*((length, rate * (1 - bad) / 2) for length, rate, bad in phases))
    return {
        counts("a"): made(*((length, rate * (bad + (1 - bad) / 2)) for length, rate, bad in phases)),
        buckets("a", le="1.0"): made(*((length, 0) for length, _, _ in phases)),
        buckets("a", le="2.0"): half,
        buckets("a", le="5.0"): made(*((length, rate * (bad + (1 - bad) / 2)) for length, rate, bad in phases)),
        counts("b"): half,
        buckets("b", le="1.0"): made(*((length, 0) for length, _, _ in phases)),
        buckets("b", le="2.0"): half,
        buckets("b", le="5.0"): half,
    }


@dataclass(frozen=True)
class Burn:
    """Both windows above ``share`` for ``hold`` seconds, and five bad events within the long one.

    ``burst`` is the share of a bad time, well above ``share``.
    """

    rule: str
    long: int
    short: int
    share: float
    hold: int
    step: int
    scrape: int
    text: Text

    @property
    def burst(self) -> float:
        return min(1.0, 2 * self.share)

    def cases(self, series: Callable[..., dict[str, str]]) -> list[Case]:
        made = partial(series, step=self.scrape)
        end = self.short + self.hold + 2 * self.step
        case = partial(Case, self.rule, step=self.step, scrape=self.scrape)
        return [
            *(
                case(
                    f"{factor} of the threshold at {rate}/s",
                    made((end, rate, self.share * factor)),
                    **expected(fires, end),
                )
                for rate in (1, 100)
                for factor, fires in ((1.04, True), (0.96, False))
            ),
            case("what the reader sees", made((end, 1, self.share * 1.04)), firing=(end,), text=self.text),
            case("nothing is asked", made((end, 0, 0)), quiet=(end,)),
            self._bad_time(made),
            *self._steadily(made),
            *self._at_once(partial(series, step=RECORDED)),
        ]

    def _steadily(self, made: Callable[..., dict[str, str]]) -> list[Case]:
        """Nothing but bad events, spread evenly; as many more as the rule counts too few at this step."""

        def spread(number: float, seconds: float) -> dict[str, str]:
            return made((seconds, number * self.step / RECORDED / self.long, 1))

        case = partial(Case, self.rule, step=self.step, scrape=self.scrape)
        held, more = self.long + self.hold + 4 * self.step, 1.25 * self.long
        return [
            case("5.2 bad events within the long window", spread(5.2, held), firing=(held,)),
            case("4.8 bad events within the long window", spread(4.8, more), quiet=(more,)),
        ]

    def _at_once(self, made: Callable[..., dict[str, str]]) -> list[Case]:
        """Bad events between two scrapes: each of the ten rates that see them counts a tenth."""

        def burst(number: float, *before: Phase) -> dict[str, str]:
            return made(*before, (RECORDED, number / RECORDED, 1), (self.hold + 300, 0, 0))

        case = partial(Case, self.rule, step=RECORDED)
        held = RECORDED + self.hold
        return [
            case(
                "ten bad events at once, of which five are counted after the fifth rate",
                burst(10, (600, 0, 0)),
                firing=(600 + held + 4 * RECORDED,),
                quiet=(600 + held + 3 * RECORDED,),
            ),
            case("four bad events at once", burst(4, (600, 0, 0)), quiet=(600 + held + 4 * RECORDED,)),
            case(
                "one bad event after an hour with ten good ones",
                burst(1, (HOUR, 10 / HOUR, 0)),
                quiet=(HOUR + held, HOUR + held + RECORDED),
            ),
        ]

    def _bad_time(self, made: Callable[..., dict[str, str]]) -> Case:
        """Health for a long window, trouble until it matters and is held, health again."""
        spent = self.long + self.long * self.share / self.burst
        over = spent + 2 * self.hold
        passed = self.short * (1 - self.share / self.burst)
        series = made((self.long, 1, 0), (over - self.long, 1, self.burst), (self.short + self.hold, 1, 0))
        return Case(
            self.rule,
            "a bad time begins and ends",
            series,
            firing=(spent + 1.25 * self.hold, over, over + 0.8 * passed),
            quiet=(self.long, spent + 0.8 * self.hold, over + 1.4 * passed),
            step=self.step,
            scrape=self.scrape,
        )


WORDS = {
    "Error": ("fail because of the service", "0.5%", failing),
    "Latency": ("take longer than 2 seconds", "5.0%", slow),
}


PAIRS = {
    "1h": ("5m", {"long": HOUR, "short": 5 * MINUTE, "hold": 2 * MINUTE, "step": 15, "scrape": 15}),
    "6h": ("30m", {"long": 6 * HOUR, "short": 30 * MINUTE, "hold": 15 * MINUTE, "step": 60, "scrape": 60}),
    "1d": ("2h", {"long": DAY, "short": 2 * HOUR, "hold": HOUR, "step": 300, "scrape": 150}),
    "3d": ("6h", {"long": 3 * DAY, "short": 6 * HOUR, "hold": 3 * HOUR, "step": 300, "scrape": 150}),
}


def burn(kind: str, long: str, share: float, severity: str, factor: str, shown: str) -> list[Case]:
    """The cases of one pair of windows; ``shown`` is the share that its reader sees."""
    what, allowed, series = WORDS[kind]
    short, seconds = PAIRS[long]
    text = Text(
        severity,
        f"The {kind.lower()} budget burns {factor} times too fast",
        f"{shown} of the questions to sql-synthesizer {what}, over {long} and over {short}. The 30d objective allows "
        f"{allowed}.",
        "overview",
        labels=f'long="{long}",short="{short}"',
    )
    return Burn(f"SqlSynthesizer{kind}BudgetBurn {long}", share=share, text=text, **seconds).cases(series)


CASES: tuple[Case, ...] = (
    *burn("Error", "1h", 0.072, "critical", "14.4", "7.488%"),
    *burn("Error", "6h", 0.03, "critical", "6", "3.12%"),
    *burn("Error", "1d", 0.015, "warning", "3", "1.56%"),
    *burn("Error", "3d", 0.005, "warning", "1", "0.52%"),
    *burn("Latency", "1h", 0.72, "critical", "14.4", "74.88%"),
    *burn("Latency", "6h", 0.3, "critical", "6", "31.2%"),
    *burn("Latency", "1d", 0.15, "warning", "3", "15.6%"),
    *burn("Latency", "3d", 0.05, "warning", "1", "5.2%"),
)
