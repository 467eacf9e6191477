"""The service's own telemetry."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import HERE, Case, Text, counter, expected, gauge, listed, metric, own, ramp
from tests.rules.shapes import count, first, level

folded = partial(own, "last_fold_age_seconds")


def stands(at: int, until: int, step: int) -> str:
    """The age of the last fold of a process that folds until ``at``."""
    return listed([max(0, now - at) for now in range(0, until, step)])


stalled = partial(Case, "SqlSynthesizerTelemetryStalled", alerts=(HERE,))
STALLED = [
    stalled(
        "one of two instances stands still",
        {folded("a"): stands(100, 200, 1), folded("b"): stands(200, 200, 1)},
        firing=(148,),
        quiet=(129, 142),
        step=1,
    ),
    stalled("it goes on", {folded(): f"{stands(300, 600, 15)} 0 0 0 0"}, firing=(585,), quiet=(615,)),
    stalled(
        "seen every 15 s",
        {folded(): stands(300, 600, 15)},
        firing=(390,),
        quiet=(300,),
        fault=300,
        text=Text(
            "critical",
            "The telemetry of SQL Synthesizer stands still",
            "What happens on a has not reached its metrics for 1m 30s: the other alerts see the past.",
            "monitoring-health",
            labels='detection="fast"',
        ),
    ),
]

clock = partial(own, "clock_timestamp_seconds")
skewed = partial(Case, "SqlSynthesizerClockSkew", alerts=(HERE,))
SKEW = [
    *(
        skewed(
            f"{offset:+d} s on one of two instances",
            {clock("a"): ramp(offset, 1, 900), clock("b"): ramp(0, 1, 900)},
            **expected(abs(offset) > 10, 600),
        )
        for offset in (60, -60, 11, -11, 9, -9)
    ),
    skewed(
        "an hour behind, until it is set",
        {clock(): f"{ramp(-3600, 1, 600)} {ramp(615, 1, 600)}"},
        firing=(315, 600),
        quiet=(285, 630),
        text=Text(
            "warning",
            "The clock of a is wrong",
            "The clock of a and that of Prometheus are 1h 0m 0s apart. Records, keys and sessions have times "
            "that are not.",
            "monitoring-health",
        ),
    ),
]

uncounted = partial(own, "uncounted_events_total", event_type="query_execution")
UNCOUNTED = [
    *first("SqlSynthesizerEventsUncounted", uncounted, 300, alerts=(HERE,)),
    Case(
        "SqlSynthesizerEventsUncounted",
        "of two types",
        {uncounted(): counter((900, 0.02)), uncounted(event_type="job_change"): counter((900, 0.02))},
        firing=(900,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "A process was killed before it had counted all",
            "About 12 security events of a are on the audit record and in no other counter: a process was killed.",
            "monitoring-health",
        ),
    ),
]

dropped = partial(own, "telemetry_dropped_total", signal="logs")
LOGS = f'signal="logs",{HERE}'
DROPPING = [
    *first("SqlSynthesizerTelemetryDropping", dropped, 300, alerts=(LOGS,)),
    Case(
        "SqlSynthesizerTelemetryDropping",
        "lines are dropped, spans are not",
        {
            dropped("a"): counter((900, 0.04)),
            dropped("b"): counter((900, 0)),
            dropped(signal="traces"): counter((900, 0)),
        },
        firing=(900,),
        alerts=(LOGS,),
        text=Text(
            "warning",
            "SQL Synthesizer drops logs telemetry",
            "About 12 facts of a were dropped within 5 minutes. Metrics, spans or log lines are "
            "incomplete; the audit record is not.",
            "monitoring-health",
            labels='hours="any"',
        ),
    ),
]

labels = partial(own, "label_values_refused_total")
REFUSED = [
    *count("SqlSynthesizerLabelValuesRefused", labels, 100, 600, alerts=(HERE,), local=True),
    Case(
        "SqlSynthesizerLabelValuesRefused",
        "120 in 10 minutes",
        {labels(): counter((900, 0.2))},
        firing=(900,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "Unknown label values reach the metrics",
            "120 label values of a were outside their vocabulary within 10 minutes and were counted as 'other'.",
            "monitoring-health",
        ),
    ),
]

samples, took = partial(metric, "scrape_samples_post_metric_relabeling"), partial(metric, "scrape_duration_seconds")
SCRAPES = [
    *level("SqlSynthesizerSeriesExplosion", samples, healthy=3900, bad=4100, hold=600),
    Case(
        "SqlSynthesizerSeriesExplosion",
        "4500 samples",
        {samples(): gauge((900, 4500))},
        firing=(900,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "SQL Synthesizer exports too many series",
            "a exports 4500 samples; beyond the scrape limit all of them are lost.",
            "monitoring-health",
        ),
    ),
    *level("SqlSynthesizerScrapeSlow", took, healthy=4.9, bad=5.1, hold=300),
    Case(
        "SqlSynthesizerScrapeSlow",
        "9 s",
        {took(): gauge((900, 9))},
        firing=(900,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "Scrapes of SQL Synthesizer are slow",
            "A scrape of a takes 9s; at the time limit it fails.",
            "monitoring-health",
        ),
    ),
]

taken = partial(own, "config_last_reload_successful")
removed = partial(own, "metrics_directory_losses_total")
SUPERVISION = [
    Case(
        "SqlSynthesizerReloadRefused",
        "refused by one of two instances, and taken in later",
        {taken("a"): gauge((300, 1), (600, 0), (300, 1)), taken("b"): gauge((1200, 1))},
        firing=(315, 885),
        quiet=(285, 915),
        alerts=(HERE,),
    ),
    Case(
        "SqlSynthesizerReloadRefused",
        "refused",
        {taken(): gauge((600, 0))},
        firing=(585,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "SQL Synthesizer runs on old settings",
            "What files say was refused when a was told to reload; the last settings stay in force, and a restart "
            "would fail.",
            "monitoring-health",
        ),
    ),
    *first("SqlSynthesizerMetricsLost", removed, 900, alerts=(HERE,)),
    Case(
        "SqlSynthesizerMetricsLost",
        "twice",
        {removed(): counter((900, 2 / 900))},
        firing=(900,),
        alerts=(HERE,),
        text=Text(
            "warning",
            "The metric files of SQL Synthesizer were removed",
            "The directory of metric files of a was gone and was made anew: counters began at 0, and what was counted "
            "since the last scrape is lost.",
            "monitoring-health",
        ),
    ),
]

CASES = (*STALLED, *SKEW, *UNCOUNTED, *DROPPING, *REFUSED, *SCRAPES, *SUPERVISION)
