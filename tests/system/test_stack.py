"""``stack``: the service with the programs that watch it, as a newcomer starts it."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from sql_synthesizer.operate.child import own_command
from sql_synthesizer.operate.watchers import ALERTMANAGER
from tests.support import program
from tests.support.monitoring import taken, told
from tests.support.serving import Service, fetch, until

pytestmark = pytest.mark.server

STACK = own_command("stack")
QUESTION = "how many customers are there"
SCRAPED = 'up{job="sql-synthesizer"} == 1'


class Stack(Service):
    """A stack, whose watchers are where it says."""

    def get(self, name: str, path: str, **parameters: str) -> Any:
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        return fetch(told(self.out, name) + path + query).json()

    def value(self, expr: str, **parameters: str) -> list[Any]:
        return self.get("Prometheus", "/api/v1/query", query=expr, **parameters)["data"]["result"]

    def messages(self, kind: str, word: str) -> list[Any]:
        kept = self.get("Inbox", "/api/messages")["messages"]
        return [message for message in kept if message["kind"] == kind and word in message["subject"]]

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def watchers(self) -> dict[str, psutil.Process]:
        return {Path(child.cmdline()[0]).name: child for child in psutil.Process(self.process.pid).children()}


@contextmanager
def stack(directory: Path, *ports: int, **environment: str) -> Iterator[Stack]:
    """A started stack; the usual ports of watchers are taken, and ``ports`` too."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SQL_SYNTHESIZER_", "OPENAI_"))}
    made = Stack(directory / "state", clean | environment)
    with taken(9090, 9093, 8025, *ports):
        made.start(STACK)
        try:
            yield made
        finally:
            if made.process.poll() is None:
                made.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    program("prometheus")
    program(*ALERTMANAGER)
    with stack(tmp_path_factory.mktemp("stack")) as made:
        told(made.out, "Prometheus")
        yield made


@pytest.mark.usefixtures("running")  # two stacks on one machine do not disturb each other
def test_the_service_goes_on_when_a_watcher_ends(tmp_path: Path) -> None:
    name = Path(program(*ALERTMANAGER)).name
    program("prometheus")
    secret = tmp_path / "state/stack/secrets/slack_api_url"
    secret.parent.mkdir(parents=True)
    secret.write_text("http://127.0.0.1:9/operator")
    with stack(tmp_path, 8000) as made:
        assert str(secret) in made.get("Alertmanager", "/api/v2/status")["config"]["original"]
        assert "Port 8000 is taken" in made.out.read_text()
        made.watchers()[name].kill()
        until(lambda: "Alertmanager ended with -9" in made.out.read_text())
        assert made.ask(QUESTION).status == 200
        processes = made.processes()
        made.process.send_signal(signal.SIGTERM)
        while made.process.poll() is None:
            made.process.send_signal(signal.SIGINT)
        assert made.process.returncode == 0
        assert not [process for process in processes if process.is_running()]
        text = made.out.read_text()
        assert text.count("Alertmanager ended") == 1
        assert "Traceback" not in text


@pytest.mark.usefixtures("running")
def test_without_the_programs_the_service_runs_alone(tmp_path: Path) -> None:
    with stack(tmp_path, PATH=str(tmp_path)) as made:
        until(lambda: "Nothing watches the service" in made.out.read_text())
        text = made.out.read_text()
        assert "apt-get install prometheus." in text
        assert "apt-get install prometheus-alertmanager." in text
        assert made.ask(QUESTION).status == 200
        second = made.run("stack")
        assert second.returncode == 2, "the status of the service that could not start"
        assert "state directory" in second.stderr
        assert made.stop() == 0


def test_a_second_one_leaves_the_first_as_it_is(running: Stack) -> None:
    places = [path for path in sorted((running.state / "stack").glob("*/targets/**/*")) if path.is_file()]
    assert places
    before = [path.read_bytes() for path in (running.state / "serve.lock", *places)]
    second = running.run("stack")
    assert (second.returncode, "Prometheus" in second.stdout) == (2, False)
    assert "state directory" in second.stderr
    assert [path.read_bytes() for path in (running.state / "serve.lock", *places)] == before


def test_an_attack_is_told_by_mail_and_chat(running: Stack) -> None:
    until(lambda: running.value(SCRAPED))
    assert running.ask("' OR 1=1 --").status == 422
    (mail,) = until(lambda: running.messages("mail", "SQLInjectionAttempts"))
    (chat,) = until(lambda: running.messages("slack", "SQLInjectionAttempts"))
    assert (mail["to"], chat["to"]) == (["security@company.com"], ["#security"])
    assert "http://localhost:8000/SQLInjectionAttempts.md" in mail["text"]


def test_the_dead_mans_switch_is_heard(running: Stack) -> None:
    until(lambda: running.messages("watchdog", "Watchdog"))
    (found,) = running.get("Prometheus", "/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    assert found["url"].startswith(told(running.out, "Alertmanager"))


def test_all_rules_are_healthy(running: Stack) -> None:
    def evaluated() -> list[Any]:
        groups = running.get("Prometheus", "/api/v1/rules")["data"]["groups"]
        rules = [rule for group in groups if group["interval"] <= 30 for rule in group["rules"]]
        return [] if any(rule["health"] == "unknown" for rule in rules) else rules

    rules = until(evaluated)
    assert len(rules) > 50
    assert {rule["health"] for rule in rules} == {"ok"}


def test_runbooks_are_where_alerts_say(running: Stack) -> None:
    if "Port 8000 is taken" in running.out.read_text():
        pytest.skip("something else listens on port 8000")
    page = fetch("http://localhost:8000/SQLInjectionAttempts.md")
    assert page.body.startswith(b"# SQLInjectionAttempts")
    assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert b'href="SQLInjectionAttempts.md"' in fetch("http://localhost:8000/").body
    assert fetch("http://localhost:8000/../README.md").status == 404


def test_alerts_have_a_page(running: Stack) -> None:
    assert b"<html" in fetch(told(running.out, "Alerts")).body


def test_a_stop_ends_everything_and_a_start_finds_the_data(running: Stack) -> None:
    until(lambda: running.value(SCRAPED))
    when, processes = str(time.time()), running.processes()
    assert {"prometheus", Path(program(*ALERTMANAGER)).name} < running.watchers().keys()
    assert running.stop() == 0
    assert not [process for process in processes if process.is_running()]
    running.out.unlink()
    running.start(STACK)
    assert running.value(SCRAPED, time=when)


def test_traffic(running: Stack, tmp_path: Path) -> None:
    questions = tmp_path / "questions"
    questions.write_text("is it going to rain in Paris\n\n")
    done = running.run("traffic", "--seconds", "3", "--rate", "20", "--questions", str(questions), "--json")
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)
    assert {"asked before", "not understood"} <= {row["kind"] for row in sent}
    assert {row["answer"] for row in sent if row["kind"] == "asked before"} == {"ok"}
    assert sum(row["count"] for row in sent) > 5


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--url", "http://127.0.0.1:9"], "No service answers"),
        (["--url", "localhost"], "not the address"),
        (["--key", "wrong"], "asks for a key"),
    ],
)
def test_traffic_that_cannot_be_sent(running: Stack, arguments: list[str], said: str) -> None:
    done = running.run("traffic", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
