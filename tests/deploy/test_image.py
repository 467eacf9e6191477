"""The Dockerfile: what it is built from, who runs in it, and that what it runs is there."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.deploy.support import KNOWN, PROGRAM, ROOT, SERVICES, parse, settings_of
from tests.support.app import App

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(encoding="utf-8"), re.MULTILINE)
TEXT = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
LINES = [line.split(maxsplit=1) for line in TEXT.replace("\\\n", "").splitlines() if line]
STARTS = [number for number, (word, _) in enumerate(LINES) if word == "FROM"]
BUILD, FINAL = LINES[: STARTS[-1]], LINES[STARTS[-1] :]


def values(stage: list[list[str]], word: str) -> list[str]:
    return [value for name, value in stage if name == word]


def environment() -> dict[str, str]:
    return dict(pair.split("=", 1) for value in values(FINAL, "ENV") for pair in shlex.split(value))


def copied() -> list[str]:
    return [source for value in values(BUILD, "COPY") for source in value.split()[:-1]]


def test_stages() -> None:
    bases = values(LINES, "FROM")
    assert len(bases) == 2
    assert bases[0] == f"{bases[1]} AS build"
    version = re.fullmatch(r"python:(3)\.(\d+)\.\d+-slim-[a-z]+", bases[1])
    assert version
    minimum = re.fullmatch(r">=3\.(\d+)", PROJECT["project"]["requires-python"])
    assert minimum
    assert int(version[2]) >= int(minimum[1])
    assert all(value.startswith("--from=build") for value in values(FINAL, "COPY"))


def test_dependencies_are_locked() -> None:
    installs = [value for value in values(BUILD, "RUN") if "pip --python" in value]
    assert "--require-hashes" in installs[0]
    assert "-r requirements.lock" in installs[0]
    assert "--no-deps --no-build-isolation" in installs[1]


@pytest.mark.parametrize("source", copied())
def test_what_is_copied_is_there(source: str) -> None:
    assert (ROOT / source).exists()
    ignored = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line and line[0] != "#" and fnmatch(source, line.removeprefix("!")):
            ignored = line[0] != "!"
    assert not ignored, f"{source} is kept out by .dockerignore"


def test_what_the_wheel_is_made_of_is_copied() -> None:
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {*wheel["packages"], *wheel.get("force-include", {}), PROJECT["project"]["readme"], "pyproject.toml"}
    assert {path.split("/")[0] for path in needed} <= set(copied())


def test_user() -> None:
    (user,) = values(FINAL, "USER")
    assert int(user.split(":")[0]) > 0
    assert user == SERVICES["app"]["user"]


def test_command() -> None:
    (entrypoint,) = map(json.loads, values(FINAL, "ENTRYPOINT"))
    assert entrypoint[0] in PROJECT["project"]["scripts"]
    (command,) = map(json.loads, values(FINAL, "CMD"))
    parse(command)


def test_settings(tmp_path: Path) -> None:
    given = environment()
    own = {name: value for name, value in given.items() if name.startswith("SQL_SYNTHESIZER_")}
    assert own.keys() <= KNOWN
    settings = settings_of(own)
    assert values(FINAL, "VOLUME") == [settings["state_dir"]]
    assert values(FINAL, "EXPOSE") == [f"{settings['port']} {settings['metrics_port']}"]
    assert (settings["host"], settings["metrics_host"]) == ("0.0.0.0", "0.0.0.0")


def test_volumes_are_owned_by_the_user() -> None:
    made = [value for value in values(FINAL, "RUN") if "--owner 10001 --group 10001" in value]
    mounted = [v["target"] if isinstance(v, dict) else v.split(":")[1] for v in SERVICES["secrets"]["volumes"][1:]]
    for directory in (*values(FINAL, "VOLUME"), *mounted):
        assert any(re.search(rf"{directory}( |$)", value) for value in made), directory


def test_health(app: App) -> None:
    (check,) = values(FINAL, "HEALTHCHECK")
    found = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+)'", check)
    assert found
    assert values(FINAL, "EXPOSE")[0].split()[0] == found[1]
    assert app.get(found[2]).status_code == 200


@pytest.mark.parametrize("verb", sorted({SERVICES[name]["command"][0] for name in PROGRAM}))
def test_the_image_has_what_the_verbs_import(verb: str) -> None:
    """The tests run with more packages installed than the image."""
    code = f"import sys, sql_synthesizer.cli.{verb}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    owners = packages_distributions()
    needed = {owner.lower().replace("_", "-") for name in done.stdout.split() for owner in owners.get(name, [])}
    assert needed - {"sql-synthesizer", "setuptools"} <= set(LOCKED)
