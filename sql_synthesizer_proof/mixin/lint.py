"""Judges a PromQL expression against the catalogue, by its parsed tree: what promtool accepts and never works.

Hand-written expressions are judged as composed ones are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    VectorSelector,
    parse,
)

from sql_synthesizer.monitoring import catalog, slo
from sql_synthesizer.monitoring.metric import Metric
from sql_synthesizer_proof.mixin.promql import FOREIGN

SETS = ("and", "or", "unless")
COMPARISONS = ("==", "!=", ">", "<", ">=", "<=")
PER_SECOND = ("rate", "irate", "increase")
TARGET = frozenset({"job", "instance"})
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
"""Grafana's variables and what stands for them here; ``$job`` and ``$instance`` are inside strings."""
JOBS = (catalog.JOB, "prometheus", "alertmanager", "$job")
SAMPLES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


@dataclass(frozen=True, slots=True)
class _Known:
    """What may stand in a selector: kind of samples, label -> the values it may have (None: any)."""

    kind: str
    labels: Mapping[str, frozenset[str] | None]


def _of(metric: Metric, suffix: str) -> _Known:
    labels: dict[str, frozenset[str] | None] = {
        label.name: None if label.vocabulary.declared else frozenset({*label.vocabulary.values, "other"})
        for label in metric.labels
    }
    if suffix == "_bucket":
        labels["le"] = frozenset({*(str(float(bound)) for bound in metric.buckets), "+Inf"})
    return _Known("gauge" if metric.kind == "gauge" else "counter", labels)


KNOWN: dict[str, _Known] = {
    name + suffix: _of(metric, suffix) for name, metric in catalog.BY_NAME.items() for suffix in SAMPLES[metric.kind]
} | {name: _Known(kind, dict.fromkeys(labels)) for name, (kind, labels) in FOREIGN.items()}


