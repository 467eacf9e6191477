"""The objects of deploy/kubernetes, rendered."""

from __future__ import annotations

from typing import Any

from tests.deploy.kustomize import render
from tests.deploy.support import ROOT

HERE = ROOT / "deploy/kubernetes"
PLACES = {"base": HERE / "base", "scaled": HERE / "overlays/scaled"}
OBJECTS = {place: render(path) for place, path in PLACES.items()}


def find(place: str, kind: str) -> list[dict[str, Any]]:
    return [o for o in OBJECTS[place] if o["kind"] == kind]


def stateful_set(place: str) -> dict[str, Any]:
    (found,) = find(place, "StatefulSet")
    return found["spec"]


def pod(place: str) -> dict[str, Any]:
    return stateful_set(place)["template"]["spec"]


def container(place: str) -> dict[str, Any]:
    (found,) = pod(place)["containers"]
    return found


def environment(place: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(place)["env"]}
