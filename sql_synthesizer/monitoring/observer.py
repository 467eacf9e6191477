"""The metrics observer: turns facts into the catalogue's metrics, in batches."""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from prometheus_client import CollectorRegistry, disable_created_metrics

from sql_synthesizer.monitoring import catalog, multiprocess
from sql_synthesizer.monitoring.business import UNCOUNTED
from sql_synthesizer.monitoring.metric import MILLIONTHS, Feed, Label, Metric
from sql_synthesizer.telemetry import Fact, Operation, vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared, OperationType, ReadingType

LOGGED_VALUES = 100
"""Refused label values that are logged; later ones are only counted."""

_logger = logging.getLogger(__name__)

disable_created_metrics()  # type: ignore[no-untyped-call]


class MetricsObserver:
    """Updates the metrics of ``registry``; ``declared`` are the label values of the application's configuration."""

    signal = "metrics"

    def __init__(self, registry: CollectorRegistry, declared: Declared) -> None:
        self.registry = registry
        self.declared = declared
        self._clients: dict[str, object] = {}
        self._feeds: dict[str, list[_FeedSeries]] = {}
        for metric in catalog.METRICS:
            if metric.kind != "gauge" or metric.labels:
                self.client(metric.name)
            for feed in metric.feeds:
                series = _SERIES["figures" if feed.figures else metric.kind](self, metric, feed)
                self._feeds.setdefault(feed.source.name, []).append(series)
        self._refused = self.client("label_values_refused_total")
        self._errors = self.client("telemetry_errors_total").labels("metrics")
        self._logged: set[object] = set()
        self._pending: dict[Any, float] = {}

    def client(self, name: str) -> Any:
        """The client library's object of a catalogue row; ``name`` is without the common prefix."""
        found = self._clients.get(name)
        if found is None:
            found = multiprocess.make_client(catalog.BY_NAME[catalog.PREFIX + name], self.registry)
            self._clients[name] = found
        return found

    def precreate(
        self, known: Mapping[str, Sequence[str]] | None = None, metrics: Sequence[Metric] = catalog.METRICS
    ) -> None:
        """Creates every series that can be known, so that its first increase is seen; ``known`` narrows labels."""
        for metric in metrics:
            if metric.kind != "gauge" and metric.labels:
                for values in metric.combinations(self.declared, known):
                    self.client(metric.name).labels(*values)

    def fold(self, facts: Sequence[Fact]) -> None:
        """Takes in a batch. Increments of a counter are summed first, as each ``inc`` locks and may write a file."""
        marked: set[tuple[Any, int]] = set()
        for fact in facts:
            for series in self._feeds.get(fact.type.name, ()):
                try:
                    if not series.outcomes or getattr(fact, "outcome", "") in series.outcomes:
                        series.apply_fact(fact, self._pending, marked)
                except Exception as error:  # noqa: BLE001  # one bad fact must not cost the rest of the batch
                    self.add(self._errors, 1)
                    self._log_once(type(error).__name__, "a fact could not be counted: %s", type(error).__name__)
        pending, self._pending = self._pending, {}
        for counter, amount in pending.items():
            counter.inc(amount)
        if multiprocess.exemplar_file is not None:
            multiprocess.exemplar_file.flush()

    def add(self, counter: Any, amount: float) -> None:
        """Adds to a counter with the batch that is being folded."""
        self._pending[counter] = self._pending.get(counter, 0.0) + amount

    def refuse(self, metric: Metric, label: Label, value: object) -> None:
        """Counts a label value outside its vocabulary, and names it in the log the first time."""
        self.add(self._refused, 1)
        text = str(value)[:64]
        self._log_once((label.name, text), "%s: '%s' is no value of label %s", metric.name, text, label.name)

    def close(self) -> None:
        """Writes the exemplars out."""
        if multiprocess.exemplar_file is not None:
            multiprocess.exemplar_file.flush(now=True)

    def _log_once(self, key: object, message: str, *arguments: object) -> None:
        if key not in self._logged and len(self._logged) < LOGGED_VALUES:
            self._logged.add(key)
            _logger.warning(message, *arguments)


