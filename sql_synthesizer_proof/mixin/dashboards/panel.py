"""The shape of a dashboard: rows of panels, and what a panel shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sql_synthesizer.monitoring import catalog
from sql_synthesizer_proof.mixin.alert import SERVICE, dashboard_uid
from sql_synthesizer_proof.mixin.promql import Expr, Scope

P = Scope('job=~"$job"', 'instance=~"$instance"')
"""What panels look at: the jobs and instances chosen at the top of the dashboard."""
OWN = Scope(f'job="{catalog.JOB}"', 'instance=~"$instance"')
"""For Prometheus' own metrics of the service's targets, as those of all jobs would be too many."""
FIRING = Scope(f'service="{SERVICE}"', 'alertstate="firing"').foreign("ALERTS")
W = "$__rate_interval"
"""At least four scrapes, and as wide as a pixel stands for."""
HOUR = "1h"

PanelKind = Literal["timeseries", "stat", "table", "heatmap", "state-timeline"]


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """A query and the legend of its series."""

    expr: Expr
    legend: str
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. ``bounds`` are alert thresholds, drawn as lines or colours; ``low`` means that less is worse.

    ``width`` is in Grafana's 24 columns, ``words`` names the values 0 and 1, ``names`` shows what series are called
    instead of their values, ``empty`` is shown where no data is. Alerts compare with a bound times ``per``.
    """

    title: str
    description: str
    targets: tuple[PanelQuery, ...]
    unit: str = "short"
    kind: PanelKind = "timeseries"
    width: int = 8
    bounds: tuple[float, ...] = ()
    low: bool = False
    stacked: bool = False
    least: float | None = 0.0
    most: float | None = None
    decimals: int | None = None
    words: tuple[str, str] | None = None
    names: bool = False
    per: float = 1.0
    empty: str = "No data"

    @classmethod
    def show_ratio(cls, title: str, description: str, query: tuple[PanelQuery, ...], bound: float, **how: Any) -> Panel:
        """A share, 0 to 1, with the threshold of its alert."""
        return cls(title, description, query, "percentunit", bounds=(bound,), **how)

    @classmethod
    def show_states(cls, title: str, description: str, queries: tuple[PanelQuery, ...], **how: Any) -> Panel:
        """Whether something is up, over time."""
        return cls(title, description, queries, "none", "state-timeline", **{"words": ("down", "up"), **how})


@dataclass(frozen=True, slots=True)
class PanelRow:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard; ``key`` names its file and its uid."""

    key: str
    title: str
    description: str
    rows: tuple[PanelRow, ...]
    since: str = "now-3h"

    @property
    def uid(self) -> str:
        """The stable identifier."""
        return dashboard_uid(self.key)

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every panel."""
        return tuple(panel for row in self.rows for panel in row.panels)


def one_query(expr: Expr, legend: str, *, exemplars: bool = False) -> tuple[PanelQuery, ...]:
    """The one query of a panel."""
    return (PanelQuery(expr, legend, exemplars),)
