"""The small mistakes that could be made in a rule, one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import promql_parser as promql

from sql_synthesizer.monitoring.slo import duration_seconds
from sql_synthesizer.telemetry import vocabulary
from tests.rules.promtool import Rule

OPPOSITE = {">": ("<",), "<": (">",), ">=": (">", "<"), "<=": ("<", ">"), "==": ("!=",), "!=": ("==",)}
AGGREGATOR = {"sum": "max", "max": "min", "min": "max"}
NO_RESET = {"increase": "delta", "rate": "deriv"}
"""What a counter that starts again turns negative."""
LONG = "1d"
"""For which an alert goes on that should have ended."""
OVER_TIME = {"avg_over_time": "max_over_time", "min_over_time": "max_over_time", "max_over_time": "min_over_time"}
NEGATED = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
SETS = ("and", "or", "unless")
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Of the recorded ratios."""
OTHER_VALUES = {
    "job": ("prometheus", "sql-synthesizer"),
    "event_type": ("sql_injection_attempt", "suspicious_input"),
    "success": vocabulary.SUCCESS.values,
    "operation": ("get", "set"),
    "hit_miss": ("error", "miss"),
    "reason": ("ok", "overloaded"),
    "outcome": ("success", "timeout"),
}


@dataclass(frozen=True)
class Mutant:
    """A rule with one change; ``change`` says which."""

    change: str
    rule: Rule


Changes = Iterator[tuple[str, str]]
"""What was changed, and the expression after it."""


def _number(value: float) -> str:
    return f"{value:.15g}"


def _numbers(node: Any) -> Changes:
    for other in (node.val / 2, node.val * 2) if node.val else (2,):
        yield f"{_number(node.val)} -> {_number(other)}", _number(other)


def _values(label: str, operator: str, value: str) -> Iterator[str]:
    words = value.split("|")
    if operator in ("=~", "!~") and len(words) > 1:
        yield from ("|".join(word for word in words if word != gone) for gone in words)
    else:
        yield next(other for other in OTHER_VALUES.get(label, (f"other {label}",)) if other != value)


def _selector(name: str, matchers: list[tuple[str, str, str]], offset: timedelta | None = None) -> str:
    inside = ",".join(f"{label}{operator}{value!r}" for label, operator, value in matchers)
    return f"{name}{{{inside}}}" + (f" offset {_duration(offset)}" if offset else "")


def _selectors(node: Any) -> Changes:
    matchers = re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', str(node))
    select = partial(_selector, node.name, offset=node.offset)
    for index, (label, operator, value) in enumerate(matchers):
        before, after = matchers[:index], matchers[index + 1 :]
        changed = [(NEGATED[operator], value), *((operator, other) for other in _values(label, operator, value))]
        if label != "job":  # the sides of an expression meet on job, so that it is dropped everywhere or in vain
            yield f"{node.name}: {label} dropped", select(before + after)
        for new_operator, new_value in changed:
            matcher = (label, new_operator, new_value)
            yield f"{node.name}: {''.join(matcher)}", select([*before, matcher, *after])
    for factor in (0, 0.5, 2) if node.offset else ():
        yield f"{node.name}: offset times {factor}", _selector(node.name, matchers, node.offset * factor)
    if recorded := re.fullmatch(r"(job:.*_rate)(\w+)", node.name):
        at = WINDOWS.index(recorded[2])
        for window in WINDOWS[max(at - 1, 0) : at] + WINDOWS[at + 1 : at + 2]:
            yield f"{node.name} -> {window}", f"{recorded[1]}{window}"


def _duration(length: timedelta) -> str:
    return f"{round(length.total_seconds() * 1000)}ms"


def _ranges(node: Any) -> Changes:
    for factor in (0.5, 2):
        length = _duration(node.range * factor)
        yield f"{node.vector_selector.name}[{_duration(node.range)}] -> [{length}]", f"{node.vector_selector}[{length}]"
    for change, text in changes(node.vector_selector):
        yield change, f"{text}[{_duration(node.range)}]"


