"""What the tests of deployment share: the files, and what the application makes of an environment."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import yaml

from sql_synthesizer.cli import group
from sql_synthesizer.settings import Settings, environment_name

ROOT = Path(__file__).parents[2]
VARIABLES = {environment_name(name) for name in Settings.model_fields}
SECRETS = {
    environment_name(name) for name, info in Settings.model_fields.items() if "SecretStr" in str(info.annotation)
}
KNOWN = VARIABLES | {f"{name}_FILE" for name in SECRETS}

_PRINT_SETTINGS = """
import json, sys
from sql_synthesizer.settings import load, unknown_variables
print(json.dumps([load().model_dump(mode="json"), unknown_variables()]))
"""


def read(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


COMPOSE = read("docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, service in SERVICES.items() if "build" in service}
PROGRAM = [name for name in sorted(OURS) if "entrypoint" not in SERVICES[name]]
LOOPBACK = re.compile(r"127\.0\.0\.1:(\d+):(\d+)")


def mounts(service: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """(source, target, read-only) of each volume of a service, in either spelling."""
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            source, target, *mode = volume.split(":")
            yield source, target, mode == ["ro"]
        else:
            yield volume["source"], volume["target"], volume.get("read_only", False)


def subpath(service: dict[str, Any]) -> tuple[str, str] | None:
    """(directory of the volume of secrets, where it is mounted)."""
    for volume in service.get("volumes", []):
        if isinstance(volume, dict) and volume["source"] == "secrets":
            return volume["volume"]["subpath"], volume["target"]
    return None


def make_secrets(root: Path) -> None:
    script = next(source for source, target, _ in mounts(SERVICES["secrets"]) if target.endswith(".py"))
    subprocess.run([sys.executable, ROOT / script, root], check=True)


def settings_of(environment: dict[str, str]) -> dict[str, Any]:
    """The settings of a process of the application in this environment; fails when it refuses them."""
    done = subprocess.run(
        [sys.executable, "-c", _PRINT_SETTINGS], env=environment, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    settings, unknown = json.loads(done.stdout)
    assert not unknown
    return settings


def parse(arguments: list[str], command: click.Command = group, parent: click.Context | None = None) -> None:
    """Parses a command line as the program does, without running it."""
    context = command.make_context(command.name, list(arguments), parent=parent)
    if isinstance(command, click.Group):
        _, verb, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        assert verb is not None
        parse(rest, verb, context)