@dataclass(slots=True)
class Lint:
    """The faults of one expression; ``recorded`` names the recording rules that it may refer to."""

    recorded: frozenset[str] = frozenset()
    faults: list[str] = field(default_factory=list)

    def check(self, text: str) -> list[str]:
        """Every fault of an expression, in words."""
        self._read(text)
        return self.faults

    def check_alert(self, rule: Mapping[str, Any]) -> list[str]:
        """Every fault of an alerting rule: its expression, its labels, and what its annotations refer to."""
        tree = self._read(rule["expr"])
        if tree is None:
            return self.faults
        labels = self._labels(tree)
        given = rule.get("labels", {})
        clash = labels & given.keys()
        if clash:
            self._fault(f"the result has labels that the rule sets: {', '.join(sorted(clash))}")
        texts = " ".join(rule.get("annotations", {}).values())
        read = re.findall(r'\$labels\.(\w+)|index \$labels "(\w+)"', texts)
        for name in sorted({one or other for one, other in read} - labels - given.keys()):
            self._fault(f"an annotation reads $labels.{name}, which the result has not")
        for branch in _branches(tree, "or"):
            if not any(_decides(part) for part in _branches(branch, "and")):
                self._fault("a branch compares nothing, so it always fires")
        return self.faults

    def _read(self, text: str) -> Expr | None:
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)
        try:
            tree = parse(text)
        except ValueError as error:
            self._fault(f"it does not parse: {error}")
            return None
        self._visit(tree, "")
        self._labels(tree)
        return tree

    def _fault(self, text: str) -> None:
        if text not in self.faults:
            self.faults.append(text)

    # --- selectors and functions ---------------------------------------------------------------

    def _visit(self, node: Any, function: str) -> None:
        """Walks the tree; ``function`` is the one that is applied, or ``exists`` where only presence counts."""
        if isinstance(node, VectorSelector):
            self._selector(node, function)
        elif isinstance(node, MatrixSelector):
            self._window(node, function)
            self._selector(node.vector_selector, function)
        elif isinstance(node, Call):
            for argument in node.args:
                self._visit(argument, node.func.name)
        elif isinstance(node, BinaryExpr):
            if str(node.op) == "/":
                self._ratio(node)
            if node.modifier is not None and node.modifier.return_bool:
                self._fault(f"'{node.op} bool' is 0 or 1, so it decides nothing")
            self._visit(node.lhs, "")
            presence = str(node.op) in SETS[:1] + SETS[2:] and node.modifier and node.modifier.matching
            self._visit(node.rhs, "exists" if presence else "")
        elif isinstance(node, UnaryExpr | SubqueryExpr):
            self._visit(node.expr, "")
        elif isinstance(node, AggregateExpr | ParenExpr):
            counted = isinstance(node, AggregateExpr) and str(node.op) == "count"
            self._visit(node.expr, "exists" if counted else function if isinstance(node, ParenExpr) else "")

    def _window(self, node: MatrixSelector, function: str) -> None:
        least = (4 if function in PER_SECOND else 2) * slo.SCRAPE_INTERVAL
        if node.range.total_seconds() < least:
            self._fault(f"a window of {node.range} holds too few scrapes for {function}")
        if node.range.total_seconds() > slo.RETENTION_DAYS * 86_400:
            self._fault(f"a window of {node.range} is longer than samples are kept")

    def _selector(self, node: VectorSelector, function: str) -> None:
        name = node.name or ""
        if name in self.recorded:
            return
        known = KNOWN.get(name)
        if known is None:
            self._fault(f"there is no metric {name or '(without a name)'}")
            return
        if known.kind == "counter" and function not in (*PER_SECOND, "exists", "absent"):
            self._fault(f"{name} is a counter: its value says nothing without rate or increase")
        if known.kind == "gauge" and function in PER_SECOND:
            self._fault(f"{name} is a gauge: {function} is for counters")
        for matcher in node.matchers.matchers:
            self._matcher(name, known, matcher)
        if name.startswith(catalog.PREFIX) and not any(m.name == "job" for m in node.matchers.matchers):
            self._fault(f"{name} is selected without its job")

    def _matcher(self, name: str, known: _Known, matcher: Matcher) -> None:
        regex = matcher.op in (MatchOp.Re, MatchOp.NotRe)
        values = matcher.value.split("|") if regex else [matcher.value]
        if regex and re.escape(matcher.value) == matcher.value and not matcher.value.startswith("$"):
            self._fault(f'{matcher.name}=~"{matcher.value}" is no pattern: use =')
        if matcher.name in TARGET:
            if matcher.name == "job" and not set(values) <= set(JOBS):
                self._fault(f"there is no job {matcher.value}")
            return
        if matcher.name not in known.labels:
            self._fault(f"{name} has no label {matcher.name}")
            return
        allowed = known.labels[matcher.name]
        for value in values:
            if allowed is not None and value not in allowed and not value.startswith("$"):
                self._fault(f"'{value}' is no value of label {matcher.name} of {name}")

    def _ratio(self, node: BinaryExpr) -> None:
        """A part of a whole needs the labels that tell the part from the whole to be added up on both sides."""
        left, right = _selectors(node.lhs), _selectors(node.rhs)
        if len(left) != 1 or len(right) != 1 or _stem(left[0]) != _stem(right[0]):
            return  # no part of the same whole, or a mean
        inside, outside = ({str(m) for m in s.matchers.matchers} for s in (left[0], right[0]))
        telling = {m.name for m in left[0].matchers.matchers if str(m) in inside - outside}
        kept = telling & (self._labels(node.lhs) | self._labels(node.rhs))
        if kept or not telling:
            self._fault(f"a self-ratio: {', '.join(sorted(kept)) or 'both sides'} must be added up on both sides")

    # --- labels of the result ------------------------------------------------------------------

    def _labels(self, node: Any) -> frozenset[str]:
        if isinstance(node, VectorSelector):
            return self._all_labels(node)
        if isinstance(node, MatrixSelector):
            return self._all_labels(node.vector_selector)
        if isinstance(node, ParenExpr | UnaryExpr | SubqueryExpr):
            return self._labels(node.expr)
        if isinstance(node, AggregateExpr):
            return self._aggregated(node)
        if isinstance(node, Call):
            return self._called(node)
        if isinstance(node, BinaryExpr):
            return self._joined(node)
        return frozenset()

    def _all_labels(self, node: VectorSelector) -> frozenset[str]:
        name = node.name or ""
        if name in self.recorded:
            return frozenset({"job"})
        known = KNOWN.get(name)
        return TARGET | known.labels.keys() if known else TARGET

    def _aggregated(self, node: AggregateExpr) -> frozenset[str]:
        inner = self._labels(node.expr)
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        if unknown := named - inner - {"le"}:
            self._fault(f"{node.op} names labels that are not there: {', '.join(sorted(unknown))}")
        return inner - named if node.modifier.type == AggModifierType.Without else inner & named

    def _called(self, node: Call) -> frozenset[str]:
        vectors = [a for a in node.args if not isinstance(a, NumberLiteral | StringLiteral)]
        if node.func.name in ("vector", "time", "scalar") or not vectors:
            return frozenset()
        if node.func.name in ("absent", "absent_over_time"):
            selectors = _selectors(vectors[0])
            return frozenset(m.name for m in selectors[0].matchers.matchers if m.op == MatchOp.Equal)
        labels = self._labels(vectors[-1])
        return labels - {"le"} if node.func.name == "histogram_quantile" else labels

    def _joined(self, node: BinaryExpr) -> frozenset[str]:
        left, right = self._labels(node.lhs), self._labels(node.rhs)
        if _scalar(node.lhs) or _scalar(node.rhs):
            return right if _scalar(node.lhs) else left
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            if left != right:
                self._fault(f"the sides of '{node.op}' never match: {sorted(left)} and {sorted(right)}")
            return left & right
        on = matching.type == LabelModifierType.Include
        if on and not set(matching.labels) <= left & right:
            self._fault(f"'{node.op}' matches on labels that a side has not: {matching.labels}")
        if str(node.op) in SETS:
            return left
        return frozenset(matching.labels) if on else left - frozenset(matching.labels)


