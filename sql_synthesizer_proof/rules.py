"""The rule files of Prometheus and the routes of Alertmanager, as they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
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
        "keep_firing_for": str,
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


class Route(TypedDict, total=False):
    """What is looked at of a route of Alertmanager."""

    receiver: str
    matchers: list[str]
    group_wait: str
    routes: list[Route]


def find_route(route: Route, labels: Mapping[str, str]) -> Route:
    """The route that an alert takes, with what it inherits: the first that matches, as deep as one does."""
    for child in route.get("routes", ()):
        if all(_is_satisfied(matcher, labels) for matcher in child.get("matchers", ())):
            return find_route({**route, "routes": [], **child}, labels)
    return route


def _is_satisfied(matcher: str, labels: Mapping[str, str]) -> bool:
    found = re.fullmatch(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"?(.*?)"?\s*', matcher)
    if found is None:
        return False
    name, operator, value = found.groups()
    given = labels.get(name, "")
    equal = bool(re.fullmatch(value, given)) if "~" in operator else given == value
    return equal != operator.startswith("!")
