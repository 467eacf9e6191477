"""PromQL from handles that the catalogue makes: an unknown metric, label or label value does not build."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.metric import Metric

ATOM, PRODUCT, SUM, COMPARISON, AND, OR = 6, 5, 4, 3, 2, 1
"""The precedence of operators (https://prometheus.io/docs/prometheus/latest/querying/operators/)."""
GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class Expr:
    """A PromQL expression. ``rank`` is its precedence, for the parentheses."""

    text: str
    rank: int = ATOM

    def __str__(self) -> str:
        return self.text

    def __truediv__(self, other: Expr | float) -> Expr:
        return self._apply_operator("/", other, PRODUCT)

    def __mul__(self, other: Expr | float) -> Expr:
        return self._apply_operator("*", other, PRODUCT)

    def __add__(self, other: Expr | float) -> Expr:
        return self._apply_operator("+", other, SUM)

    def __sub__(self, other: Expr | float) -> Expr:
        return self._apply_operator("-", other, SUM)

    def above(self, bound: float) -> Expr:
        """Where it is more than ``bound``."""
        return self._apply_operator(">", bound, COMPARISON)

    def below(self, bound: float) -> Expr:
        """Where it is less than ``bound``."""
        return self._apply_operator("<", bound, COMPARISON)

    def at_least(self, bound: Expr | float) -> Expr:
        """Where it is ``bound`` or more."""
        return self._apply_operator(">=", bound, COMPARISON)

    def equals(self, value: float) -> Expr:
        """Where it is exactly ``value``."""
        return self._apply_operator("==", value, COMPARISON)

    def and_matching(self, other: Expr) -> Expr:
        """Where ``other`` has a series with the same labels."""
        return self._apply_operator("and", other, AND)

    def unless(self, other: Expr, *, on: Sequence[str] = ()) -> Expr:
        """Where ``other`` has no series with the same labels, or the same of ``on``."""
        return self._apply_operator("unless" + f" on ({', '.join(on)})" * bool(on), other, AND)

    def and_on(self, other: Expr, *on: str) -> Expr:
        """Where ``other`` has a series with the same labels of ``on``."""
        return self._apply_operator(f"and on ({', '.join(on)})", other, AND)

    def or_else(self, other: Expr) -> Expr:
        """Its series, and those of ``other`` that it has not."""
        return self._apply_operator("or", other, OR)

    def grouped(self, operator: str, *by: str) -> Expr:
        """``operator`` over what is equal in ``by``."""
        return Expr(f"{operator} by ({', '.join(by)}) ({self.text})")

    def call(self, function: str, *arguments: str) -> Expr:
        """A function of it; ``arguments`` come first."""
        return Expr(f"{function}({', '.join([*arguments, self.text])})")

    def _apply_operator(self, operator: str, other: Expr | float, rank: int) -> Expr:
        left = self.text if self.rank >= rank else f"({self.text})"
        if not isinstance(other, Expr):
            plain = format_number(other)
            compound = " " in plain and rank > COMPARISON
            return Expr(f"{left} {operator} {f'({plain})' if compound else plain}", rank)
        right = other.text if other.rank > rank else f"({other.text})"
        return Expr(f"{left} {operator} {right}", rank)


def format_number(value: float) -> str:
    """A number as PromQL writes it; whole gibibytes as such."""
    if value >= GIBIBYTE and value % GIBIBYTE == 0:
        return f"{int(value // GIBIBYTE)} * 1024 ^ 3"
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def ratio_of(part: Expr, whole: Expr) -> Expr:
    """``part`` of ``whole``, both aggregated alike; no series where there is no traffic."""
    return part / whole.above(0)


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """The series of one metric, narrowed by matchers. Made by ``Scope``.

    ``labels`` maps the metric's own labels to the values they may take; None means any.
    """

    name: str
    kind: str
    scope: tuple[str, ...]
    labels: dict[str, Sequence[str] | None]
    bounds: tuple[float, ...] = ()
    matchers: tuple[str, ...] = ()

    def where(self, **values: str | tuple[str, ...]) -> MetricSeries:
        """Only the series with these label values; several are alternatives. Raises ValueError on unknown ones."""
        return self._add_matchers(values, "=", "=~")

    def excluding(self, **values: str | tuple[str, ...]) -> MetricSeries:
        """Only the series without these label values. Raises ValueError on unknown ones."""
        return self._add_matchers(values, "!=", "!~")

    def _add_matchers(self, given: dict[str, str | tuple[str, ...]], one: str, several: str) -> MetricSeries:
        made = []
        for label, value in given.items():
            values = (value,) if isinstance(value, str) else value
            known = self._allowed_values(label)
            for word in values:
                if known is not None and word not in known:
                    raise ValueError(f"'{word}' is no value of label {label} of {self.name}")
            made.append(f'{label}{one if len(values) == 1 else several}"{"|".join(values)}"')
        return replace(self, matchers=(*self.matchers, *made))

    def _allowed_values(self, label: str) -> Sequence[str] | None:
        if label not in self.labels:
            raise ValueError(f"{self.name} has no label {label}")
        return self.labels[label]

    def selector(self, suffix: str = "", *more: str) -> Expr:
        """The instant vector."""
        inside = ",".join([*self.scope, *self.matchers, *more])
        return Expr(f"{self.name}{suffix}" + (f"{{{inside}}}" if inside else ""))

    def over(self, function: str, window: str, *arguments: str) -> Expr:
        """A function of the samples within ``window``, per series."""
        return Expr(f"{self.selector()}[{window}]").call(function, *arguments)

    def rate(self, window: str, *, keep: Sequence[str] = ()) -> Expr:
        """Increase per second over ``window``, added up but for the labels to ``keep``."""
        return self._aggregate_samples("rate", window, "_count" if self.kind == "histogram" else "", keep)

    def increase(self, window: str, *, keep: Sequence[str] = ()) -> Expr:
        """Increase over ``window``, added up but for the labels to ``keep``."""
        return self._aggregate_samples("increase", window, "_count" if self.kind == "histogram" else "", keep)

    def increase_born(self, window: str, *, keep: Sequence[str] = ()) -> Expr:
        """As ``increase``, but what a new instance had counted when it was first scraped is part of it.

        An instance is new while another of its job was scraped before the window, and it was not: otherwise it is
        Prometheus that is new, or back, and takes all that was ever counted for what has happened now.
        """
        up = Expr(f"up{{{','.join(self.scope)}}} offset {window}")
        born = self.selector().unless(up, on=("job", "instance")).and_on(up, "job")
        dropped = ", ".join(label for label in ("instance", *self.labels) if label not in keep)
        grown = Expr(f"{self.selector()}[{window}]").call("increase")
        return Expr(f"sum without ({dropped}) ({born.or_else(grown)})")

    def quantile(self, share: float, window: str, *, keep: Sequence[str] = ()) -> Expr:
        """The ``share`` quantile of a histogram over ``window``."""
        buckets = self._aggregate_samples("rate", window, "_bucket", (*keep, "le"))
        return buckets.call("histogram_quantile", format_number(share))

    def buckets(self, window: str) -> Expr:
        """What fell into each bucket within ``window``, by ``le``, for a heat map."""
        return self._aggregate_samples("increase", window, "_bucket", ("le",), by_le=True)

    def within(self, bound: float, window: str) -> Expr:
        """Observations per second that were at most ``bound``, a bucket bound of the histogram."""
        if bound not in self.bounds:
            raise ValueError(f"{self.name} has no bucket bound {bound:g}")
        matcher = f'le="{float(bound)}"'
        return self._aggregate_samples("rate", window, "_bucket", (), matcher)

    def mean(self, window: str, *, keep: Sequence[str] = ()) -> Expr:
        """The mean observation over ``window``."""
        return self._aggregate_samples("rate", window, "_sum", keep) / self._aggregate_samples(
            "rate", window, "_count", keep
        )

    def total_time(self, window: str, *, keep: Sequence[str] = ()) -> Expr:
        """Observed seconds per second over ``window``, added up but for the labels to ``keep``."""
        return self._aggregate_samples("rate", window, "_sum", keep)

    def grouped(self, operator: str, *by: str, offset: str = "") -> Expr:
        """``operator`` over the series that are equal in ``by``, as they were ``offset`` ago."""
        for label in by:
            if label not in ("job", "instance"):
                self._allowed_values(label)
        past = f" offset {offset}" if offset else ""
        return Expr(f"{operator} by ({', '.join(by)}) ({self.selector()}{past})")

    def _aggregate_samples(
        self, function: str, window: str, suffix: str, keep: Sequence[str], *more: str, by_le: bool = False
    ) -> Expr:
        if self.kind == "gauge":
            raise ValueError(f"{self.name} is a gauge: it has no {function}")
        if (suffix in ("_bucket", "_count", "_sum")) != (self.kind == "histogram"):
            raise ValueError(f"{self.name} is a {self.kind}: it has no series {self.name}{suffix}")
        for label in keep:
            if label != "instance" and (label, suffix) != ("le", "_bucket"):
                self._allowed_values(label)
        inner = Expr(f"{self.selector(suffix, *more)}[{window}]").call(function)
        if by_le:
            return Expr(f"sum by (le) ({inner})")
        own = ["instance", *self.labels, *(["le"] if suffix == "_bucket" else [])]
        dropped = [label for label in own if label not in keep]
        return Expr(f"sum without ({', '.join(dropped)}) ({inner})")


FOREIGN: dict[str, tuple[str, tuple[str, ...]]] = {
    "up": ("gauge", ()),
    "scrape_duration_seconds": ("gauge", ()),
    "scrape_samples_post_metric_relabeling": ("gauge", ()),
    "prometheus_notifications_alertmanagers_discovered": ("gauge", ()),
    "prometheus_notifications_dropped_total": ("counter", ()),
    "prometheus_notifications_queue_length": ("gauge", ()),
    "prometheus_rule_evaluation_failures_total": ("counter", ("rule_group",)),
    "prometheus_rule_group_iterations_missed_total": ("counter", ("rule_group",)),
    "prometheus_rule_group_last_duration_seconds": ("gauge", ("rule_group",)),
    "prometheus_config_last_reload_successful": ("gauge", ()),
    "prometheus_tsdb_head_series": ("gauge", ()),
    "alertmanager_notifications_total": ("counter", ("integration",)),
    "alertmanager_notifications_failed_total": ("counter", ("integration", "reason")),
    "alertmanager_config_last_reload_successful": ("gauge", ()),
    "ALERTS": ("gauge", ("alertname", "alertstate", "severity", "team", "service", "detection")),
}
"""Metrics of Prometheus and Alertmanager themselves: kind and labels beside job and instance."""


class Scope:
    """Makes handles whose selectors all carry ``matchers``."""

    def __init__(self, *matchers: str) -> None:
        self._matchers = matchers

    def __call__(self, name: str) -> MetricSeries:
        """The handle of a catalogue metric, named without the common prefix. Raises ValueError on an unknown one."""
        metric = catalog.BY_NAME.get(catalog.PREFIX + name)
        if metric is None:
            raise ValueError(f"there is no metric {catalog.PREFIX}{name}")
        return MetricSeries(
            catalog.PREFIX + name, metric.kind, self._matchers, label_vocabularies(metric), metric.buckets
        )

    def foreign(self, name: str, *matchers: str) -> MetricSeries:
        """The handle of a metric of the monitoring itself. Raises ValueError on an unknown one."""
        if name not in FOREIGN:
            raise ValueError(f"there is no metric {name}")
        kind, labels = FOREIGN[name]
        return MetricSeries(name, kind, matchers or self._matchers, dict.fromkeys(labels))


def label_vocabularies(metric: Metric) -> dict[str, Sequence[str] | None]:
    """Label -> the values it may have; None means any."""
    return {
        label.name: None if label.vocabulary.declared else (*label.vocabulary.values, "other")
        for label in metric.labels
    }
