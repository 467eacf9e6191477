"""What the service is worth and costs: figures of the audit record's questions, for metrics and for the report.

Each row's metric is made of the very event that the audit record keeps, by one function of its details, and so is the
report: the two cannot mean different things. Amounts are whole numbers: questions, rows, millionths of a US dollar
and of a second.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

from sql_synthesizer.model import CANARY
from sql_synthesizer.monitoring.metric import Amounts, Combination, Feed, Figures, Label, Metric, make_metric
from sql_synthesizer.settings.business import NO_TEAM
from sql_synthesizer.telemetry import vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared, Vocabulary

TABLES = 64
"""Tables of a statement that are looked at; the record keeps as many."""
MICROSECONDS = 1000
UNCOUNTED = frozenset({CANARY})
"""Callers whose questions are no business."""

Details = Mapping[str, Any]
Series = tuple[str, tuple[str, ...]]
"""A metric's name without the common prefix, and the values of its labels."""


def questions(details: Details) -> Amounts:
    """Questions by source and outcome."""
    yield (_source(details), details["outcome"]), 1


def declined_questions(details: Details) -> Amounts:
    """Declined questions by what they are about."""
    if details["outcome"] == "declined":
        yield (details.get("topic", "words"),), 1


def answer_time(details: Details) -> Amounts:
    """Microseconds to answer, by source, of what was answered."""
    if _is_answer(details):
        yield (_source(details),), _microseconds(details["milliseconds"])


def delivered_rows(details: Details) -> Amounts:
    """Rows of answers by source."""
    if _is_answer(details):
        yield (_source(details),), details.get("row_count", 0)


def saved_cost(details: Details) -> Amounts:
    """What the answers that came from the cache had cost."""
    if _is_answer(details):
        yield (), details.get("saved_microusd", 0)


def saved_unpriced(details: Details) -> Amounts:
    """Calls of unknown price that answers from the cache made needless."""
    if _is_answer(details):
        yield (), details.get("saved_unpriced", 0)


def saved_time(details: Details) -> Amounts:
    """Microseconds of synthesis and execution that answers from the cache made needless."""
    if _is_answer(details):
        yield (), _microseconds(details.get("saved_ms", 0))


def team_questions(details: Details) -> Amounts:
    """Questions by the caller's team and outcome."""
    yield (_team(details), details["outcome"]), 1


def team_cost(details: Details) -> Amounts:
    """What calls of the model cost, by the caller's team."""
    yield (_team(details),), details.get("cost_microusd", 0)


def model_tokens(details: Details) -> Amounts:
    """Tokens by provider, model and direction."""
    for direction in vocabulary.TOKEN_DIRECTION.values:
        yield (*_model(details), direction), details.get(f"{direction}_tokens", 0)


def model_cost(details: Details) -> Amounts:
    """What the calls with a price cost, by provider and model."""
    yield _model(details), details.get("cost_microusd", 0)


def model_unpriced(details: Details) -> Amounts:
    """Calls without a price, by provider and model."""
    yield _model(details), details.get("unpriced", 0)


def ratings(details: Details) -> Amounts:
    """Ratings by what they say."""
    yield (str(details.get("rating")),), 1


def withdrawn_ratings(details: Details) -> Amounts:
    """Ratings that were changed, by what they had said."""
    if "former" in details:
        yield (str(details["former"]),), 1


def table_questions(details: Details) -> Amounts:
    """Answered questions by the tables that they read."""
    if _is_answer(details):
        for table in dict.fromkeys(name.casefold() for name in list(details.get("tables") or ())[:TABLES]):
            yield (f"{details.get('database')}.{table}",), 1


def _source(details: Details) -> str:
    return str(details.get("source", "none"))


def _model(details: Details) -> tuple[str, str]:
    return str(details.get("provider")), str(details.get("model"))


def _team(details: Details) -> str:
    return str(details.get("team", NO_TEAM))


def _is_answer(details: Details) -> bool:
    return bool(details["outcome"] == "answered")


def _microseconds(milliseconds: float) -> int:
    return round(milliseconds * MICROSECONDS)


def _counted(figures: Figures) -> Figures:
    """The same of questions only, of which others may report events that say less."""

    def count(details: Details) -> Iterator[tuple[tuple[str, ...], int]]:
        if "outcome" in details and "milliseconds" in details:
            yield from figures(details)

    return count


def _make_figure(name: str, help: str, figures: Figures, *labels: Vocabulary, **options: Any) -> Metric:
    feed = Feed(vocabulary.SECURITY_EVENTS["query_execution"], figures=_counted(figures))
    return make_metric(
        "counter", "count", name, help, feed, labels=[Label(kind.name, kind, "@figures") for kind in labels], **options
    )


