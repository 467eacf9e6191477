"""What a user of the service feels, and what the service itself uses up."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.promql import Expr, MetricSeries
from sql_synthesizer_proof.mixin.signals import M

UP, APP = M.foreign("up"), M("app_up")
ALL_DOWN = UP.grouped("sum", "job").equals(0).or_else(APP.grouped("sum", "job").equals(0))
ONE_DOWN = UP.selector().equals(0).or_else(APP.selector().equals(0))
NEEDED = M("dependency_up").excluding(dependency=signals.OPTIONAL)
ONE_CUT_OFF = NEEDED.grouped("min", "job", "instance").equals(0)
ALL_CUT_OFF = NEEDED.grouped("max", *signals.JOB_DEPENDENCY).equals(0).grouped("max", "job")


def flapping(series: MetricSeries) -> Expr:
    """Where something was down for a part of the last minutes, and was so more than once."""
    changes = series.over("changes", slo.FLAPPING_WINDOW).at_least(slo.FLAPPING_CHANGES)
    return signals.time_down(series).above(slo.FLAPPING_SHARE).and_matching(changes)


ABSENT = UP.selector().call("absent")

OVERVIEW = "overview"

ALERTS = (
    Alert(
        "SqlSynthesizerDown",
        "critical",
        ALL_DOWN.or_else(ABSENT),
        "SQL Synthesizer is down",
        "No instance of {{ $labels.job }} answers: its metrics cannot be scraped, or the application behind them does "
        "not respond. Nobody can ask a question.",
        (OVERVIEW, "Application up"),
        hold="30s",
        fill=16,
        fault="the application or its exporter stops answering; a probe of the exporter or a scrape notices",
        keep="2m",
    ),
    Alert(
        "SqlSynthesizerFlapping",
        "critical",
        flapping(UP).or_else(flapping(APP)),
        "SQL Synthesizer is down again and again",
        "{{ $labels.instance }} was down for {{ $value | humanizePercentage }} of the last 10 minutes, in several "
        "outages.",
        (OVERVIEW, "Time spent down"),
    ),
    Alert(
        "SqlSynthesizerDependencyFlapping",
        "critical",
        flapping(NEEDED),
        "SQL Synthesizer loses {{ $labels.dependency }} again and again",
        "{{ $labels.instance }} was without {{ $labels.dependency }} for {{ $value | humanizePercentage }} of the last "
        "10 minutes, in several outages.",
        (OVERVIEW, "Time spent down"),
    ),
    Alert(
        "SqlSynthesizerInstanceDown",
        "warning",
        ONE_DOWN.or_else(ONE_CUT_OFF).unless(ALL_DOWN.or_else(ALL_CUT_OFF), on=("job",)),
        "One instance of SQL Synthesizer cannot serve all",
        "{{ $labels.instance }} does not answer, or has lost what all or some of its questions need; other instances "
        "of {{ $labels.job }} are well.",
        (OVERVIEW, "Application up"),
        hold="2m",
    ),
    Alert(
        "SqlSynthesizerMetricsAbsent",
        "warning",
        UP.selector().equals(1).unless(M("queries_total").selector(), on=("job", "instance")),
        "SQL Synthesizer exports no query metrics",
        "{{ $labels.instance }} is scraped, but sql_synthesizer_queries_total is not there: its alerts cannot fire.",
        ("monitoring-health", "Query metrics exported"),
        hold="5m",
    ),
    Alert(
        "HighErrorRate",
        "critical",
        signals.error_ratio(M, slo.FAST)
        .above(slo.ERROR_RATIO)
        .and_matching(M("queries_total").increase(slo.FAST).at_least(slo.LEAST_QUERIES)),
        "High error rate",
        "{{ $value | humanizePercentage }} of the questions to {{ $labels.job }} fail because of the service.",
        (OVERVIEW, "Error ratio"),
        hold="30s",
        fill=20,
        fault="every question fails, at one question a second",
    ),
    Alert(
        "SqlSynthesizerRequestErrors",
        "critical",
        signals.request_failure_ratio(M, slo.USUAL)
        .above(slo.REQUEST_FAILURE_RATIO)
        .and_matching(
            M("http_failures_total").increase(slo.USUAL, keep=signals.REQUEST).at_least(slo.LEAST_FAILED_REQUESTS)
        ),
        "Requests to {{ $labels.route }} fail",
        "{{ $value | humanizePercentage }} of the requests to {{ $labels.route }} on {{ $labels.instance }} fail "
        "because of the service; questions are not among them.",
        (OVERVIEW, "Failed requests by route"),
        hold="1m",
    ),
    Alert(
        "SqlSynthesizerBrownout",
        "critical",
        signals.slow_ratio(M, slo.FAST)
        .above(slo.SLOW_RATIO)
        .and_matching(
            M("query_duration_seconds").where(success="success").increase(slo.FAST).at_least(slo.LEAST_QUERIES)
        ),
        "Most questions are slow",
        "{{ $value | humanizePercentage }} of the answers of {{ $labels.job }} take longer than 2 seconds.",
        (OVERVIEW, "Slow answers"),
        hold="1m",
    ),
    Alert(
        "HighQueryLatency",
        "warning",
        signals.latency_quantile(M, slo.USUAL)
        .above(slo.LATENCY_BOUND)
        .and_matching(
            M("query_duration_seconds").where(success="success").increase(slo.USUAL).at_least(slo.LEAST_QUERIES),
        ),
        "High query latency",
        "One question in twenty to {{ $labels.job }} takes longer than {{ $value | humanizeDuration }}.",
        (OVERVIEW, "Response time"),
        hold="2m",
        felt=True,
    ),
    Alert(
        "SqlSynthesizerOverloaded",
        "warning",
        signals.overload_ratio(M, slo.FAST)
        .above(slo.OVERLOAD_RATIO)
        .and_matching(
            M("question_outcomes_total")
            .where(reason="overloaded")
            .increase(slo.FAST, keep=("instance",))
            .at_least(slo.LEAST_REFUSALS)
        ),
        "SQL Synthesizer refuses questions for overload",
        "{{ $value | humanizePercentage }} of the questions to {{ $labels.instance }} are refused because as many as "
        "may run at once are running.",
        (OVERVIEW, "Refused for overload"),
        hold="1m",
        felt=True,
    ),
    Alert(
        "SqlSynthesizerRestarting",
        "warning",
        M("worker_start_time_seconds").over("changes", "15m").above(slo.RESTARTS),
        "SQL Synthesizer restarts again and again",
        'A worker of {{ $labels.instance }} started {{ $value | printf "%.0f" }} times within 15 minutes.',
        (OVERVIEW, "Worker starts"),
    ),
    Alert(
        "SqlSynthesizerProcessKilled",
        "warning",
        signals.killed_processes(M, "15m").above(0),
        "A process of SQL Synthesizer was killed",
        "A signal ended {{ $labels.part }} of {{ $labels.instance }} within 15 minutes, perhaps the kernel's for "
        "want of "
        "memory. What it had in hand was lost; it was started again.",
        (OVERVIEW, "Processes killed"),
        felt=True,
    ),
    Alert(
        "HighMemoryUsage",
        "warning",
        signals.memory_use(M, slo.USUAL).above(slo.MEMORY_BYTES),
        "High memory usage",
        "The processes of {{ $labels.instance }} hold {{ $value | humanize1024 }}B of memory.",
        (OVERVIEW, "Memory"),
        hold="5m",
    ),
    Alert(
        "HighCPUUsage",
        "warning",
        signals.cpu_use(M, slo.USUAL).above(slo.CPU_PERCENT),
        "High CPU usage",
        'The processes of {{ $labels.instance }} use {{ $value | printf "%.0f" }}% of the CPU time that they may use.',
        (OVERVIEW, "CPU"),
        hold="5m",
    ),
)