def _scalar(node: Any) -> bool:
    if isinstance(node, ParenExpr):
        return _scalar(node.expr)
    if isinstance(node, BinaryExpr):
        return _scalar(node.lhs) and _scalar(node.rhs)
    return isinstance(node, NumberLiteral) or (isinstance(node, Call) and node.func.name in ("time", "scalar"))


def _selectors(node: Any) -> list[VectorSelector]:
    if isinstance(node, VectorSelector):
        return [node]
    if isinstance(node, MatrixSelector):
        return [node.vector_selector]
    inner = [getattr(node, name, None) for name in ("expr", "lhs", "rhs")] + list(getattr(node, "args", []))
    return reduce(lambda found, child: found + (_selectors(child) if child is not None else []), inner, [])


def _stem(selector: VectorSelector) -> str:
    return re.sub(r"_(bucket|count)$", "", selector.name or "")


def _branches(node: Any, operator: str) -> Iterator[Any]:
    """The operands of ``or``, or of ``and`` and the left ones of ``unless``."""
    if isinstance(node, ParenExpr):
        yield from _branches(node.expr, operator)
    elif isinstance(node, BinaryExpr) and str(node.op) == operator:
        yield from _branches(node.lhs, operator)
        yield from _branches(node.rhs, operator)
    elif isinstance(node, BinaryExpr) and operator == "and" and str(node.op) == "unless":
        yield from _branches(node.lhs, "and")
    else:
        yield node


def _decides(node: Any) -> bool:
    if isinstance(node, BinaryExpr):
        return str(node.op) in COMPARISONS or (str(node.op) == "or" and _decides(node.lhs) and _decides(node.rhs))
    return isinstance(node, Call) and node.func.name in ("absent", "vector")


def thresholds(text: str) -> set[float]:
    """What the value that an alert tells is above or below of: no counts beside it, no states, no guards."""
    found = set()
    for branch in _branches(parse(text), "or"):
        told = next(iter(_branches(branch, "and")))
        if isinstance(told, BinaryExpr) and str(told.op) in (">", "<", ">=", "<="):
            value = _value(told.rhs)
            if value is not None:
                found.add(value)
    return found


def _value(node: Any) -> float | None:
    if isinstance(node, NumberLiteral):
        return node.val
    if isinstance(node, ParenExpr):
        return _value(node.expr)
    if isinstance(node, BinaryExpr) and str(node.op) in ("*", "^"):
        left, right = _value(node.lhs), _value(node.rhs)
        if left is not None and right is not None:
            return left * right if str(node.op) == "*" else left**right
    return None
