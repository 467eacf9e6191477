"""docs/deployment.md names things as they are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.deploy.cluster import environment, pod
from tests.deploy.support import COMPOSE, KNOWN, LOOPBACK, ROOT, SERVICES, parse

TEXT = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
QUOTED = [*COMMANDS, *re.findall(r"`([^`\n]+)`", TEXT)]


@pytest.mark.parametrize("variable", sorted(set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)`", TEXT))))
def test_variables(variable: str) -> None:
    assert variable in KNOWN or variable in SERVICES["grafana"]["environment"]


@pytest.mark.parametrize("command", [c for c in QUOTED if re.search(r"\./run |sql-synthesizer keys", c)])
def test_verbs(command: str) -> None:
    words = shlex.split(command)
    start = next(n for n, word in enumerate(words) if word in ("./run", "sql-synthesizer"))
    parse(words[start + 1 :])


@pytest.mark.parametrize("command", [c for c in QUOTED if c.startswith("docker compose ") and " exec " in c])
def test_containers(command: str) -> None:
    assert shlex.split(command)[3] in SERVICES


def test_addresses() -> None:
    published = {LOOPBACK.fullmatch(port)[1] for service in SERVICES.values() for port in service.get("ports", [])}  # type: ignore[index]
    assert set(re.findall(r"http://localhost:(\d+)", TEXT)) == published


def test_volumes() -> None:
    (sentence,) = re.findall(r"State is in the volumes\n(.*?)`docker", TEXT, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", sentence)) == set(COMPOSE["volumes"])


@pytest.mark.parametrize("path", sorted(set(re.findall(r"(?<![/\w])((?:monitoring|deploy)/[\w./-]+\w)", TEXT))))
def test_files(path: str) -> None:
    assert (ROOT / path).exists()


def test_secrets(secrets: Path) -> None:
    for name in re.findall(r"`((?:app|alertmanager|grafana)/\w+)`", TEXT):
        assert (secrets / name).exists()


def test_cluster() -> None:
    keys = {value.rsplit("/", 1)[1] for name, value in environment("scaled").items() if name.endswith("_FILE")}
    (command,) = [c for c in COMMANDS if "create secret" in c]
    assert set(re.findall(r"--from-file=(\S+)", command)) == keys
    (secret,) = [v["secret"]["secretName"] for v in pod("scaled")["volumes"] if "secret" in v]
    assert f"generic {secret} " in command
    state = environment("scaled")["SQL_SYNTHESIZER_STATE_DIR"]
    assert f"{state}/first-api-key" in TEXT
