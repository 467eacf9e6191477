"""A new version beside an old one, while both answer questions: each stage, the whole, and failures."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence

from sql_synthesizer.errors import InvalidRequest
from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.regression.buckets import (
    Comparison,
    Minute,
    compare_durations,
    compare_shares,
    is_enough,
)
from sql_synthesizer.monitoring.regression.prometheus import Prometheus, Series

STEP = 60
QUESTIONS, STAGES, FAILURES = "questions", "stage", "failures"
DURATIONS = {
    QUESTIONS: (catalog.PREFIX + "query_duration_seconds", 'success="success"'),
    STAGES: (catalog.PREFIX + "stage_duration_seconds", ""),
}
"""What is compared -> its histogram, and which of its series count."""
COUNTED = catalog.PREFIX + "queries_total"


def compare_versions(prometheus: Prometheus, old: str, new: str, minutes: int) -> list[Comparison]:
    """What is compared of the last ``minutes``; a version is one of ``build_info``, or the name of an instance.

    Raises ConfigurationError when Prometheus does not answer, InvalidRequest when it does not know a version.
    """
    end = time.time() // STEP * STEP
    window = (end - (minutes - 1) * STEP, end)
    chosen = [_find_instances(prometheus, version) for version in (old, new)]
    pairs: dict[str, list[Mapping[str, list[Minute]]]] = {}
    for name, (metric, matcher) in DURATIONS.items():
        pairs[name] = [_read_minutes(prometheus, metric, matcher, instances, window) for instances in chosen]
    failures = [_read_failures(prometheus, instances, window) for instances in chosen]
    groups = [
        (name, group) for name, (before, after) in pairs.items() for group in sorted(before.keys() & after.keys())
    ]
    looks = 1 + sum(is_enough(pairs[name][0][group], pairs[name][1][group]) for name, group in groups)
    compared = [
        compare_durations(
            group or name,
            catalog.BY_NAME[DURATIONS[name][0]].buckets,
            pairs[name][0][group],
            pairs[name][1][group],
            looks=looks,
        )
        for name, group in groups
    ]
    return [*compared, compare_shares(FAILURES, *failures, looks=looks)]


def _find_instances(prometheus: Prometheus, version: str) -> str:
    """A matcher of the instances of a version."""
    known = prometheus.read_now(f'{catalog.PREFIX}build_info{{job="{catalog.JOB}"}}')
    found = {labels["instance"] for labels, _ in known if version in (labels.get("version"), labels["instance"])}
    if not found:
        named = sorted({f"{labels.get('version')} ({labels['instance']})" for labels, _ in known})
        raise InvalidRequest(
            f"Prometheus knows no version or instance {version:.60}.",
            hint=f"It knows {', '.join(named[:10]) or 'none'}.",
        )
    return f'job="{catalog.JOB}",instance=~{json.dumps("|".join(map(re.escape, sorted(found))))}'


def _read_minutes(
    prometheus: Prometheus, metric: str, matcher: str, instances: str, window: tuple[float, float]
) -> Mapping[str, list[Minute]]:
    """Stage, or nothing for the whole -> what fell into each bucket in each minute."""
    inside = ",".join(filter(None, (instances, matcher)))
    expr = f"sum by (stage, le) (increase({metric}_bucket{{{inside}}}[{STEP}s]))"
    cumulated: dict[str, dict[float, Series]] = defaultdict(dict)
    for labels, series in prometheus.read_range(expr, *window, STEP):
        cumulated[labels.get("stage", "")][float(labels["le"])] = series
    return {group: _split_buckets(series) for group, series in cumulated.items()}


def _split_buckets(cumulated: Mapping[float, Series]) -> list[Minute]:
    bounds = sorted(cumulated)
    minutes: list[Minute] = []
    for moment in sorted(set.intersection(*(set(cumulated[bound]) for bound in bounds))):
        below = [cumulated[bound][moment] for bound in bounds]
        minutes.append([max(0.0, upper - lower) for lower, upper in zip([0.0, *below], below, strict=False)])
    return minutes


def _read_failures(prometheus: Prometheus, instances: str, window: tuple[float, float]) -> Sequence[Minute]:
    """How many questions failed in each minute, and how many did not."""
    expr = f"sum by (success) (increase({COUNTED}{{{instances}}}[{STEP}s]))"
    found = {labels["success"]: series for labels, series in prometheus.read_range(expr, *window, STEP)}
    failed, answered = found.get("error", {}), found.get("success", {})
    return [[failed.get(moment, 0.0), answered[moment]] for moment in sorted(answered)]