def _aggregations(node: Any) -> Changes:
    grouping, labels = str(node.modifier).split(" ", 1)[0], node.modifier.labels
    assert grouping in ("by", "without")
    lists = [(f"without {gone}", [label for label in labels if label != gone]) for gone in labels]
    if grouping == "without":
        lists.append(("with job", [*labels, "job"]))
    for what, left in lists:
        yield (
            f"{node.op} {grouping} ({', '.join(labels)}), {what}",
            f"{node.op} {grouping} ({', '.join(left)}) ({node.expr})",
        )
    other = AGGREGATOR[str(node.op)]
    yield f"{node.op} -> {other}", f"{other} {node.modifier} ({node.expr})"
    for change, text in changes(node.expr):
        yield change, f"{node.op} {grouping} ({', '.join(labels)}) ({text})"


def _operations(node: Any) -> Changes:
    operator, modifier = str(node.op).strip(), str(node.modifier or "")
    if operator in SETS:
        yield f"left of {operator} alone", str(node.lhs)
        yield f"right of {operator} alone", str(node.rhs)
    for other in OPPOSITE.get(operator, ()):
        yield f"{operator} {node.rhs} -> {other}", f"({node.lhs}) {other} {modifier} ({node.rhs})"
    if modifier:
        yield f"{operator} {modifier} -> {operator}", f"({node.lhs}) {operator} ({node.rhs})"
    for change, text in changes(node.lhs):
        yield change, f"({text}) {operator} {modifier} ({node.rhs})"
    for change, text in changes(node.rhs):
        yield change, f"({node.lhs}) {operator} {modifier} ({text})"


def _calls(node: Any) -> Changes:
    function, arguments = node.func.name, list(map(str, node.args))
    if other := OVER_TIME.get(function) or NO_RESET.get(function):
        yield f"{function} -> {other}", f"{other}({', '.join(arguments)})"
    for index, argument in enumerate(node.args):
        for change, text in changes(argument):
            yield change, f"{function}({', '.join([*arguments[:index], text, *arguments[index + 1 :]])})"


def changes(node: Any) -> Changes:
    """Every change of one place below this node of the syntax tree."""
    match node:
        case promql.NumberLiteral():
            yield from _numbers(node)
        case promql.VectorSelector():
            yield from _selectors(node)
        case promql.MatrixSelector():
            yield from _ranges(node)
        case promql.AggregateExpr():
            yield from _aggregations(node)
        case promql.BinaryExpr():
            yield from _operations(node)
        case promql.ParenExpr():
            yield from ((change, f"({text})") for change, text in changes(node.expr))
        case promql.Call():
            yield from _calls(node)
        case _:
            raise TypeError(f"no changes are known for {type(node).__name__}")


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Every mutant of a rule; a change made in several places is told apart by its number."""
    seen: dict[str, int] = {}
    expression = rule["expr"]
    for change, text in changes(promql.parse(expression)):
        seen[change] = seen.get(change, 0) + 1
        yield Mutant(f"{change} ({seen[change]})" if seen[change] > 1 else change, rule | {"expr": text})
    if (anywhere := re.sub(r',?job=~?"[^"]*"', "", expression)) and anywhere != expression:
        yield Mutant("job dropped everywhere", rule | {"expr": anywhere.replace("{,", "{")})
    if hold := rule.get("for"):
        yield Mutant("for dropped", {name: value for name, value in rule.items() if name != "for"})
        for factor in (0.5, 2):
            length = f"{round(duration_seconds(hold) * factor * 1000)}ms"
            yield Mutant(f"for {hold} -> {length}", rule | {"for": length})
    if keep := rule.get("keep_firing_for"):
        yield Mutant(
            "keep_firing_for dropped", {name: value for name, value in rule.items() if name != "keep_firing_for"}
        )
        for factor in (0.5, 2):
            length = f"{round(duration_seconds(keep) * factor * 1000)}ms"
            yield Mutant(f"keep_firing_for {keep} -> {length}", rule | {"keep_firing_for": length})
    else:
        yield Mutant(f"keep_firing_for {LONG}", rule | {"keep_firing_for": LONG})
