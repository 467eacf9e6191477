"""Lints a PromQL expression against the catalogue, by its parsed tree: faults that promtool accepts.

Hand-written expressions are linted like composed ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
from sql_synthesizer_proof.mixin.promql import FOREIGN, label_vocabularies
from sql_synthesizer_proof.rules import Rule

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
    labels: Mapping[str, Sequence[str] | None]


def _known_series(metric: Metric, suffix: str) -> _Known:
    labels = label_vocabularies(metric)
    if suffix == "_bucket":
        labels["le"] = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    return _Known("gauge" if metric.kind == "gauge" else "counter", labels)


KNOWN: dict[str, _Known] = {
    name + suffix: _known_series(metric, suffix)
    for name, metric in catalog.BY_NAME.items()
    for suffix in SAMPLES[metric.kind]
} | {name: _Known(kind, dict.fromkeys(labels)) for name, (kind, labels) in FOREIGN.items()}


@dataclass(slots=True)
class Lint:
    """The faults of one expression; ``recorded`` names the recording rules that it may refer to."""

    recorded: frozenset[str] = frozenset()
    faults: list[str] = field(default_factory=list)

    def check_expression(self, text: str) -> list[str]:
        """Every fault of an expression, in words."""
        self._parse_expression(text)
        return self.faults

    def check_alert(self, rule: Rule) -> list[str]:
        """Every fault of an alerting rule: its expression, its labels, and what its annotations refer to."""
        tree = self._parse_expression(rule["expr"])
        if tree is None:
            return self.faults
        labels = self._result_labels(tree)
        given = rule.get("labels", {})
        clash = labels & given.keys()
        if clash:
            self._add_fault(f"the result has labels that the rule sets: {', '.join(sorted(clash))}")
        texts = " ".join(rule.get("annotations", {}).values())
        read = re.findall(r'\$labels\.(\w+)|index \$labels "(\w+)"', texts)  # the ways in which templates read a label
        for name in sorted({one or other for one, other in read} - labels - given.keys()):
            self._add_fault(f"an annotation reads $labels.{name}, which the result has not")
        for branch in _split_operands(tree, "or"):
            if not any(_is_condition(part) for part in _split_operands(branch, "and")):
                self._add_fault("a branch compares nothing, so it always fires")
        return self.faults

    def _parse_expression(self, text: str) -> Expr | None:
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)
        try:
            tree = parse(text)
        except ValueError as error:
            self._add_fault(f"it does not parse: {error}")
            return None
        self._visit_node(tree, "")
        self._result_labels(tree)
        return tree

    def _add_fault(self, text: str) -> None:
        if text not in self.faults:
            self.faults.append(text)

    # --- selectors and functions ---------------------------------------------------------------

    def _visit_node(self, node: Any, function: str) -> None:
        """Walks the tree; ``function`` is the one that is applied, or ``exists`` where only presence counts.

        What was not there in the past is ``born``: the value of its counters is what they have grown since.
        """
        if isinstance(node, VectorSelector):
            self._check_selector(node, function)
        elif isinstance(node, MatrixSelector):
            self._check_window(node, function)
            self._check_selector(node.vector_selector, function)
        elif isinstance(node, Call):
            for argument in node.args:
                self._visit_node(argument, node.func.name)
        elif isinstance(node, BinaryExpr):
            if str(node.op) == "/":
                self._check_ratio(node)
            if node.modifier is not None and node.modifier.return_bool:
                self._add_fault(f"'{node.op} bool' is 0 or 1, so it decides nothing")
            self._visit_node(node.lhs, "born" if str(node.op) == "unless" and _is_past(node.rhs) else "")
            presence = str(node.op) in SETS[:1] + SETS[2:] and node.modifier and node.modifier.matching
            self._visit_node(node.rhs, "exists" if presence else "")
        elif isinstance(node, UnaryExpr | SubqueryExpr):
            self._visit_node(node.expr, "")
        elif isinstance(node, AggregateExpr | ParenExpr):
            counted = isinstance(node, AggregateExpr) and str(node.op) == "count"
            self._visit_node(node.expr, "exists" if counted else function if isinstance(node, ParenExpr) else "")

    def _check_window(self, node: MatrixSelector, function: str) -> None:
        least = (4 if function in PER_SECOND else 2) * slo.SCRAPE_INTERVAL
        if node.range.total_seconds() < least:
            self._add_fault(f"a window of {node.range} holds too few scrapes for {function}")
        if node.range.total_seconds() > slo.RETENTION_DAYS * 86_400:
            self._add_fault(f"a window of {node.range} is longer than samples are stored")

    def _check_selector(self, node: VectorSelector, function: str) -> None:
        name = node.name or ""
        if name in self.recorded:
            return
        known = KNOWN.get(name)
        if known is None:
            self._add_fault(f"there is no metric {name or '(without a name)'}")
            return
        if known.kind == "counter" and function not in (*PER_SECOND, "exists", "born", "absent"):
            self._add_fault(f"{name} is a counter: its value means nothing without rate or increase")
        if known.kind == "gauge" and function in PER_SECOND:
            self._add_fault(f"{name} is a gauge: {function} is for counters")
        for matcher in node.matchers.matchers:
            self._check_matcher(name, known, matcher)
        if name.startswith(catalog.PREFIX) and not any(m.name == "job" for m in node.matchers.matchers):
            self._add_fault(f"{name} is selected without its job")

    def _check_matcher(self, name: str, known: _Known, matcher: Matcher) -> None:
        regex = matcher.op in (MatchOp.Re, MatchOp.NotRe)
        # alternatives are all that a pattern needs where a label has a closed vocabulary; others are reported as values
        values = matcher.value.split("|") if regex else [matcher.value]
        # what needs no escaping holds nothing special, so that the pattern can only match itself
        if regex and re.escape(matcher.value) == matcher.value and not matcher.value.startswith("$"):
            self._add_fault(f'{matcher.name}=~"{matcher.value}" is no pattern: use =')
        if matcher.name in TARGET:
            if matcher.name == "job" and not set(values) <= set(JOBS):
                self._add_fault(f"there is no job {matcher.value}")
            return
        if matcher.name not in known.labels:
            self._add_fault(f"{name} has no label {matcher.name}")
            return
        allowed = known.labels[matcher.name]
        for value in values:
            if allowed is not None and value not in allowed and not value.startswith("$"):
                self._add_fault(f"'{value}' is no value of label {matcher.name} of {name}")

    def _check_ratio(self, node: BinaryExpr) -> None:
        """The ratio of a part to its whole must aggregate away, on both sides, the labels that select the part."""
        left, right = _find_selectors(node.lhs), _find_selectors(node.rhs)
        if len(left) != 1 or len(right) != 1 or _base_name(left[0]) != _base_name(right[0]):
            return  # not of the same metric, or a mean
        inside, outside = ({str(m) for m in s.matchers.matchers} for s in (left[0], right[0]))
        selecting = {m.name for m in left[0].matchers.matchers if str(m) in inside - outside}
        kept = selecting & (self._result_labels(node.lhs) | self._result_labels(node.rhs))
        if kept or not selecting:
            self._add_fault(f"a self-ratio: {', '.join(sorted(kept)) or 'both sides'} must be added up on both sides")

    # --- labels of the result ------------------------------------------------------------------

    def _result_labels(self, node: Any) -> frozenset[str]:
        if isinstance(node, VectorSelector):
            return self._selector_labels(node)
        if isinstance(node, MatrixSelector):
            return self._selector_labels(node.vector_selector)
        if isinstance(node, ParenExpr | UnaryExpr | SubqueryExpr):
            return self._result_labels(node.expr)
        if isinstance(node, AggregateExpr):
            return self._aggregate_labels(node)
        if isinstance(node, Call):
            return self._call_labels(node)
        if isinstance(node, BinaryExpr):
            return self._binary_labels(node)
        return frozenset()

    def _selector_labels(self, node: VectorSelector) -> frozenset[str]:
        name = node.name or ""
        if name in self.recorded:
            return frozenset({"job"})
        known = KNOWN.get(name)
        return TARGET | known.labels.keys() if known else TARGET

    def _aggregate_labels(self, node: AggregateExpr) -> frozenset[str]:
        inner = self._result_labels(node.expr)
        if node.modifier is None:
            return frozenset()
        named = frozenset(node.modifier.labels)
        if unknown := named - inner - {"le"}:
            self._add_fault(f"{node.op} names labels that are not there: {', '.join(sorted(unknown))}")
        return inner - named if node.modifier.type == AggModifierType.Without else inner & named

    def _call_labels(self, node: Call) -> frozenset[str]:
        vectors = [a for a in node.args if not isinstance(a, NumberLiteral | StringLiteral)]
        if node.func.name in ("vector", "time", "scalar") or not vectors:
            return frozenset()
        if node.func.name in ("absent", "absent_over_time"):
            selectors = _find_selectors(vectors[0])
            if not selectors:
                self._add_fault(f"{node.func.name} looks at no metric")
            return frozenset(m.name for s in selectors[:1] for m in s.matchers.matchers if m.op == MatchOp.Equal)
        labels = self._result_labels(vectors[-1])
        return labels - {"le"} if node.func.name == "histogram_quantile" else labels

    def _binary_labels(self, node: BinaryExpr) -> frozenset[str]:
        left, right = self._result_labels(node.lhs), self._result_labels(node.rhs)
        if _is_scalar(node.lhs) or _is_scalar(node.rhs):
            return right if _is_scalar(node.lhs) else left
        matching = node.modifier.matching if node.modifier else None
        if matching is None:
            if left != right:
                self._add_fault(f"the sides of '{node.op}' never match: {sorted(left)} and {sorted(right)}")
            return left & right
        on = matching.type == LabelModifierType.Include
        if on and not set(matching.labels) <= left & right:
            self._add_fault(f"'{node.op}' matches on labels that a side has not: {matching.labels}")
        if str(node.op) in SETS:
            return left
        return frozenset(matching.labels) if on else left - frozenset(matching.labels)


def _is_past(node: Any) -> bool:
    return isinstance(node, VectorSelector) and bool(node.offset)


def _is_scalar(node: Any) -> bool:
    if isinstance(node, ParenExpr):
        return _is_scalar(node.expr)
    if isinstance(node, BinaryExpr):
        return _is_scalar(node.lhs) and _is_scalar(node.rhs)
    return isinstance(node, NumberLiteral) or (isinstance(node, Call) and node.func.name in ("time", "scalar"))


def _find_selectors(node: Any) -> list[VectorSelector]:
    if isinstance(node, VectorSelector):
        return [node]
    if isinstance(node, MatrixSelector):
        return [node.vector_selector]
    inner = [getattr(node, name, None) for name in ("expr", "lhs", "rhs")] + list(getattr(node, "args", []))
    return reduce(lambda found, child: found + (_find_selectors(child) if child is not None else []), inner, [])


def _base_name(selector: VectorSelector) -> str:
    return re.sub(r"_(bucket|count)$", "", selector.name or "")  # a bucket is a part of the count


def _split_operands(node: Any, operator: str) -> Iterator[Any]:
    """The operands of ``or``, or of ``and`` and the left ones of ``unless``."""
    if isinstance(node, ParenExpr):
        yield from _split_operands(node.expr, operator)
    elif isinstance(node, BinaryExpr) and str(node.op) == operator:
        yield from _split_operands(node.lhs, operator)
        yield from _split_operands(node.rhs, operator)
    elif isinstance(node, BinaryExpr) and operator == "and" and str(node.op) == "unless":
        yield from _split_operands(node.lhs, "and")
    else:
        yield node


def _is_condition(node: Any) -> bool:
    if isinstance(node, BinaryExpr):
        return str(node.op) in COMPARISONS or (
            str(node.op) == "or" and _is_condition(node.lhs) and _is_condition(node.rhs)
        )
    return isinstance(node, Call) and node.func.name in ("absent", "vector")


def find_thresholds(text: str) -> set[float]:
    """The thresholds of the value that an alert reports; not those of its further conditions, nor of states."""
    found = set()
    for branch in _split_operands(parse(text), "or"):
        value_test = next(iter(_split_operands(branch, "and")))
        if isinstance(value_test, BinaryExpr) and str(value_test.op) in (">", "<", ">=", "<="):
            value = _constant_value(value_test.rhs)
            if value is not None:
                found.add(value)
    return found


def _constant_value(node: Any) -> float | None:
    if isinstance(node, NumberLiteral):
        return node.val
    if isinstance(node, ParenExpr):
        return _constant_value(node.expr)
    if isinstance(node, BinaryExpr) and str(node.op) in ("*", "^"):
        left, right = _constant_value(node.lhs), _constant_value(node.rhs)
        if left is not None and right is not None:
            return left * right if str(node.op) == "*" else left**right
    return None
