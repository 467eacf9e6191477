"""Dates in a question: each expression becomes a half-open span of days."""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from sql_synthesizer.synthesizer.rules.text import Token

_MONTHS = {name.casefold(): n for n, name in enumerate(calendar.month_name) if n}
_MONTHS |= {name.casefold(): n for n, name in enumerate(calendar.month_abbr) if n} | {"sept": 9}
_LAST = frozenset({"last", "past", "previous", "prior"})
_QUARTERS = {"q1": 1, "q2": 2, "q3": 3, "q4": 4}


@dataclass(frozen=True, slots=True)
class Span:
    """The days from ``start`` up to but not including ``end``; ``year`` is set when it is one calendar year."""

    start: dt.date
    end: dt.date
    year: int | None = None


def year_span(year: int) -> Span:
    """The whole of a calendar year."""
    return Span(dt.date(year, 1, 1), dt.date(year + 1, 1, 1), year)


def read_date(tokens: Sequence[Token], at: int, today: dt.date) -> tuple[int, Span] | None:
    """The date expression that starts at ``at``: where it ends, and its span. A bare year is not one."""
    for reader in (
        _read_iso_date,
        _read_month,
        _read_day_month,
        _read_quarter,
        _read_relative_period,
        _read_single_day,
    ):
        if found := reader(tokens, at, today):
            return found
    return None


def is_year(token: Token) -> bool:
    """Whether a number can be a year."""
    return token.kind == "number" and len(token.text) == 4 and token.text.isdigit() and 1500 <= int(token.text) <= 2200


def _read_iso_date(tokens: Sequence[Token], at: int, _today: dt.date) -> tuple[int, Span] | None:
    if tokens[at].kind not in {"date", "quote"}:
        return None
    try:
        return at + 1, _day_span(dt.date.fromisoformat(tokens[at].text))
    except (ValueError, OverflowError):  # the last day of the calendar has no day after it
        return None


def _day_span(day: dt.date) -> Span:
    return Span(day, day + dt.timedelta(days=1))


def _read_month(tokens: Sequence[Token], at: int, _today: dt.date) -> tuple[int, Span] | None:
    """March 2025, March 5 2025, March 5th, 2025; a month without a year is not understood."""
    month = _MONTHS.get(tokens[at].lower)
    if month is None:
        return None
    at += 1
    day = _day_number(tokens[at]) if at < len(tokens) and not is_year(tokens[at]) else None
    at += day is not None
    at += at < len(tokens) and tokens[at].lower in {",", "of"}
    if at >= len(tokens) or not is_year(tokens[at]):
        return None
    return _date_span(at + 1, int(tokens[at].text), month, day)


def _read_day_month(tokens: Sequence[Token], at: int, _today: dt.date) -> tuple[int, Span] | None:
    """5 March 2025, 5th of March 2025."""
    day = _day_number(tokens[at])
    at += 1
    at += at < len(tokens) and tokens[at].lower == "of"
    if day is None or at + 1 >= len(tokens):
        return None
    month = _MONTHS.get(tokens[at].lower)
    if month is None or not is_year(tokens[at + 1]):
        return None
    return _date_span(at + 2, int(tokens[at + 1].text), month, day)


def _date_span(at: int, year: int, month: int, day: int | None) -> tuple[int, Span] | None:
    if day is None:
        return at, _month_span(year, month, 1)
    try:
        return at, _day_span(dt.date(year, month, day))
    except ValueError:
        return None


def _day_number(token: Token) -> int | None:
    digits = token.lower.rstrip("sthndr")
    return int(digits) if digits.isdecimal() and 1 <= int(digits) <= 31 else None


def _month_span(year: int, month: int, count: int) -> Span:
    first, last = year * 12 + month - 1, year * 12 + month - 1 + count
    return Span(dt.date(first // 12, first % 12 + 1, 1), dt.date(last // 12, last % 12 + 1, 1))


def _read_quarter(tokens: Sequence[Token], at: int, _today: dt.date) -> tuple[int, Span] | None:
    quarter = _QUARTERS.get(tokens[at].lower)
    after = at + 1
    after += after < len(tokens) and tokens[after].lower == "of"
    if quarter is None or after >= len(tokens) or not is_year(tokens[after]):
        return None
    return after + 1, _month_span(int(tokens[after].text), quarter * 3 - 2, 3)


def _read_relative_period(tokens: Sequence[Token], at: int, today: dt.date) -> tuple[int, Span] | None:
    """this month, last year, last 30 days, the past 3 months."""
    word = tokens[at].lower
    if at + 1 >= len(tokens) or word not in _LAST | {"this", "current"}:
        return None
    following = tokens[at + 1]
    if word in _LAST and following.number is not None and at + 2 < len(tokens):
        span = _trailing_span(int(following.number), tokens[at + 2].root, today)
        return (at + 3, span) if span else None
    span = _calendar_span(following.lower, -1 if word in _LAST else 0, today)
    return (at + 2, span) if span else None


def _trailing_span(count: int, unit: str, today: dt.date) -> Span | None:
    """The ``count`` days, weeks, months or years that end with today."""
    tomorrow = today + dt.timedelta(days=1)
    if not 0 < count <= 1000:
        return None
    if unit in {"day", "week"}:
        return Span(tomorrow - dt.timedelta(days=count * (7 if unit == "week" else 1)), tomorrow)
    if unit in {"month", "year"}:
        month = tomorrow.year * 12 + tomorrow.month - 1 - count * (12 if unit == "year" else 1)
        year, month = month // 12, month % 12 + 1
        return Span(dt.date(year, month, min(tomorrow.day, calendar.monthrange(year, month)[1])), tomorrow)
    return None


def _calendar_span(unit: str, offset: int, today: dt.date) -> Span | None:
    """The calendar week (from Monday), month, quarter or year that is ``offset`` away from today's."""
    if unit == "week":
        monday = today + dt.timedelta(days=offset * 7 - today.weekday())
        return Span(monday, monday + dt.timedelta(days=7))
    if unit == "month":
        month = today.year * 12 + today.month - 1 + offset
        return _month_span(month // 12, month % 12 + 1, 1)
    if unit == "quarter":
        quarter = (today.month - 1) // 3 + offset
        return _month_span(today.year + quarter // 4, quarter % 4 * 3 + 1, 3)
    return year_span(today.year + offset) if unit == "year" else None


def _read_single_day(tokens: Sequence[Token], at: int, today: dt.date) -> tuple[int, Span] | None:
    offset = {"today": 0, "yesterday": -1}.get(tokens[at].lower)
    return None if offset is None else (at + 1, _day_span(today + dt.timedelta(days=offset)))
