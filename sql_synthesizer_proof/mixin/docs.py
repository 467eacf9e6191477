"""The reference pages under docs/: metrics, events, settings and errors, each read off its one definition."""

from __future__ import annotations

from sql_synthesizer.errors import SqlSynthesizerError, tree
from sql_synthesizer.monitoring.catalog import METRICS, PREFIX
from sql_synthesizer.settings import DatabaseSettings, Settings, environment_name
from sql_synthesizer.telemetry.vocabulary import EVENTS, OPERATIONS, SECURITY_EVENTS
from sql_synthesizer_proof.mixin import watching
from sql_synthesizer_proof.mixin.markdown import page, table

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


def pages() -> dict[str, str]:
    """File name under docs/ -> its text."""
    return {
        "metrics.md": _metrics(),
        "alerts.md": watching.alerts(),
        "events.md": _events(),
        "settings.md": _settings(),
        "errors.md": _errors(),
    }


def _metrics() -> str:
    watchers = watching.watchers()
    rows = [
        (
            f"`{PREFIX}{metric.name}`",
            metric.kind,
            ", ".join(f"`{name}`" for name in metric.label_names) or "none",
            metric.help,
            ", ".join(sorted({feed.source.name if feed.source else "exporter" for feed in metric.feeds}))
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
    return page(
        "Metrics",
        "Every metric that the service exports. A label takes only the values below; anything else becomes `other`.",
        table(["metric", "kind", "labels", "meaning", "fed from", "watched by"], rows),
        "## Label values\n",
        table(["label", "values"], words),
    )


def _events() -> str:
    security = [(f"`{e.name}`", e.severity, e.help, f"`{e.owasp}`" * bool(e.owasp)) for e in SECURITY_EVENTS.values()]
    others = [(f"`{e.name}`", e.help) for e in EVENTS.values() if not e.audited]
    operations = [
        (f"`{o.name}`", ", ".join(f"`{v.name}`" for v in o.labels) or "none", f"`{o.event}`" if o.event else "")
        for o in OPERATIONS.values()
    ]
    return page(
        "Events and operations",
        "What the service reports. Each security event leaves one audit record and counts once in "
        f"`{PREFIX}security_events_total`.",
        "## Security events\n",
        table(["event", "severity", "meaning", "OWASP name"], security),
        "## Other events\n",
        table(["event", "meaning"], others),
        "## Operations\n",
        table(["operation", "labels", "event when it ends"], operations),
    )


def _default(name: str) -> str:
    default = Settings.model_fields[name].default
    return "none" if default in (None, "") else f"`{default}`"


def _settings() -> str:
    rows = [
        (
            f"`{environment_name(name)}`",
            _default(name),
            (field.json_schema_extra or {}).get("unit", "") if isinstance(field.json_schema_extra, dict) else "",
            field.description,
        )
        for name, field in Settings.model_fields.items()
    ]
    database = [
        (f"`{name}`", field.description, "required" if field.is_required() else "optional")
        for name, field in DatabaseSettings.model_fields.items()
    ]
    return page(
        "Settings",
        "Environment variables, all validated at start. A secret may be given as a file: `<VARIABLE>_FILE` names it.",
        table(["variable", "default", "unit", "meaning"], rows),
        "## Several databases\n",
        f"`{environment_name('databases_file')}` names a YAML file:\n",
        DATABASES_EXAMPLE + "\n",
        table(["key", "meaning", ""], database),
    )


def _errors() -> str:
    classes: list[type[SqlSynthesizerError]] = [cls for cls in tree() if "reason" in vars(cls)]
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
    return page(
        "Errors",
        "Every error is JSON: `reason` (stable), `message`, `hint`, `trace_id`. Only the outcome `failed` counts as a "
        'failure of the service (`success="error"`).',
        table(["reason", "status", "outcome", "security event", "message", "what to do"], rows),
    )
