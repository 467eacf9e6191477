"""Writes every generated file, and checks that those in the repository are equal, right and complete."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer_proof.mixin import docs, rules
from sql_synthesizer_proof.mixin.alert import Links
from sql_synthesizer_proof.mixin.alerts import ALERTS
from sql_synthesizer_proof.mixin.checks import (
    alerts,
    dialects,
    errors,
    events,
    metrics,
    pages,
    routes,
    settings,
    shapes,
)
from sql_synthesizer_proof.mixin.checks import dashboards as panels
from sql_synthesizer_proof.mixin.checks import rules as checks
from sql_synthesizer_proof.mixin.dashboards import DASHBOARDS
from sql_synthesizer_proof.mixin.dashboards.draw import draw_dashboard
from sql_synthesizer_proof.rules import read_groups

ROOT = Path(__file__).parents[2]


def find_repository() -> Path:
    """The checkout that this package belongs to. Raises ConfigurationError where it is installed from a wheel."""
    if not (ROOT / "docs" / "alerts.md").exists():
        raise ConfigurationError(
            "Generated files, documents, runbooks and tests stand in a checkout, and this package is in none.",
            hint="Name one: 'mixin build --output DIRECTORY', 'mixin check --root CHECKOUT'. Without, 'check' looks "
            "at the tables in the code alone.",
        )
    return ROOT


def generate_files(links: Links) -> dict[Path, str]:
    """Every generated file, by its path in the repository."""
    return {
        **{Path("docs") / name: text for name, text in docs.build_pages().items()},
        **{Path("monitoring/prometheus") / name: text for name, text in rules.rule_files(links).items()},
        Path("deploy/kubernetes/base/prometheus-rule.yaml"): rules.kubernetes_object(links),
        **{Path(f"monitoring/grafana/dashboards/{page.key}.json"): draw_dashboard(page, links) for page in DASHBOARDS},
    }


def build_files(root: Path, links: Links) -> list[Path]:
    """Writes the generated files under ``root``; returns those that changed."""
    changed = []
    for path, text in generate_files(links).items():
        target = root / path
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def check_tables() -> Iterator[str]:
    """Every row of a closed table that something in the code is missing for, or that nothing speaks of."""
    yield from events.event_faults()
    yield from errors.error_faults()
    yield from settings.setting_faults()
    yield from metrics.feed_faults()
    yield from alerts.drill_faults(ALERTS)


def check_files(root: Path) -> Iterator[str]:
    """Every fault of the files under ``root``, in words; nothing when all is right."""
    for path, text in generate_files(Links()).items():
        if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != text:
            yield f"{path} is stale: run './run mixin build', then check again"
    prometheus, runbooks = root / "monitoring/prometheus", root / "runbooks"
    recorded = rules.recorded_names()
    loaded = [rule for group in read_groups(*sorted(prometheus.glob("*.yml"))) for rule in group["rules"]]
    yield from checks.rule_faults(loaded)
    yield from checks.bound_faults(ALERTS)
    yield from checks.prometheus_faults(prometheus)
    yield from checks.alertmanager_faults(root / "monitoring/alertmanager/config.yml", loaded)
    drawn = panels.read_dashboards(root / "monitoring/grafana/dashboards")
    for name, page in drawn.items():
        yield from panels.page_faults(name, page, recorded)
    yield from panels.uid_faults(drawn)
    yield from panels.alert_faults(ALERTS, DASHBOARDS)
    looked = [*(rule["expr"] for rule in loaded), *(str(alert.expr) for alert in ALERTS)]
    yield from metrics.metric_faults(
        [*looked, *(expr for page in drawn.values() for expr in panels.panel_expressions(page))]
    )
    yield from alerts.case_faults(root, ALERTS)
    yield from dialects.description_faults(root)
    yield from routes.route_faults(root)
    yield from pages.runbook_faults(runbooks, ALERTS, DASHBOARDS, recorded)
    documents = [root / "README.md", *sorted((root / "docs").glob("*.md")), *sorted(runbooks.glob("*.md"))]
    yield from pages.name_faults(documents, recorded)
    yield from pages.alert_name_faults(sorted(runbooks.glob("*.md")), ALERTS)
    yield from shapes.shape_faults(root / "docs/detection.md")
