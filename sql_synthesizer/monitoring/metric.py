"""The shape of a catalogue row: a metric, its labels and what feeds it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal

from sql_synthesizer.telemetry.vocabulary import Declared, EventType, OperationType, ReadingType, Vocabulary

Combination = Mapping[str, str]
MILLIONTHS = 1_000_000
Source = OperationType | EventType | ReadingType
Amounts = Iterator[tuple[tuple[str, ...], int]]
"""Values of the metric's labels, and what to add for them."""
Figures = Callable[[Mapping[str, Any]], Amounts]
"""What the details of an event add to a counter; money and time in millionths of the metric's unit."""


@dataclass(frozen=True, slots=True)
class Label:
    """A label and where its value comes from.

    ``key`` names a label or detail of the fact, or one of ``@reason``, ``@outcome``, ``@success`` (of an
    operation), ``@event``, ``@severity`` (of an event) and ``@figures`` (of a feed).
    """

    name: str
    vocabulary: Vocabulary
    key: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What a metric is fed from.

    ``value`` is ``count``, ``errors`` (operations whose reason is not ``ok``), ``seconds``, ``level`` or the
    name of a numeric detail, which every operation that feeds a histogram has. Only operations with one of ``outcomes``
    count, where there are any.
    """

    source: Source
    value: str = "count"
    fixed: Combination = field(default_factory=dict)
    outcomes: Container[str] = ()
    figures: Figures | None = None
    """Takes the place of ``value``: an event may add to several series."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One row. ``unwatched`` is why no alert and no panel uses it; one of them must where it is empty.

    ``mode`` is how processes are merged: counters and histograms are summed, gauges take one of the
    ``live`` modes. Rows without ``feeds`` are set by the metrics exporter, not by workers.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    feeds: tuple[Feed, ...]
    unit: str = ""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    mode: Literal["livesum", "livemax", "livemin", "livemostrecent"] = "livesum"
    unwatched: str = ""
    allowed: Callable[[Combination, Declared], bool] | None = None

    @property
    def label_names(self) -> tuple[str, ...]:
        """The label names in their order."""
        return tuple(label.name for label in self.labels)

    def combinations(
        self, declared: Declared, known: Mapping[str, Sequence[str]] | None = None
    ) -> Iterator[tuple[str, ...]]:
        """Every label set that can be known at start; ``known`` narrows a label to the values in use."""
        choices = []
        for label in self.labels:
            values = declared.values(label.vocabulary)
            choices.append([value for value in (known or {}).get(label.name, values) if value in values])
        for chosen in product(*choices):
            if self.allowed is None or self.allowed(dict(zip(self.label_names, chosen, strict=True)), declared):
                yield chosen


def make_metric(
    kind: Literal["counter", "histogram", "gauge"],
    value: str,
    name: str,
    help: str,
    *sources: Feed | Source,
    labels: Sequence[Label | Vocabulary] = (),
    **options: Any,
) -> Metric:
    """A row, fed ``value`` of each source, or by the exporter; a vocabulary stands for the label of its name."""
    feeds = tuple(source if isinstance(source, Feed) else Feed(source, value) for source in sources)
    own = tuple(label if isinstance(label, Label) else Label(label.name, label, label.name) for label in labels)
    return Metric(name, kind, help, feeds, labels=own, **options)


ATTEMPTED = ("answered", "failed")
"""Outcomes of what the service took on: it did it, or failed. The rest says nothing of it, so no ratio may count it."""


def make_attempts(value: str, *sources: Source) -> tuple[Feed, ...]:
    """Feeds that count what was attempted alone."""
    return tuple(Feed(source, value, outcomes=ATTEMPTED) for source in sources)
