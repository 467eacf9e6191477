"""The dashboards as Grafana will read them, and the panels as the alerts count on them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.models import units

from sql_synthesizer.monitoring import catalog
from sql_synthesizer.monitoring.mixin.alert import Alert
from sql_synthesizer.monitoring.mixin.dashboards.panel import Dashboard
from sql_synthesizer.monitoring.mixin.lint import Lint, bounds
from sql_synthesizer.monitoring.mixin.promql import number

TYPES = ("timeseries", "stat", "table", "heatmap", "logs", "bargauge", "state-timeline", "text")
UNITS = {value for value in vars(units).values() if isinstance(value, str)}
SCHEMA = 41
"""Least version of Grafana's dashboard schema, of Grafana 11.6."""


def page_faults(file: Path, recorded: frozenset[str]) -> Iterator[str]:
    """The faults of one dashboard file."""
    page = json.loads(file.read_text(encoding="utf-8"))
    if "panels" not in page:
        yield f"{file.name}: it is no dashboard: panels, variables and annotations stand at the top level"
        return
    faults = [*_frame(page), *_variables(page), *_places(page["panels"])]
    for panel in page["panels"]:
        if panel["type"] != "row":
            faults += [f"panel {panel['title']}: {fault}" for fault in _panel(panel, recorded)]
    for annotation in page["annotations"]["list"]:
        faults += [f"annotation {annotation['name']}: {fault}" for fault in Lint(recorded).check(annotation["expr"])]
    yield from (f"{file.name}: {fault}" for fault in faults)


def _frame(page: dict[str, Any]) -> Iterator[str]:
    if not page.get("title") or not re.fullmatch(r"[a-z0-9-]{8,40}", page.get("uid", "")):
        yield "it needs a title and a uid of 8 to 40 characters"
    if page.get("schemaVersion", 0) < SCHEMA or page.get("editable", True) or not page.get("tags"):
        yield f"it needs schemaVersion {SCHEMA} or more, editable false, and tags"
    if "id" in page or "version" in page:
        yield "id and version belong to one Grafana, not into the file"
    if not re.fullmatch(r"[3-9]\ds|[1-9]\d*m", page.get("refresh", "")):
        yield "it must refresh every 30 s or more seldom"


def _variables(page: dict[str, Any]) -> Iterator[str]:
    variables = {variable["name"]: variable for variable in page["templating"]["list"]}
    if [v["query"] for v in variables.values() if v["type"] == "datasource"] != ["prometheus"]:
        yield "it needs exactly one data source variable, of Prometheus"
    for name in ("job", "instance"):
        variable = variables.get(name, {})
        if not (variable.get("multi") and variable.get("allValue") == ".+" and variable.get("refresh") == 2):
            yield f"the variable {name} must take several values, all as .+, and follow the time range"


def _places(panels: list[dict[str, Any]]) -> Iterator[str]:
    taken: dict[tuple[int, int], str] = {}
    ids = [panel["id"] for panel in panels]
    if len(set(ids)) != len(ids) or min(ids, default=1) < 1:
        yield "panel ids must be unique and begin at 1"
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"panel {panel['title']}: it is wider than the page"
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), panel["title"])
                if other != panel["title"]:
                    yield f"panel {panel['title']}: it lies over {other}"
                    return


def _panel(panel: dict[str, Any], recorded: frozenset[str]) -> Iterator[str]:
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] not in TYPES:
        yield f"the type {panel['type']} is not one that Grafana still has"
    if not panel.get("description") or not defaults.get("noValue"):
        yield "it needs a description, and a text for when there is no data"
    if defaults.get("unit") not in UNITS:
        yield f"Grafana has no unit {defaults.get('unit')}"
    if panel["type"] == "stat" and panel["options"]["reduceOptions"]["calcs"] != ["lastNotNull"]:
        yield "a stat shows the last value"
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    if any(source["uid"] != "${datasource}" for source in sources):
        yield "the data source must be the variable"
    names = [target["refId"] for target in panel["targets"]]
    if not names or len(set(names)) != len(names):
        yield "it needs targets with names of their own"
    for target in panel["targets"]:
        if not target.get("legendFormat"):
            yield f"target {target['refId']}: it has no legend"
        if re.search(r"\brate\([^[]*\[\$__interval\]", target["expr"]):
            yield f"target {target['refId']}: a rate looks back over $__rate_interval"
        yield from (f"target {target['refId']}: {fault}" for fault in Lint(recorded).check(target["expr"]))


def alert_faults(alerts: tuple[Alert, ...], pages: tuple[Dashboard, ...]) -> Iterator[str]:
    """Alerts whose panel is missing, shows other metrics, or draws the line elsewhere."""
    panels = {(page.key, panel.title): panel for page in pages for panel in page.panels}
    for alert in alerts:
        panel = panels.get(alert.panel)
        if panel is None:
            yield f"alert {alert.name}: there is no panel {' › '.join(alert.panel)}"
            continue
        seen = " ".join(str(target.expr) for target in panel.targets)
        missing = {name for name in metrics_in(str(alert.expr)) if name not in seen}
        if missing and metrics_in(str(alert.expr)) == missing:
            yield f"alert {alert.name}: panel {panel.title} shows none of {', '.join(sorted(missing))}"
        drawn = {number(bound) for bound in panel.bounds}
        if drawn and "burn rate" not in panel.title and not drawn & bounds(str(alert.expr)):
            yield f"alert {alert.name}: panel {panel.title} draws the line at {', '.join(sorted(drawn))}"


def metrics_in(text: str) -> set[str]:
    """The catalogue's metrics that an expression looks at, recorded ones by what they record."""
    return {name for name in catalog.BY_NAME if re.search(rf"\b{name}(_bucket|_count|_sum)?\b", text)}


def unwatched(texts: list[str]) -> Iterator[str]:
    """Metrics that no expression of ``texts`` looks at, and whose row does not say why."""
    seen = set().union(*(metrics_in(text) for text in texts))
    for name, metric in catalog.BY_NAME.items():
        if name not in seen and not metric.unwatched:
            yield f"metric {name}: no alert and no panel looks at it, and its row does not say why"
        if name in seen and metric.unwatched:
            yield f"metric {name}: its row says that nobody watches it, but somebody does"
