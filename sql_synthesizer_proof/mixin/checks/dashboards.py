"""The dashboards as Grafana reads them, and the panels that alerts refer to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from grafana_foundation_sdk.models import units

from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.dashboards.panel import Dashboard
from sql_synthesizer_proof.mixin.lint import Lint, find_thresholds
from sql_synthesizer_proof.mixin.promql import format_number

TYPES = ("timeseries", "stat", "table", "heatmap", "logs", "bargauge", "state-timeline", "text")
UNITS = {value for value in vars(units).values() if isinstance(value, str)}
SCHEMA = 41
"""Least version of Grafana's dashboard schema, of Grafana 11.6."""


class _Target(TypedDict, total=False):
    refId: str
    expr: str
    legendFormat: str
    datasource: dict[str, str]


class DrawnPanel(TypedDict, total=False):
    """What is looked at of a panel as Grafana reads it; a row has ``panels``."""

    id: int
    type: str
    title: str
    description: str
    gridPos: dict[str, int]
    datasource: dict[str, str]
    targets: list[_Target]
    fieldConfig: dict[str, dict[str, object]]
    options: dict[str, dict[str, list[str]]]
    panels: list[DrawnPanel]


class Page(TypedDict, total=False):
    """What is looked at of a dashboard as Grafana reads it."""

    title: str
    uid: str
    tags: list[str]
    schemaVersion: int
    editable: bool
    refresh: str
    panels: list[DrawnPanel]
    templating: dict[str, list[Mapping[str, object]]]
    annotations: dict[str, list[Mapping[str, str]]]


def page_faults(name: str, page: Page, recorded: frozenset[str]) -> Iterator[str]:
    """The faults of one dashboard; ``name`` is its file's."""
    if "panels" not in page:
        yield f"{name}: it is no dashboard: panels, variables and annotations stand at the top level"
        return
    faults = [*_frame_faults(page), *_variable_faults(page), *_layout_faults(page["panels"])]
    for panel in list_panels(page):
        faults += [f"panel {panel.get('title')}: {fault}" for fault in _panel_faults(panel, recorded)]
    for annotation in page.get("annotations", {}).get("list", ()):
        found = Lint(recorded).check_expression(annotation["expr"]) if "expr" in annotation else ()
        faults += [f"annotation {annotation['name']}: {fault}" for fault in found]
    yield from (f"{name}: {fault}" for fault in faults)


def read_dashboards(place: Path) -> dict[str, Page]:
    """File name -> dashboard, of every one in a directory."""
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(place.glob("*.json"))}


def list_panels(page: Page) -> Iterator[DrawnPanel]:
    """Every panel, also those in collapsed rows."""
    for panel in page.get("panels", ()):
        if panel.get("type") == "row":
            yield from panel.get("panels", ())
        else:
            yield panel


def panel_expressions(page: Page) -> list[str]:
    """Every query of a dashboard's panels."""
    return [target["expr"] for panel in list_panels(page) for target in panel.get("targets", ()) if "expr" in target]


def uid_faults(pages: dict[str, Page]) -> Iterator[str]:
    """Dashboards that would overwrite each other."""
    uids = [page.get("uid") for page in pages.values()]
    yield from (f"{name}: another dashboard has its uid" for name, p in pages.items() if uids.count(p.get("uid")) > 1)


def _frame_faults(page: Page) -> Iterator[str]:
    if not page.get("title") or not re.fullmatch(r"[a-z0-9-]{8,40}", page.get("uid", "")):
        yield "it needs a title and a uid of 8 to 40 characters"
    if page.get("schemaVersion", 0) < SCHEMA or page.get("editable", True) or not page.get("tags"):
        yield f"it needs schemaVersion {SCHEMA} or more, editable false, and tags"
    if "id" in page or "version" in page:
        yield "id and version belong to one Grafana, not into the file"
    if not re.fullmatch(r"[3-9]\ds|[1-9]\d*m", page.get("refresh", "")):
        yield "it must not refresh more often than every 30 s"


def _variable_faults(page: Page) -> Iterator[str]:
    variables = {variable["name"]: variable for variable in page.get("templating", {}).get("list", ())}
    if [v.get("query") for v in variables.values() if v.get("type") == "datasource"] != ["prometheus"]:
        yield "it needs exactly one data source variable, of Prometheus"
    for name in ("job", "instance"):
        variable = variables.get(name, {})
        if not (variable.get("multi") and variable.get("allValue") == ".+" and variable.get("refresh") == 2):
            yield f"the variable {name} must take several values, all as .+, and follow the time range"


def _layout_faults(panels: list[DrawnPanel]) -> Iterator[str]:
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


def _panel_faults(panel: DrawnPanel, recorded: frozenset[str]) -> Iterator[str]:
    if panel.get("type") == "text":
        return
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if panel.get("type") not in TYPES:
        yield f"the type {panel.get('type')} is not one that Grafana still has"
    if not panel.get("description") or not defaults.get("noValue"):
        yield "it needs a description, and a text for when there is no data"
    if defaults.get("unit") not in UNITS:
        yield f"Grafana has no unit {defaults.get('unit')}"
    calcs = panel.get("options", {}).get("reduceOptions", {}).get("calcs")
    if panel.get("type") == "stat" and calcs != ["lastNotNull"]:
        yield "a stat shows the last value"
    targets = panel.get("targets", [])
    if any(holder.get("datasource", {}).get("uid") != "${datasource}" for holder in (panel, *targets)):
        yield "the data source must be the variable"
    names = [target.get("refId") for target in targets]
    if not names or len(set(names)) != len(names):
        yield "it needs targets with names of their own"
    for target in targets:
        yield from (f"target {target.get('refId')}: {fault}" for fault in _target_faults(target, recorded))


def _target_faults(target: _Target, recorded: frozenset[str]) -> Iterator[str]:
    if not target.get("refId") or not target.get("legendFormat"):
        yield "it needs a name and a legend"
    if "expr" not in target:
        yield "it has no query"
        return
    if re.search(r"\brate\([^[]*\[\$__interval\]", target["expr"]):
        yield "a rate looks back over $__rate_interval"
    yield from Lint(recorded).check_expression(target["expr"])


def alert_faults(alerts: tuple[Alert, ...], pages: tuple[Dashboard, ...]) -> Iterator[str]:
    """Alerts whose panel is missing, shows other metrics, or draws another threshold."""
    panels = {(page.key, panel.title): panel for page in pages for panel in page.panels}
    for alert in alerts:
        panel = panels.get(alert.panel)
        if panel is None:
            yield f"alert {alert.name}: there is no panel {' › '.join(alert.panel)}"
            continue
        looked = names_in(str(alert.expr))
        if looked and not looked & names_in(" ".join(str(target.expr) for target in panel.targets)):
            yield f"alert {alert.name}: panel {panel.title} shows none of {', '.join(sorted(looked))}"
        drawn = {round(bound * panel.per, 9) for bound in panel.bounds}
        if not find_thresholds(str(alert.expr)) <= drawn:
            places = ", ".join(format_number(bound) for bound in sorted(drawn)) or "nowhere"
            yield f"alert {alert.name}: panel {panel.title} draws its threshold at {places}"


def names_in(text: str) -> set[str]:
    """Every series that an expression selects, recorded ones too, by the names of their metrics."""
    found = set(
        re.findall(r"job:\w+:\w+|\b(?:sql_synthesizer|prometheus|alertmanager|scrape)_\w+|\bup\b|\bALERTS\b", text)
    )
    return {re.sub(r"_(bucket|count|sum)$|:ratio_rate\w+$|:rate\w+$", "", name) for name in found}
