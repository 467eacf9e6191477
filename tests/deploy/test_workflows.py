"""The hosted CI and the hooks before a commit: what they run is what everybody runs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
import yaml

from tests.deploy.support import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CI: dict[str, Any] = yaml.load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"), yaml.BaseLoader)
STEPS = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in CI["jobs"].items()}
RUN = (ROOT / "run").read_text(encoding="utf-8")
(CHECK,) = re.findall(r"^  check\)\n(.*?);;", RUN, re.DOTALL | re.MULTILINE)
HOOKS: dict[str, Any] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("schema", ["vendor.github-workflows", "custom.github-workflows-require-timeout"])
def test_workflows_have_the_form_of_the_host(schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, WORKFLOWS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_may_read_only_and_gives_way_to_a_newer_run() -> None:
    assert CI["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in CI["jobs"].values())
    assert CI["concurrency"]["cancel-in-progress"] == "true"


def test_actions_are_pinned_by_major_version() -> None:
    used = [step["uses"] for job in CI["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[a-z-]+@v\d+", name)] == []


def test_it_runs_what_everybody_runs() -> None:
    assert STEPS == {"everything": [".ci/run"], "versions": ["./run check", "./run test"]}
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    assert "${PYTHON:-}" in RUN


def test_every_supported_python_is_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    supported = [name.rpartition(" ")[2] for name in project["classifiers"] if re.search(r":: 3\.\d+$", name)]
    assert CI["jobs"]["versions"]["strategy"]["matrix"]["python"] == supported


def test_hooks_are_steps_of_the_check_and_fetch_nothing() -> None:
    steps = [line.strip().removeprefix("exec ") for line in CHECK.splitlines()]
    assert [repository["repo"] for repository in HOOKS["repos"]] == ["local"]
    for hook in HOOKS["repos"][0]["hooks"]:
        assert hook["language"] == "system"
        assert hook["entry"] in steps
        assert not hook["pass_filenames"]
