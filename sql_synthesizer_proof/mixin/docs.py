"""The reference pages under docs/: metrics, events, settings and errors, each read off its one definition."""

from __future__ import annotations

from sql_synthesizer.errors import SqlSynthesizerError, error_classes
from sql_synthesizer.monitoring.catalog import METRICS, PREFIX
from sql_synthesizer.settings import DatabaseSettings, Settings, environment_name
from sql_synthesizer.telemetry.vocabulary import EVENTS, OPERATIONS, SECURITY_EVENTS
from sql_synthesizer_proof.mixin import watching
from sql_synthesizer_proof.mixin.markdown import format_page, format_table

DATABASES_EXAMPLE = """```yaml
databases:
  shop:
    url: env:SHOP_URL              # or a URL, or file:/run/secrets/shop_url
    sensitive: [customers.email]
    shareable: [orders.status]
  warehouse:
    url: file:/run/secrets/warehouse_url
    schemas: [public]
    hidden: [staff]
    models: false                  # its questions never go to a language model
```"""


def build_pages() -> dict[str, str]:
    """File name under docs/ -> its text."""
    return {
        "metrics.md": _metrics_page(),
        "alerts.md": watching.alerts_page(),
        "events.md": _events_page(),
        "settings.md": _settings_page(),
        "errors.md": _errors_page(),
    }


def _metrics_page() -> str:
    watchers = watching.find_watchers()
    rows = [
        (
            f"`{PREFIX}{metric.name}`",
            metric.kind,
            ", ".join(f"`{name}`" for name in metric.label_names) or "none",
            metric.help,
            ", ".join(sorted({feed.source.name for feed in metric.feeds})) or "exporter"
            if len(metric.feeds) < 6
            else "every security event",
            metric.unwatched or watchers.get(PREFIX + metric.name, "nobody"),
        )
        for metric in METRICS
    ]
    labels = {label.name: label.vocabulary for metric in METRICS for label in metric.labels}
    words = [
        (f"`{name}`", ", ".join(f"`{value}`" for value in sorted(vocabulary.values)))
        if not vocabulary.declared
        else (f"`{name}`", "names from the configuration, at most 64")
        for name, vocabulary in sorted(labels.items())
    ]
    return format_page(
        "Metrics",
        "Every metric that the service exports. A label takes only the values below; anything else becomes `other`.",
        format_table(["metric", "kind", "labels", "meaning", "fed from", "watched by"], rows),
        "## Label values\n",
        format_table(["label", "values"], words),
    )


def _events_page() -> str:
    security = [
        (f"`{e.name}`", e.severity, e.help, f"`{e.owasp}`" if e.owasp else f"none: {e.unnamed}")
        for e in SECURITY_EVENTS.values()
    ]
    others = [(f"`{e.name}`", e.help) for e in EVENTS.values() if not e.audited]
    operations = [
        (f"`{o.name}`", ", ".join(f"`{v.name}`" for v in o.labels) or "none", f"`{o.event}`" if o.event else "")
        for o in OPERATIONS.values()
    ]
    return format_page(
        "Events and operations",
        "What the service reports. Each security event leaves one audit record and counts once in "
        f"`{PREFIX}security_events_total`.",
        "## Security events\n",
        format_table(["event", "severity", "meaning", "OWASP name"], security),
        "## Other events\n",
        format_table(["event", "meaning"], others),
        "## Operations\n",
        format_table(["operation", "labels", "event when it ends"], operations),
    )


def _settings_page() -> str:
    rows = [
        (
            f"`{environment_name(name)}`",
            "none" if field.default in (None, "") else f"`{field.default}`",
            (field.json_schema_extra or {}).get("unit", "") if isinstance(field.json_schema_extra, dict) else "",
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    database = [
        (f"`{name}`", field.description, "required" if field.is_required() else "optional")
        for name, field in DatabaseSettings.model_fields.items()
    ]
    return format_page(
        "Settings",
        "Environment variables, all validated at start. A secret may be given as a file: `<VARIABLE>_FILE` names it.",
        format_table(["variable", "default", "unit", "meaning"], rows),
        "## Several databases\n",
        f"`{environment_name('databases_file')}` names a YAML file:\n",
        DATABASES_EXAMPLE + "\n",
        "Tables and columns are named `table` and `table.column`, also with the schema before, without case.\n"
        "A name of nothing is an error, and a mark follows the data: [Columns](statements.md#columns).\n",
        format_table(["key", "meaning", ""], database),
    )


def _errors_page() -> str:
    classes: list[type[SqlSynthesizerError]] = [cls for cls in error_classes() if "reason" in vars(cls)]
    rows = [
        (
            f"`{cls.reason}`",
            cls.status,
            cls.outcome,
            f"`{cls.event}`" if cls.event else "",
            cls.default_message,
            cls.default_hint,
        )
        for cls in sorted(classes, key=lambda cls: (cls.status, cls.reason))
    ]
    return format_page(
        "Errors",
        "Every error is JSON: `reason` (stable), `message`, `hint`, `trace_id`. Only the outcome `failed` counts as a "
        'failure of the service (`success="error"`).',
        format_table(["reason", "status", "outcome", "security event", "message", "what to do"], rows),
    )
