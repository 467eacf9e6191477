"""Which series of the service are looked at, what was found in them, and what changed at about that time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.regression.prometheus import Prometheus, Series
from sql_synthesizer.monitoring.regression.steps import WEEKS, Scale, find_changes, find_step

JOB = f'job="{catalog.JOB}"'
SECONDS, SHARE, DOLLARS = 0.0005, 0.01, 0.00001
"""Below which differences mean nothing."""
LEAST_WINDOW = 60.0


@dataclass(frozen=True, slots=True)
class Regression:
    """A step for the worse. ``ratio`` is now per usual, times are Unix times.

    ``change`` is what changed nearest to it, empty for nothing near.
    """

    series: str
    began: float
    ratio: float
    score: float
    change: str = ""
    changed_at: float = 0.0

    def to_json(self) -> dict[str, object]:
        """As JSON."""
        return asdict(self)


def look_for_regressions(prometheus: Prometheus, now: float, week: float) -> list[Regression]:
    """Every series that has taken a step for the worse, as it is at ``now``. Raises ConfigurationError."""
    scale = Scale(week)
    now = now // scale.step * scale.step
    start = now - ((WEEKS + 1) * scale.points + scale.hour) * scale.step
    found = []
    for name, series, floor in _read_series(prometheus, start, now, scale.step):
        if (step := find_step(series, now, scale, floor)) is not None:
            found.append(Regression(name, step.began, step.ratio, step.score))
    if not found:
        return []
    reach = scale.near * scale.step
    changes = list(_read_changes(prometheus, now - 2 * reach, now, scale.step))
    return [_name_change(one, changes, reach) for one in found]


def _read_series(prometheus: Prometheus, start: float, end: float, step: float) -> Iterator[tuple[str, Series, float]]:
    """Name, series and floor of each, higher being worse."""
    window = f"{max(LEAST_WINDOW, step):.0f}s"

    def rate(metric: str, *matchers: str) -> str:
        return f"rate({catalog.PREFIX}{metric}{{{','.join([JOB, *matchers])}}}[{window}])"

    def quantile(metric: str, *matchers: str, by: str = "le") -> str:
        return f"histogram_quantile(0.95, sum by ({by}) ({rate(metric + '_bucket', *matchers)}))"

    def share(part: str, whole: str) -> str:
        return f"(sum({part}) or vector(0)) / (sum({whole}) > 0)"

    asked = rate("question_outcomes_total", 'outcome=~"answered|failed|declined"')
    answered = rate("question_outcomes_total", 'reason="ok"', 'source=~"llm|rules|cache"')
    queries, canaries = rate("queries_total"), rate("canary_questions_total")
    single = (
        ("latency", quantile("query_duration_seconds", 'success="success"'), SECONDS),
        ("model", quantile("llm_request_duration_seconds"), SECONDS),
        ("errors", share(rate("queries_total", 'success="error"'), queries), SHARE),
        ("declined", share(rate("question_outcomes_total", 'outcome="declined"'), asked), SHARE),
        ("empty", share(rate("empty_answers_total"), answered), SHARE),
        ("fallbacks", share(rate("fallbacks_total"), queries), SHARE),
        ("cost", share(rate("llm_cost_usd_total"), queries), DOLLARS),
        ("canaries", share(rate("canary_questions_total", 'result!="right"'), canaries), SHARE),
    )
    for name, expr, floor in single:
        for _, series in prometheus.read_range(expr, start, end, step):
            yield name, series, floor
    for labels, series in prometheus.read_range(quantile("stage_duration_seconds", by="stage, le"), start, end, step):
        yield labels["stage"], series, SECONDS


def _read_changes(prometheus: Prometheus, start: float, end: float, step: float) -> Iterator[tuple[float, str]]:
    """When something else came into force, and what."""
    seen: dict[str, float] = {}
    expr = f"sum by (version) ({catalog.PREFIX}build_info{{{JOB}}})"
    for labels, series in prometheus.read_range(expr, start, end, step):
        seen[labels.get("version", "")] = min(series)
    yield from ((at, f"version {version}") for version, at in seen.items() if at > start + step)
    for kind in ("configuration", "schema"):
        expr = f"max by (database) ({catalog.PREFIX}{kind}_fingerprint{{{JOB}}})"
        for labels, series in prometheus.read_range(expr, start, end, step):
            what = f"{kind} {labels.get('database', '')}".strip()
            yield from ((at, what) for at in find_changes(series))


def _name_change(found: Regression, changes: list[tuple[float, str]], reach: float) -> Regression:
    near = sorted((abs(at - found.began), at, what) for at, what in changes if abs(at - found.began) <= reach)
    if not near:
        return found
    _, at, what = near[0]
    return Regression(found.series, found.began, found.ratio, found.score, what, at)


def read_found(rows: list[Mapping[str, object]]) -> list[Regression]:
    """What ``Regression.to_json`` wrote."""
    return [Regression(**row) for row in rows]  # type: ignore[arg-type]
