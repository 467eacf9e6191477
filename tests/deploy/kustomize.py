"""Renders the part of kustomize that the cluster's files use: resources, and JSON patches for a named target.

Any other field is refused. A test compares the result with kubectl's own where that is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FIELDS = {"apiVersion", "kind", "resources", "patches"}


def render(directory: Path) -> list[dict[str, Any]]:
    """All objects of a kustomization, patched."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text(encoding="utf-8"))
    assert kustomization.keys() <= FIELDS, f"not rendered here: {kustomization.keys() - FIELDS}"
    objects: list[dict[str, Any]] = []
    for resource in kustomization["resources"]:
        path = directory / resource
        objects += render(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    for patch in kustomization.get("patches", []):
        target = patch["target"]
        (found,) = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (target["kind"], target["name"])]
        for operation in yaml.safe_load((directory / patch["path"]).read_text(encoding="utf-8")):
            _apply(found, operation)
    return objects


def _apply(document: Any, operation: dict[str, Any]) -> None:
    *way, last = operation["path"].removeprefix("/").split("/")
    for step in way:
        document = document[int(step) if isinstance(document, list) else step]
    if operation["op"] == "remove":
        del document[last]
    elif operation["op"] == "add" and last == "-":
        document.append(operation["value"])
    else:
        raise AssertionError(f"not rendered here: {operation}")
