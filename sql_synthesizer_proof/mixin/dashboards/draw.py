"""Draws a dashboard as Grafana's JSON, through its builders."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from string import ascii_uppercase
from typing import Any

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from sql_synthesizer.monitoring import catalog
from sql_synthesizer_proof.mixin.alert import SERVICE, Links
from sql_synthesizer_proof.mixin.alerts import ALERTS
from sql_synthesizer_proof.mixin.dashboards.panel import FIRING, Dashboard, P, Panel, PanelKind, PanelQuery
from sql_synthesizer_proof.mixin.promql import Expr

SOURCE = shapes.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHTS = {"stat": 6}
JUST_ABOVE = 0.01
"""Where red begins when an alert fires above 0: Grafana's steps begin at their value, not above it."""
GREEN, RED, BLUE = "green", "red", "blue"


def draw_dashboard(page: Dashboard, links: Links) -> str:
    """The file of a dashboard, each panel with links to the runbooks of the alerts that look at it."""
    builder = (
        dashboard.Dashboard(page.title)
        .uid(page.uid)
        .description(page.description)
        .tags([SERVICE])
        .timezone("browser")
        .refresh("30s")
        .time(page.since, "now")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .variables(_build_variables())
        .annotations([_alert_annotation(), _deployment_annotation()])
        .links([_dashboards_link()])
    )
    drawn = _encode_model(builder.build())
    drawn["panels"] = list(_place_panels(page, links))
    return json.dumps(drawn, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _encode_model(built: object) -> Any:
    """As JSON, without the placement of links and annotations: the builder hides them in a menu."""
    made = json.loads(json.dumps(built, cls=JSONEncoder))
    for shown in [*made.get("annotations", {}).get("list", ()), *made.get("links", ())]:
        del shown["placement"]
    return made


def _place_panels(page: Dashboard, links: Links) -> Iterator[object]:
    """Panels from left to right, rows from top to bottom, numbered from 1."""
    count, top = 0, 0
    for row in page.rows:
        count += 1
        heading = dashboard.Row(row.title).id(count).grid_pos(model.GridPos(h=1, w=24, x=0, y=top))
        yield _encode_model(heading.build())
        top, left, tallest = top + 1, 0, 0
        for panel in row.panels:
            count += 1
            height = HEIGHTS.get(panel.kind, 8)
            if left + panel.width > 24:
                top, left, tallest = top + tallest, 0, 0
            place = model.GridPos(h=height, w=panel.width, x=left, y=top)
            builder = _build_panel(panel).id(count).grid_pos(place).links(_runbook_links(page.key, panel, links))
            yield _encode_model(builder.build())
            left, tallest = left + panel.width, max(tallest, height)
        top += tallest


def _runbook_links(key: str, panel: Panel, links: Links) -> list[dashboard.DashboardLink]:
    names = dict.fromkeys(alert.name for alert in ALERTS if alert.panel == (key, panel.title))
    return [
        dashboard.DashboardLink(f"Runbook: {name}")
        .type(model.DashboardLinkType.LINK)
        .url(links.runbooks.format(name=name))
        .target_blank(True)
        for name in names
    ]


def _build_panel(panel: Panel) -> Any:
    make_builder, style = _KINDS[panel.kind]
    builder = (
        make_builder()
        .title(panel.title)
        .description(panel.description)
        .datasource(SOURCE)
        .unit(panel.unit)
        .no_value(panel.empty)
        .targets([_build_query(t, ascii_uppercase[n], panel.kind) for n, t in enumerate(panel.targets)])
        .thresholds(_build_thresholds(panel))
    )
    if panel.least is not None and panel.words is None:
        builder.min(panel.least)
    if panel.most is not None:
        builder.max(panel.most)
    if panel.decimals is not None:
        builder.decimals(panel.decimals)
    if panel.words is not None:
        builder.mappings([_value_mapping(*panel.words)])
    return style(builder, panel)


def _build_query(target: PanelQuery, name: str, kind: str) -> prometheus.Dataquery:
    query = (
        prometheus.Dataquery()
        .datasource(SOURCE)
        .expr(str(target.expr))
        .legend_format(target.legend)
        .ref_id(name)
        .exemplar(target.exemplars)
    )
    query = query.instant() if kind in ("stat", "table") else query.range()
    formats = {"table": PromQueryFormat.TABLE, "heatmap": PromQueryFormat.HEATMAP}
    return query.format(formats.get(kind, PromQueryFormat.TIME_SERIES))


def _build_thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    """Red beyond the bound, or below it; a metric that nobody is alerted about is blue."""
    if panel.words is not None:
        colours: list[tuple[float | None, str]] = [(None, RED), (1.0, GREEN)]
    elif not panel.bounds:
        colours = [(None, BLUE)]
    elif panel.low:
        colours = [(None, RED), *((bound, GREEN) for bound in sorted(panel.bounds))]
    else:
        colours = [(None, GREEN), *((bound or JUST_ABOVE, RED) for bound in sorted(panel.bounds))]
    steps = [model.Threshold(value=value, color=colour) for value, colour in colours]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _value_mapping(zero: str, one: str) -> model.ValueMapping:
    results = {
        "0": model.ValueMappingResult(text=zero, color=RED, index=0),
        "1": model.ValueMappingResult(text=one, color=GREEN, index=1),
    }
    return model.ValueMap(options=results)


def _style_timeseries(builder: Any, panel: Panel) -> Any:
    legend = common.VizLegendOptions().show_legend(True).display_mode(shapes.LegendDisplayMode.LIST)
    builder.legend(legend.placement(shapes.LegendPlacement.BOTTOM))
    builder.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    builder.show_points(shapes.VisibilityMode.NEVER).fill_opacity(30 if panel.stacked else 8).line_width(1)
    if panel.stacked:
        builder.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if panel.bounds:
        builder.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    return builder


def _style_stat(builder: Any, panel: Panel) -> Any:
    builder.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields(""))
    builder.color_mode(shapes.BigValueColorMode.VALUE if panel.bounds else shapes.BigValueColorMode.NONE)
    if panel.names:
        return builder.text_mode(shapes.BigValueTextMode.NAME).graph_mode(shapes.BigValueGraphMode.NONE)
    return builder.text_mode(shapes.BigValueTextMode.AUTO).graph_mode(shapes.BigValueGraphMode.NONE)


