"""The rule files of Prometheus, as they are read."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, Required, TypedDict

import yaml

Rule = TypedDict(
    "Rule",
    {
        "alert": str,
        "record": str,
        "expr": Required[str],
        "for": str,
        "labels": dict[str, str],
        "annotations": dict[str, str],
    },
    total=False,
)
"""An alerting rule, or a recording one."""


class RuleGroup(TypedDict):
    """Rules that are evaluated together."""

    name: str
    interval: NotRequired[str]
    rules: list[Rule]


def read_groups(*files: Path) -> list[RuleGroup]:
    """The groups of these files; one that is no rule file has none."""
    documents = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]
    return [group for document in documents for group in document.get("groups", ())]
