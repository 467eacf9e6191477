"""Handles of the catalogue: what does not exist does not build, and what builds means what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from promql_parser import parse

from sql_synthesizer.monitoring import catalog
from sql_synthesizer_proof.mixin.promql import Expr, Scope, format_number, ratio_of

M = Scope('job="sql-synthesizer"')


@pytest.mark.parametrize(
    "build",
    [
        lambda: M("query_total"),
        lambda: M("queries_total").where(status="error"),
        lambda: M("queries_total").where(success="failed"),
        lambda: M("queries_total").excluding(success=("success", "nothing")),
        lambda: M("queries_total").rate("5m", keep=("route",)),
        lambda: M("dependency_up").grouped("max", "job", "database"),
        lambda: M.foreign("upp"),
        lambda: M("memory_usage_bytes").rate("5m"),
        lambda: M("query_duration_seconds").within(3.3, "5m"),
        lambda: M("queries_total").within(2.0, "5m"),
        lambda: M("queries_total").rate("5m", keep=("le",)),
    ],
    ids=[
        "metric",
        "label",
        "value",
        "values",
        "kept label",
        "grouping label",
        "foreign metric",
        "rate of a gauge",
        "bucket",
        "bucket of a counter",
        "le of a counter",
    ],
)
def test_what_the_catalogue_does_not_know_does_not_build(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"there is no metric|has no label|is no value|is a gauge|no bucket"):
        build()


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (
            M("queries_total").where(success="error").rate("2m"),
            (
                "sum without (instance, query_type, database_type, success) "
                '(rate(sql_synthesizer_queries_total{job="sql-synthesizer",success="error"}[2m]))'
            ),
        ),
        (
            M("query_duration_seconds").within(2, "5m"),
            (
                "sum without (instance, query_type, database_type, success, le) "
                '(rate(sql_synthesizer_query_duration_seconds_bucket{job="sql-synthesizer",le="2.0"}[5m]))'
            ),
        ),
        (
            M("cache_operations_total").where(hit_miss=("hit", "miss")).increase("1h", keep=("cache_type",)),
            (
                "sum without (instance, operation, hit_miss) "
                '(increase(sql_synthesizer_cache_operations_total{job="sql-synthesizer",hit_miss=~"hit|miss"}[1h]))'
            ),
        ),
        (M.foreign("up").grouped("sum", "job").equals(0), 'sum by (job) (up{job="sql-synthesizer"}) == 0'),
    ],
    ids=["counter", "bucket", "alternatives", "foreign"],
)
def test_what_a_handle_writes(expr: Expr, text: str) -> None:
    assert str(expr) == text


A, B, C = Expr("a"), Expr("b"), Expr("c")


@pytest.mark.parametrize(
    ("expr", "text"),
    [
        (A / (B - C), "a / (b - c)"),
        (A / B / C, "a / b / c"),
        (A / (B / C), "a / (b / c)"),
        (A - (B - C), "a - (b - c)"),
        ((A + B) * 2, "(a + b) * 2"),
        (A / (10 * 1024**3), "a / (10 * 1024 ^ 3)"),
        (A.above(10 * 1024**3), "a > 10 * 1024 ^ 3"),
        (ratio_of(A, B).above(0.05), "a / (b > 0) > 0.05"),
        (A.above(1).and_matching(B.above(2).or_else(C)), "a > 1 and (b > 2 or c)"),
        (A.and_matching(B).or_else(C), "a and b or c"),
        (A.or_else(B).unless(C, on=("job",)), "(a or b) unless on (job) c"),
    ],
)
def test_parentheses_stand_where_they_are_needed(expr: Expr, text: str) -> None:
    assert str(expr) == text


@given(
    st.recursive(
        st.sampled_from([A, B, C]), lambda inner: st.tuples(inner, inner, st.sampled_from("/*+-")), max_leaves=8
    )
)
def test_an_expression_keeps_its_shape_when_it_is_read(shape: object) -> None:
    def built(node: object) -> tuple[Expr, str]:
        if isinstance(node, Expr):
            return node, node.text
        left, right, operator = node  # type: ignore[misc]
        (one, plain_one), (other, plain_other) = built(left), built(right)
        made = {"/": one / other, "*": one * other, "+": one + other, "-": one - other}[operator]
        return made, f"({plain_one} {operator} {plain_other})"

    made, plain = built(shape)
    assert _bare(parse(made.text)) == _bare(parse(plain))


def _bare(node: object) -> object:
    inner = getattr(node, "expr", None)
    if inner is not None:
        return _bare(inner)
    if hasattr(node, "lhs"):
        return (str(node.op), _bare(node.lhs), _bare(node.rhs))
    return str(node)


@pytest.mark.parametrize(("value", "text"), [(2.0, "2"), (0.05, "0.05"), (4 * 1024**3, "4 * 1024 ^ 3"), (4000, "4000")])
def test_numbers(value: float, text: str) -> None:
    assert format_number(value) == text


@pytest.mark.parametrize("metric", catalog.METRICS, ids=lambda metric: metric.name)
def test_every_metric_has_a_handle(metric) -> None:
    series = M(metric.name)
    expr = series.selector() if metric.kind == "gauge" else series.rate("5m", keep=metric.label_names)
    parse(str(expr))
