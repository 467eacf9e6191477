"""Prometheus and Alertmanager: the real programs with the shipped configuration, on free ports."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

from sql_synthesizer.monitoring.slo import duration_seconds
from sql_synthesizer.operate import watchers
from sql_synthesizer.operate.inbox import Inbox
from sql_synthesizer.operate.watchers import Change, Watcher
from tests.support import program
from tests.support.ports import free_port
from tests.support.serving import HANG, ROOT, fetch, until

PROMETHEUS = ROOT / "monitoring" / "prometheus"
ALERTMANAGER = ROOT / "monitoring" / "alertmanager"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A checking program, with its two outputs in one."""
    line = [program(str(command[0])), *map(str, command[1:])]
    return subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=HANG, check=False)


class Server(Watcher):
    """A running watcher, with its process to send signals to."""

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.child.pid)


@contextmanager
def prometheus(
    directory: Path,
    targets: Mapping[str, str],
    *flags: str,
    port: int = 0,
    rules: Mapping[str, str] | None = None,
    change: Change = watchers.leave_unchanged,
) -> Iterator[Server]:
    """Prometheus with the shipped files; ``targets`` gives a job's address, by default that of nobody.

    ``rules`` gives a rule file another text, ``change`` edits the configuration, say for shorter intervals.
    """
    program("prometheus")
    addresses = {job: [address] for job, address in targets.items()}
    home = directory / "prometheus"
    with watchers.run_prometheus(home, addresses, *flags, port=port or free_port(), rules=rules, change=change) as made:
        yield Server(made.child, made.url, made.config)


@contextmanager
def alertmanager(
    directory: Path, inbox: Inbox, change: Change = watchers.leave_unchanged, *flags: str
) -> Iterator[Server]:
    """Alertmanager with the shipped files, telling ``inbox``; ``change`` edits the configuration."""
    program(*watchers.ALERTMANAGER)
    home = directory / "alertmanager"
    with watchers.run_alertmanager(home, inbox, *flags, port=free_port(), change=change) as made:
        yield Server(made.child, made.url, made.config)


@contextmanager
def taken(*ports: int) -> Iterator[None]:
    """Listens on these ports, unless something else does already."""
    with ExitStack() as stack:
        for port in ports:
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
        yield


def told(log: Path, name: str) -> str:
    """The address of this name that a stack printed last."""
    return until(lambda: re.findall(rf"^  {name} +(http://\S+)$", log.read_text(), re.MULTILINE))[-1]


def hurried(factor: int) -> Change:
    """Divides the waiting times of Alertmanager's routes; how often it repeats stays."""

    def change(config: dict[str, Any]) -> None:
        routes = [config["route"]]
        while routes:
            route = routes.pop()
            routes += route.get("routes", [])
            for name in ("group_wait", "group_interval"):
                if name in route:
                    route[name] = f"{duration_seconds(route[name]) * 1000 // factor}ms"

    return change


def hours(config: dict[str, Any], *, open: bool) -> None:
    """Makes it business hours, whatever the time is, or the middle of the night."""
    (interval,) = config["time_intervals"]
    interval["time_intervals"] = [{"years": ["2000:2999" if open else "2000"]}]


def post_alerts(
    server: Server, alerts: Iterable[Mapping[str, str]], annotations: Mapping[str, str], *, firing: bool = True
) -> None:
    """Gives Alertmanager alerts as Prometheus does, by their labels; resolved ones have just ended."""
    now = datetime.now(UTC)
    ends = now + timedelta(minutes=10) if firing else now
    times = {"startsAt": (now - timedelta(minutes=1)).isoformat(), "endsAt": ends.isoformat()}
    labels = [{name: value for name, value in alert.items() if value} for alert in alerts]
    reply = fetch(
        server.url + "/api/v2/alerts", [{"labels": each, "annotations": annotations, **times} for each in labels]
    )
    assert reply.status == 200, reply.body