class _FeedSeries:
    """One feed of one metric. Children are cached by raw label values: the client's ``labels`` validates and locks."""

    def __init__(self, observer: MetricsObserver, metric: Metric, feed: Feed) -> None:
        self._observer = observer
        self._metric = metric
        self._getters = [_make_getter(label, feed) for label in metric.labels]
        self._children: dict[tuple[Any, ...], Any] = {}
        self._value = feed.value
        self.outcomes = feed.outcomes

    def apply_fact(self, fact: Any, pending: dict[Any, float], marked: set[tuple[Any, int]]) -> None:
        raise NotImplementedError

    def child(self, fact: Any) -> Any:
        return self.find_child(tuple(get(fact) for get in self._getters))

    def find_child(self, raw: tuple[Any, ...]) -> Any:
        try:
            return self._children[raw]
        except (KeyError, TypeError):  # new, or a value that cannot be hashed
            return self._resolve_child(raw)

    def _resolve_child(self, raw: tuple[Any, ...]) -> Any:
        client = self._observer.client(self._metric.name)
        if not raw:
            return self._children.setdefault(raw, client)
        values, known = [], True
        for label, value in zip(self._metric.labels, raw, strict=True):
            accepted = isinstance(value, str) and self._observer.declared.accepts(label.vocabulary, value)
            values.append(value if accepted else vocabulary.OTHER)
            if not accepted:
                known = False
                if not label.vocabulary.partial:
                    self._observer.refuse(self._metric, label, value)
        child = client.labels(*values)
        if known:  # not for refused values, of which there may be any number
            self._children[raw] = child
        return child


class _Count(_FeedSeries):
    def apply_fact(self, fact: Any, pending: dict[Any, float], marked: set[tuple[Any, int]]) -> None:
        amount = self._counter_increment(fact)
        if amount > 0 and math.isfinite(amount):  # a counter takes nothing else
            child = self.child(fact)
            pending[child] = pending.get(child, 0.0) + amount

    def _counter_increment(self, fact: Any) -> float:
        if self._value == "count":
            return 1.0 if isinstance(fact, Operation) else float(fact.count)
        if self._value == "errors":
            return float(fact.reason != "ok")
        if isinstance(fact, Operation):
            return float(getattr(fact.details, self._value) or 0.0)
        return float(fact.details.get(self._value) or 0.0)


class _Observe(_FeedSeries):
    def apply_fact(self, fact: Any, pending: dict[Any, float], marked: set[tuple[Any, int]]) -> None:
        seconds = fact.duration_ns / 1e9 if self._value == "seconds" else getattr(fact.details, self._value)
        child = self.child(fact)
        if (
            fact.trace.sampled or fact.notable
        ):  # an exemplar costs more than the observation: one for each bucket and batch is enough
            bucket = (child, bisect_left(self._metric.buckets, seconds))
            if bucket not in marked:
                marked.add(bucket)
                child.observe(seconds, {"trace_id": fact.trace.trace_id})
                return
        child.observe(seconds)


class _Set(_FeedSeries):
    def apply_fact(self, fact: Any, pending: dict[Any, float], marked: set[tuple[Any, int]]) -> None:
        self.child(fact).set(fact.value)


class _Figures(_FeedSeries):
    def __init__(self, observer: MetricsObserver, metric: Metric, feed: Feed) -> None:
        super().__init__(observer, metric, feed)
        self._figures = feed.figures
        self._divisor = MILLIONTHS if metric.unit else 1

    def apply_fact(self, fact: Any, pending: dict[Any, float], marked: set[tuple[Any, int]]) -> None:
        if self._figures is None or fact.trace.actor in UNCOUNTED:
            return
        for labels, amount in self._figures(fact.details):
            if amount:
                child = self.find_child(labels)
                pending[child] = pending.get(child, 0.0) + amount / self._divisor


_SERIES: dict[str, type[_FeedSeries]] = {
    "counter": _Count,
    "histogram": _Observe,
    "gauge": _Set,
    "figures": _Figures,
}

_SPECIAL: dict[str, Callable[[Any], str]] = {
    "@reason": lambda fact: cast("str", fact.reason),
    "@outcome": lambda fact: cast("str", fact.outcome),
    "@success": lambda fact: "error" if fact.outcome == "failed" else "success",
    "@event": lambda fact: cast("str", fact.details.get(vocabulary.FOREIGN_EVENT) or fact.type.name),
    "@severity": lambda fact: cast("str", fact.type.severity),
}


def _make_getter(label: Label, feed: Feed) -> Callable[[Any], Any]:
    key = label.key
    if label.name in feed.fixed:
        fixed = feed.fixed[label.name]
        return lambda _: fixed
    if key in _SPECIAL:
        return _SPECIAL[key]
    without = vocabulary.OTHER if label.vocabulary.declared else None
    absent = next((word for word in ("unknown", "none") if word in label.vocabulary), without)
    if isinstance(feed.source, OperationType):
        return lambda fact: fact.labels.get(key) or absent
    if isinstance(feed.source, ReadingType):
        return lambda fact: fact.labels.get(key, absent)
    return lambda fact: fact.details.get(key, absent)