_make_money, _make_time = partial(_make_figure, unit="usd"), partial(_make_figure, unit="seconds")


def _is_possible(labels: Combination, _: Declared) -> bool:
    return labels["source"] != "none" or labels.get("outcome", "answered") != "answered"


_MODEL = (vocabulary.PROVIDER, vocabulary.MODEL)

METRICS: tuple[Metric, ...] = (
    _make_figure(
        "business_questions_total",
        "Questions on record by source and outcome",
        questions,
        vocabulary.SOURCE,
        vocabulary.OUTCOME,
        allowed=_is_possible,
    ),
    _make_figure(
        "declined_questions_total",
        "Declined questions by what they are about",
        declined_questions,
        vocabulary.TOPIC,
    ),
    _make_time(
        "answer_seconds_total",
        "Time to answer, added up, by source",
        answer_time,
        vocabulary.SOURCE,
        allowed=_is_possible,
    ),
    _make_figure(
        "delivered_rows_total",
        "Rows of answers by source",
        delivered_rows,
        vocabulary.SOURCE,
        allowed=_is_possible,
    ),
    _make_figure(
        "table_questions_total", "Answered questions by the tables that they read", table_questions, vocabulary.TABLE
    ),
    _make_money(
        "cache_saved_usd_total", "US dollars that answers from the cache had cost when they were made", saved_cost
    ),
    _make_time(
        "cache_saved_seconds_total",
        "Time of synthesis and execution that answers from the cache had taken when they were made",
        saved_time,
    ),
    _make_figure(
        "cache_saved_unpriced_requests_total",
        "Calls of the language model, of unknown price, that answers from the cache had needed",
        saved_unpriced,
    ),
    _make_figure(
        "question_tokens_total",
        "Tokens sent to and received from the language model for questions on record",
        model_tokens,
        *_MODEL,
        vocabulary.TOKEN_DIRECTION,
    ),
    _make_money(
        "question_cost_usd_total", "US dollars spent on the language model for questions on record", model_cost, *_MODEL
    ),
    _make_figure(
        "question_unpriced_requests_total",
        "Calls of the language model for questions on record whose cost is unknown",
        model_unpriced,
        *_MODEL,
    ),
    _make_figure(
        "team_questions_total",
        "Questions on record by the caller's team and outcome",
        team_questions,
        vocabulary.TEAM,
        vocabulary.OUTCOME,
    ),
    _make_money(
        "team_cost_usd_total",
        "US dollars spent on the language model, by the caller's team",
        team_cost,
        vocabulary.TEAM,
    ),
    make_metric(
        "counter",
        "count",
        "feedback_withdrawn_total",
        "Ratings that their callers changed, by what they had said before",
        Feed(vocabulary.FEEDBACK, figures=withdrawn_ratings),
        labels=[Label("rating", vocabulary.RATING, "@figures")],
    ),
    make_metric(
        "gauge",
        "level",
        "team_budget_used_ratio",
        "What a team has used of its budget of the month, 1 for all of it",
        vocabulary.TEAM_BUDGET,
        labels=[vocabulary.TEAM],
        unit="ratio",
        mode="livemax",
    ),
    make_metric(
        "gauge",
        "level",
        "active_callers",
        "Callers that asked within the last day and week",
        vocabulary.ACTIVE_CALLERS,
        labels=[vocabulary.WINDOW],
        mode="livemax",
    ),
)


QUERY, FEEDBACK = vocabulary.SECURITY_EVENTS["query_execution"].name, vocabulary.FEEDBACK.name
EVENTS = (QUERY, FEEDBACK)
"""Types of records that figures are made of."""
FIGURES: dict[str, tuple[tuple[str, Figures], ...]] = {
    QUERY: (*((metric.name, feed.figures) for metric in METRICS for feed in metric.feeds if feed.figures is not None),),
    FEEDBACK: (("feedback_total", ratings), ("feedback_withdrawn_total", withdrawn_ratings)),
}
"""Type of a record -> the metrics that it adds to, and what."""


def count_record(record: Mapping[str, Any]) -> dict[Series, int]:
    """What an audit record adds to each series, in whole numbers; nothing if it is no business."""
    if record.get("actor") in UNCOUNTED:
        return {}
    details, rows = record["details"], FIGURES.get(record["event_type"], ())
    return {(name, labels): amount for name, figures in rows for labels, amount in figures(details) if amount}


def count_records(records: Iterable[Mapping[str, Any]]) -> Counter[Series]:
    """What these audit records add to each series."""
    totals: Counter[Series] = Counter()
    for record in records:
        totals.update(count_record(record))
    return totals