def _style_states(builder: Any, _panel: Panel) -> Any:
    return builder.show_value(shapes.VisibilityMode.NEVER).merge_values(True).row_height(0.8)


def _style_table(builder: Any, _panel: Panel) -> Any:
    """Name, severity and team, the grave ones first."""
    hidden = dict.fromkeys(("Time", "Value", "__name__", "alertstate", "service"), True)
    order = {"alertname": 0, "severity": 1, "team": 2}
    options = {"excludeByName": hidden, "indexByName": order, "renameByName": {"alertname": "alert"}}
    builder.with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    return builder.sort_by([common.TableSortByFieldState().display_name("severity").desc(False)])


def _style_heatmap(builder: Any, panel: Panel) -> Any:
    """The panel's unit is of the axis; cells are counts."""
    builder.unit("short").cell_values(heatmap.CellValues().unit("short"))
    return builder.y_axis(heatmap.YAxisConfig().unit(panel.unit))


_KINDS: dict[PanelKind, tuple[Callable[[], Any], Callable[[Any, Panel], Any]]] = {
    "timeseries": (timeseries.Panel, _style_timeseries),
    "stat": (stat.Panel, _style_stat),
    "state-timeline": (statetimeline.Panel, _style_states),
    "table": (table.Panel, _style_table),
    "heatmap": (heatmap.Panel, _style_heatmap),
}
"""Kind of a panel -> its builder, and what it looks like."""


def _build_variables() -> list[Any]:
    up = f"{catalog.PREFIX}app_up"
    return [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _build_query_variable("job", f"label_values({up}, job)"),
        _build_query_variable("instance", f'label_values({up}{{job=~"$job"}}, instance)'),
    ]


def _build_query_variable(name: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .query({"query": query, "refId": name})
        .definition(query)
        .datasource(SOURCE)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(model.VariableOption(selected=True, text=["All"], value=["$__all"]))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def _alert_annotation() -> dashboard.AnnotationQuery:
    """When an alert fired."""
    firing = FIRING.where(severity=("critical", "warning")).selector()
    return _build_annotation("Alerts", RED, firing, "{{alertname}}").tag_keys("severity,team")


def _deployment_annotation() -> dashboard.AnnotationQuery:
    """When a version first appeared."""
    now, before = (P("build_info").grouped("max", "job", "version", offset=offset) for offset in ("", "5m"))
    return _build_annotation("Deployments", BLUE, now.unless(before), "{{version}} deployed")


def _build_annotation(name: str, colour: str, expr: Expr, title: str) -> dashboard.AnnotationQuery:
    query = dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).hide(False)
    return query.icon_color(colour).expr(str(expr)).title_format(title)


def _dashboards_link() -> dashboard.DashboardLink:
    return (
        dashboard.DashboardLink("SQL Synthesizer")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([SERVICE])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
    )
