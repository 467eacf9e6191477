"""Every command that the README shows, run as it stands there but for ports and names of hosts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sql_synthesizer.demo import load_demo
from sql_synthesizer.operate.watchers import ALERTMANAGER
from tests.support import program
from tests.support.monitoring import taken, told
from tests.support.serving import HANG, ROOT, Service, fetch, service, until

README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> list[str]:
    """The commands of all shell blocks; a trailing backslash joins lines, a comment is dropped."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    return [line for line in (re.sub(r"\s+#.*$", "", line).strip() for line in text.splitlines()) if line]


SERVING = [c for c in commands() if c == "./run" or c.startswith("./run serve")]
TESTING = [c for c in commands() if c.startswith("./run test")]
OTHERS = [c for c in commands() if c not in (*SERVING, *TESTING)]


def shell(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-ec", command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=HANG, check=False
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service(tmp_path_factory.mktemp("readme")) as running:
        yield running


def test_the_first_command_comes_early() -> None:
    lines = README.splitlines()
    assert next(n for n, line in enumerate(lines, 1) if line.startswith("./run")) <= 15
    assert len(lines) <= 120


@pytest.mark.parametrize("command", OTHERS)
def test_commands(served: Service, command: str) -> None:
    here = command.replace(":5000", f":{served.port}").replace(":8080", f":{served.metrics_port}")
    done = shell(here, served.environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert "reason" not in done.stdout or "question" in done.stdout


@pytest.mark.server
@pytest.mark.parametrize("command", SERVING)
def test_serving(tmp_path: Path, command: str, request: pytest.FixtureRequest) -> None:
    made = Service(tmp_path / "state", dict(os.environ))
    if "postgresql://" in command:
        made.environment["SQL_SYNTHESIZER_ALLOW_PRIVILEGED_LOGIN"] = "true"
        url = request.getfixturevalue("postgres_url")
        load_demo(url)
        command = re.sub(r"postgresql://\S+", url, command)
    if command == "./run":
        program("prometheus")
        program(*ALERTMANAGER)
    with taken(9090, 9093, 8025):
        made.start(shlex.split(command))
        try:
            assert made.ask("how many customers are there").status == 200
            if command == "./run":
                is_watched(made)
        finally:
            processes = psutil.Process(made.process.pid).children(recursive=True)
            assert made.stop() == 0
    assert not [process for process in processes if process.is_running()]


def is_watched(served: Service) -> None:
    """Whether Prometheus has scraped the service and the dead man's switch is heard; both come within a minute."""
    query = told(served.out, "Prometheus") + "/api/v1/query?query=up%7Bjob%3D%22sql-synthesizer%22%7D%3D%3D1"
    until(lambda: fetch(query).json()["data"]["result"])
    messages = told(served.out, "Inbox") + "/api/messages"
    until(lambda: fetch(messages).json()["watchdog_seconds"] is not None)


@pytest.mark.parametrize("command", TESTING)
def test_testing(command: str) -> None:
    done = shell(f"{command} -n 0 tests/test_settings.py", dict(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("verb", ["help", "nonsense"])
def test_the_script_explains_itself(verb: str) -> None:
    done = shell(f"./run {verb}", dict(os.environ))
    assert (done.returncode == 0) == (verb == "help")
    assert "./run" in done.stdout + done.stderr or "No such command" in done.stderr
    if verb == "help":
        assert re.search(r"  \./run doctor +Look through a set-up", done.stdout), "also without what is installed"
