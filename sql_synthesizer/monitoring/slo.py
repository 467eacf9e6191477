"""Objectives, thresholds and windows: each number that alerts, panels and documents use, once.

The numbers are proposals to start from. Whoever runs the service changes them here and runs ``mixin build``.
"""

from __future__ import annotations

from dataclasses import dataclass

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration_seconds(duration: str) -> int:
    """A duration of one unit, such as ``2m``, in seconds."""
    return int(duration[:-1]) * UNITS[duration[-1]]


SCRAPE_INTERVAL = 15
EVALUATION_INTERVAL = 15
"""Seconds, as in ``prometheus.yml``; ``mixin check`` compares the two."""
GROUP_WAIT = 10
"""Seconds that Alertmanager holds a critical alert back for others of its group."""
DETECTION_LIMIT = 120
"""Seconds from a fault to its notification, for alerts that are marked ``detection: fast``."""
RETENTION_DAYS = 35
"""Days that Prometheus stores samples: longer than the period of the objectives."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of good events over ``period``; ``budget`` is what may be bad."""

    name: str
    target: float
    period: str = "30d"

    @property
    def budget(self) -> float:
        """The share that may be bad, 0 to 1."""
        return round(1.0 - self.target, 6)


AVAILABILITY = Objective("availability", 0.995)
"""Questions that end without a failure of the service."""
LATENCY = Objective("latency", 0.95)
"""Successful questions that end within ``LATENCY_BOUND``."""
LATENCY_BOUND = 2.0
"""Seconds; a bucket bound of the query histogram."""


@dataclass(frozen=True, slots=True)
class Burn:
    """A multi-window burn-rate alert: both windows spend the budget at ``factor`` times the sustainable rate.

    The factors spend 2 %, 5 %, 10 % and 10 % of a 30-day budget within the long window (Google, The Site
    Reliability Workbook, chapter 5).
    """

    long: str
    short: str
    factor: float
    hold: str
    severity: str


BURNS = (
    Burn("1h", "5m", 14.4, "2m", "critical"),
    Burn("6h", "30m", 6.0, "15m", "critical"),
    Burn("1d", "2h", 3.0, "1h", "warning"),
    Burn("3d", "6h", 1.0, "3h", "warning"),
)

LEAST_BAD = 5
"""Bad events within the long window, about: one failure in a quiet hour spends the budget fast and wakes nobody."""

FAST = "2m"
"""Window of alerts that must arrive within ``DETECTION_LIMIT``."""
USUAL = "5m"

ERROR_RATIO = 0.05
LEAST_QUERIES = 20
"""Queries in the window below which a ratio means nothing; quiet services have the burn rates."""
SLOW_RATIO = 0.5
"""Of successful questions over the latency bound: a brown-out."""
FLAPPING_WINDOW = "10m"
FLAPPING_SHARE = 0.1
"""Of that window spent down, in at least so many changes: down, up, and down again."""
FLAPPING_CHANGES = 3
LATENCY_QUANTILE = 0.95
DATABASE_ERROR_RATIO = 0.25
LEAST_DATABASE_ERRORS = 5
LEAST_DATABASE_QUERIES = 10
"""In ten minutes: a database may have few of the questions."""
POOL_TIMEOUTS = 5
REQUEST_FAILURE_RATIO = 0.05
LEAST_FAILED_REQUESTS = 5
OVERLOAD_RATIO = 0.05
LEAST_REFUSALS = 5

MEMORY_BYTES = 4 * 1024**3
CPU_PERCENT = 80.0
POOL_SATURATION = 0.8
POOL_USED_UP = 1.0
RESTARTS = 2

CACHE_ERROR_RATIO = 0.05
CACHE_DOWN_RATIO = 0.5
LEAST_LOOKUPS_DOWN = 5
CACHE_HIT_RATIO = 0.3
LEAST_LOOKUPS = 100

LLM_FAILURE_RATIO = 0.2
LEAST_FALLBACKS = 5
LLM_SPEND_USD = 10.0
"""US dollars within an hour."""

TEAM_BUDGET_RATIO = 0.8
"""Of a team's budget of the month, used."""

SESSIONS_LEFT = 0.0
"""Database sessions within a quarter of an hour that could not be ended."""
CANARY_FAILURES = 1.5
"""Within five minutes: one that was not answered rightly is asked again half a minute later, so this is twice."""
JOB_AGE_SECONDS = 30.0
"""Age of the oldest job that nobody began."""
JOB_SILENCE_SECONDS = 60.0
"""Since the last sign of a job worker; one is due twice a second."""

SECURITY_EVENTS_PER_SECOND = 10.0
AUTHENTICATION_FAILURES = 20.0
"""Within ten minutes."""
AUDIT_LEAST_BYTES = 1024**3
AUDIT_LOW_BYTES = 10 * 1024**3
"""Free space below which the trend of the audit volume is looked at."""

AUDIT_UNVERIFIED_SECONDS = 93_600.0
"""Without a sound verification of the audit record: a day, and two hours to spare."""

AUDIT_CLOCK_LEAD_SECONDS = 86_400.0
"""By which the clock may be ahead of the time that is known to have passed."""

FOLD_AGE_SECONDS = 30.0
"""Age of the last fold at which the metrics count as stale; a fold is due every 0.2 s."""
CLOCK_SKEW_SECONDS = 10.0
"""Between a host's clock and that of Prometheus; a scrape takes a part of it."""
REFUSED_LABELS = 100.0
"""Within ten minutes."""
METRICS_LOSSES = 0.0
"""Within a quarter of an hour."""
SCRAPE_SECONDS = 5.0
NOTIFICATION_FAILURE_RATIO = 0.01
