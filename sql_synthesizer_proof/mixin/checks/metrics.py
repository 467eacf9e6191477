"""Metrics: each is fed by something that happens, and watched by somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sql_synthesizer.monitoring import catalog
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer_proof.mixin.checks.source import list_faults, words_beside


def feed_faults() -> Iterator[str]:
    """Metrics without help, and those that nothing in the service feeds; security events are checked by themselves."""
    said = words_beside("telemetry/vocabulary.py", "monitoring/catalog.py", "monitoring/own_metrics.py")
    types = vocabulary.EventType | vocabulary.OperationType | vocabulary.ReadingType
    constants = {value: name for name, value in vars(vocabulary).items() if isinstance(value, types)}
    for name, metric in catalog.BY_NAME.items():
        expected: dict[str, object] = {
            "it has no help": metric.help,
            "nothing in the service sets it": metric.feeds or repr(metric.name) in said,
        }
        for source in (feed.source for feed in metric.feeds):
            if source.name not in vocabulary.SECURITY_EVENTS:
                reported = f"vocabulary.{constants.get(source)}" in said
                expected[f"nothing in the service reports {source.name}"] = reported
        yield from list_faults(f"metric {name}", expected)


def metrics_in(text: str) -> set[str]:
    """The catalogue's metrics that an expression selects."""
    return {name for name in catalog.BY_NAME if re.search(rf"\b{name}(_bucket|_count|_sum)?\b", text)}


def metric_faults(texts: list[str]) -> Iterator[str]:
    """Metrics that no expression of ``texts`` uses without a reason in their row, or the reverse."""
    seen = set().union(*(metrics_in(text) for text in texts))
    for name, metric in catalog.BY_NAME.items():
        if name not in seen and not metric.unwatched:
            yield f"metric {name}: no alert and no panel uses it, and its row gives no reason"
        if name in seen and metric.unwatched:
            yield f"metric {name}: its row gives a reason why it is unwatched, but it is watched"
