"""What a manager asks of a month, from the audit record alone."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sql_synthesizer.monitoring import business
from sql_synthesizer.settings.business import MICRO, NO_TEAM, Budget

BUSIEST = 10
"""Tables that are listed."""

Section = Mapping[str, object]


@dataclass(slots=True)
class MonthReport:
    """A month's questions, added up one record at a time. Money is in millionths of a US dollar."""

    month: str
    totals: Counter[business.Series] = field(default_factory=Counter)
    """Series -> what the records add to it, as in the metrics."""
    first: str = ""
    """The time of the earliest record."""
    _times: array[float] = field(default_factory=lambda: array("d"))
    _reasons: Counter[str] = field(default_factory=Counter)
    _callers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _days: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes a record in; those that are no business are left out."""
        self.first = min(self.first or record["time"], record["time"])
        figures = business.count_record(record)
        self.totals.update(figures)
        if not any(name == "business_questions_total" for name, _ in figures):
            return
        details = record["details"]
        self._reasons[details.get("reason", "")] += 1
        self._callers[details.get("team", NO_TEAM)].add(record["actor"])
        self._days[record["time"][:10]].add(record["actor"])
        if details["outcome"] == "answered":
            self._times.append(details["milliseconds"] / 1000)

    def to_json(self, teams: Mapping[str, Budget | None]) -> dict[str, object]:
        """Every figure; ``teams`` are those of the settings, with their budgets."""
        outcomes, answered = self._sum("business_questions_total", 1), self._answered()
        understood = sum(outcomes[name] for name in ("answered", "declined", "failed"))
        cost = self._sum_all("question_cost_usd_total")
        return {
            "month": self.month,
            "first_record": self.first,
            "questions": sum(outcomes.values()),
            "answered": answered,
            "answer_rate": round(answered / understood, 4) if understood else None,
            "by_outcome": dict(outcomes.most_common()),
            "by_source": dict(self._sum("business_questions_total", 0).most_common()),
            "by_reason": dict(self._reasons.most_common()),
            "declined_by_topic": dict(self._sum("declined_questions_total", 0).most_common()),
            "callers": self._count_callers(),
            "seconds_to_answer": self._time_figures(),
            "rows_delivered": self._sum_all("delivered_rows_total"),
            "models": self._models(),
            "cost_microusd": cost,
            "cost_per_answer_microusd": round(cost / answered) if answered else None,
            "unpriced_calls": self._sum_all("question_unpriced_requests_total"),
            "saved_by_cache": {
                "cost_microusd": self._sum_all("cache_saved_usd_total"),
                "seconds": self._sum_all("cache_saved_seconds_total") / MICRO,
                "unpriced_calls": self._sum_all("cache_saved_unpriced_requests_total"),
            },
            "busiest_tables": dict(self._sum("table_questions_total", 0).most_common(BUSIEST)),
            "teams": {team: self._team(team, teams.get(team)) for team in sorted({*teams, *self._callers})},
            "ratings": self._ratings(),
        }

    def _ratings(self) -> dict[str, int]:
        """Ratings given less those changed since; one of an earlier month that was changed counts less than nothing."""
        ratings = self._sum("feedback_total", 0)
        ratings.subtract(self._sum("feedback_withdrawn_total", 0))
        return {rating: count for rating, count in ratings.items() if count}

    def _sum(self, metric: str, label: int) -> Counter[str]:
        """Value of one label -> the sum of the metric."""
        found: Counter[str] = Counter()
        for (name, labels), amount in self.totals.items():
            if name == metric:
                found[labels[label]] += amount
        return found

    def _sum_all(self, metric: str) -> int:
        return sum(amount for (name, _), amount in self.totals.items() if name == metric)

    def _answered(self) -> int:
        return self._sum("business_questions_total", 1)["answered"]

    def _count_callers(self) -> Section:
        by_day = [len(callers) for callers in self._days.values()]
        return {
            "month": len(set().union(*self._days.values())),
            "most_in_a_day": max(by_day, default=0),
            "mean_of_active_days": round(sum(by_day) / len(by_day), 1) if by_day else 0,
        }

    def _time_figures(self) -> Section:
        times = sorted(self._times)
        if not times:
            return {"mean": None, "median": None, "p95": None}
        ranks = {"median": (len(times) - 1) // 2, "p95": (len(times) * 95 + 99) // 100 - 1}  # nearest rank
        mean = self._sum_all("answer_seconds_total") / MICRO / len(times)
        return {"mean": round(mean, 3)} | {name: round(times[rank], 3) for name, rank in ranks.items()}

    def _models(self) -> dict[str, Section]:
        found: dict[str, dict[str, int]] = defaultdict(dict)
        for (name, labels), amount in self.totals.items():
            if what := f"{labels[2]}_tokens" if name == "question_tokens_total" else _MODEL_FIGURES.get(name):
                found[f"{labels[0]} {labels[1]}"][what] = amount
        return dict(found)

    def _team(self, team: str, budget: Budget | None) -> Section:
        questions = {
            labels[1]: amount
            for (name, labels), amount in self.totals.items()
            if name == "team_questions_total" and labels[0] == team
        }
        answered, cost = questions.get("answered", 0), self.totals["team_cost_usd_total", (team,)]
        return {
            "questions": sum(questions.values()),
            "answered": answered,
            "callers": len(self._callers.get(team, ())),
            "cost_microusd": cost,
            "budget_used": None if budget is None else round(budget.used(answered, cost), 4),
        }


_MODEL_FIGURES = {"question_cost_usd_total": "cost_microusd", "question_unpriced_requests_total": "unpriced_calls"}


def month_bounds(month: str) -> tuple[datetime, datetime]:
    """The beginning of a month, written ``2030-01``, and of the next, in UTC. Raises ValueError."""
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    return start, datetime(start.year + start.month // 12, start.month % 12 + 1, 1, tzinfo=UTC)


def make_report(month: str, records: Iterable[Mapping[str, Any]]) -> MonthReport:
    """The report of these records, which are of that month."""
    report = MonthReport(month)
    for record in records:
        report.add(record)
    return report


def format_usd(microusd: int) -> str:
    """Millionths of a US dollar in dollars and cents."""
    return f"{Decimal(microusd) / MICRO:,.2f} USD"


def format_report(figures: Mapping[str, Any]) -> Iterator[str]:
    """The lines that a manager reads."""
    callers, rate = figures["callers"], figures["answer_rate"]
    yield f"{figures['month']} (UTC), from the audit record since {figures['first_record'] or 'never'}"
    asked = f"{figures['questions']:,} by {callers['month']:,} callers"
    yield _line("Questions", f"{asked}, {callers['most_in_a_day']:,} on the busiest day")
    share = "" if rate is None else f", {rate:.1%} of those answered, declined or failed"
    yield _line("Answered", f"{figures['answered']:,}{share}")
    yield from _format_counts("By outcome", figures["by_outcome"])
    yield from _format_counts("By source", figures["by_source"])
    yield from _format_counts("Declined about", figures["declined_by_topic"])
    times = figures["seconds_to_answer"]
    if times["mean"] is not None:
        yield _line(
            "Time to answer", f"mean {times['mean']} s, median {times['median']} s, 95% within {times['p95']} s"
        )
    yield _line("Rows delivered", f"{figures['rows_delivered']:,}")
    yield from _format_money(figures)
    yield from _format_counts("Busiest tables", figures["busiest_tables"])
    yield from _format_counts("Ratings", figures["ratings"])
    for team, used in figures["teams"].items():
        share = "" if used["budget_used"] is None else f", {used['budget_used']:.0%} of its budget"
        asked = f"{used['questions']:,} questions by {used['callers']:,} callers"
        yield _line(f"Team {team}", f"{asked}, {format_usd(used['cost_microusd'])}{share}")


def _format_money(figures: Mapping[str, Any]) -> Iterator[str]:
    each, saved = figures["cost_per_answer_microusd"], figures["saved_by_cache"]
    mean = "" if each is None else f", {Decimal(each) / MICRO:.6f} USD an answer"
    yield _line("Cost", f"{format_usd(figures['cost_microusd'])}{mean}{_format_unpriced(figures['unpriced_calls'])}")
    for model, used in figures["models"].items():
        tokens = f"{used.get('input_tokens', 0):,} tokens in, {used.get('output_tokens', 0):,} out"
        yield _line(f"  {model}", f"{format_usd(used.get('cost_microusd', 0))}, {tokens}")
    unpriced = _format_unpriced(saved["unpriced_calls"])
    yield _line("Saved by cache", f"{format_usd(saved['cost_microusd'])}, {saved['seconds']:,.1f} s{unpriced}")


def _format_unpriced(calls: int) -> str:
    return f", and {calls:,} calls without a price" if calls else ""


def _format_counts(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield _line(title, ", ".join(f"{name} {count:,}" for name, count in counts.items()))


def _line(title: str, text: str) -> str:
    return f"{title:<16} {text}"
