"""Copies of the repository with one fault each, and the check that has to name it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sql_synthesizer_proof.mixin.build import ROOT
from tests.support.serving import run_own

Seed = Callable[[Path], None]
"""Makes one fault in a copy."""
COPIED = ("monitoring", "runbooks", "docs", "README.md", "pyproject.toml")
CODE = ("sql_synthesizer", "sql_synthesizer_proof")
ALERTS, RECORDING, PROMETHEUS = (f"monitoring/prometheus/{name}.yml" for name in ("alerts", "recording", "prometheus"))
PAGES = "monitoring/grafana/dashboards"
OVERVIEW, SECURITY = f"{PAGES}/overview.json", f"{PAGES}/security-monitoring.json"


def copy(target: Path, *more: str) -> Path:
    for name in (*COPIED, *more):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / name)
    return target


def replaced(file: str, old: str, new: str) -> Seed:
    def change(root: Path) -> None:
        text = (root / file).read_text(encoding="utf-8")
        assert old in text
        (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def together(*seeds: Seed) -> Seed:
    def change(root: Path) -> None:
        for seed in seeds:
            seed(root)

    return change


@contextmanager
def panel(root: Path, file: str, title: str) -> Iterator[dict[str, Any]]:
    page = json.loads((root / file).read_text(encoding="utf-8"))
    (found,) = [p for p in page["panels"] if p["title"] == title]
    yield found
    (root / file).write_text(json.dumps(page), encoding="utf-8")


def target(title: str, old: str, new: str, file: str = OVERVIEW) -> Seed:
    def change(root: Path) -> None:
        with panel(root, file, title) as found:
            assert old in found["targets"][0]["expr"]
            found["targets"][0]["expr"] = found["targets"][0]["expr"].replace(old, new)

    return change


def shaped(title: str, change: Callable[[dict[str, Any]], object]) -> Seed:
    def seed(root: Path) -> None:
        with panel(root, OVERVIEW, title) as found:
            change(found)

    return seed


def renamed(old: str, new: str) -> Seed:
    return lambda root: (root / "runbooks" / old).rename(root / "runbooks" / new)


def appended(file: str, text: str) -> Seed:
    return lambda root: written(file, (root / file).read_text(encoding="utf-8") + text)(root)


def written(file: str, text: str) -> Seed:
    def change(root: Path) -> None:
        (root / file).write_text(text, encoding="utf-8")

    return change


def hidden(file: Path, title: str, old: str, new: str) -> None:
    page = json.loads(file.read_text(encoding="utf-8").replace(old, new))
    (found,) = [p for p in page["panels"] if p["title"] == title]
    page["panels"].remove(found)
    page["panels"].append({"type": "row", "title": "more", "id": 99, "gridPos": found["gridPos"], "panels": [found]})
    file.write_text(json.dumps(page), encoding="utf-8")


def mixin(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_own({**os.environ, "PYTHONPATH": str(root)}, "mixin", *arguments, cwd=root)
