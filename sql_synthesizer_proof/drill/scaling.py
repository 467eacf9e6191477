"""Rules with shortened windows and holds, for alerts that look back for hours."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from sql_synthesizer.monitoring.slo import duration_seconds
from sql_synthesizer.operate.watchers import shipped_path
from sql_synthesizer_proof.rules import Rule, read_groups

FACTOR = 60
"""What windows and holds are divided by."""
INTERVAL = "1s"
"""Of scrapes and evaluations, so that the shortest window still holds a few."""
RATE = 1.5
"""Requests a second of the ordinary load: few, so that a fault can be most of what happens."""


def scale_duration(duration: str) -> str:
    """The duration divided by FACTOR."""
    return f"{duration_seconds(duration) * 1000 / FACTOR:.0f}ms"


def scale_rules(alerts: Collection[str], files: Path | None = None) -> dict[str, str]:
    """The rule files with windows and holds of these alerts, and of all recording rules, divided by FACTOR.

    ``files`` is a directory like ``monitoring`` whose rules are taken instead.
    """
    texts = {}
    root = files or shipped_path("monitoring")
    for name in ("alerts.yml", "recording.yml"):
        groups = read_groups(root / "prometheus" / name)
        for group in groups:
            if "interval" in group:
                group["interval"] = INTERVAL
            for rule in group["rules"]:
                if rule.get("alert") is None or rule["alert"] in alerts:
                    _scale_rule(rule)
        texts[name] = yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)
    return texts


def _scale_rule(rule: Rule) -> None:
    rule["expr"] = re.sub(r"\[(\d+[smhd])\]", lambda found: f"[{scale_duration(found[1])}]", rule["expr"])
    if "for" in rule:
        rule["for"] = scale_duration(rule["for"])


def scale_configuration(config: dict[str, Any]) -> None:
    """Makes a Prometheus scrape and evaluate each second."""
    config["global"] |= {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
