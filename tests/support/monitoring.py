"""Prometheus and Alertmanager: the real programs with the shipped configuration, on free ports."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from sql_synthesizer.proof.inbox import Inbox
from tests.support import program
from tests.support.serving import ROOT, fetch, free_port, until

PROMETHEUS = ROOT / "monitoring" / "prometheus"
ALERTMANAGER = ROOT / "monitoring" / "alertmanager"
Change = Callable[[dict[str, Any]], None]


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """A checking program, with its two outputs in one."""
    line = [program(str(command[0])), *map(str, command[1:])]
    return subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False)


@dataclass(frozen=True)
class Server:
    url: str
    process: subprocess.Popen[bytes]
    config: Path

    def get(self, path: str) -> Any:
        return fetch(self.url + path).json()

    def edit(self, change: Change) -> None:
        _edit(self.config, change)


@contextmanager
def _started(names: tuple[str, ...], port: int, config: Path, *arguments: str) -> Iterator[Server]:
    url, log = f"http://127.0.0.1:{port}", config.with_name("server.log")
    listen = [f"--web.listen-address=127.0.0.1:{port}", f"--config.file={config}"]
    command = [program(*names), *listen, *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=config.parent)
    try:
        until(lambda: process.poll() is not None or _ready(url))
        assert process.poll() is None, log.read_text()
        yield Server(url, process, config)
    finally:
        process.terminate()
        process.wait(20)


def _ready(url: str) -> bool:
    try:
        return fetch(url + "/-/ready").status == 200
    except OSError:
        return False


@contextmanager
def prometheus(
    directory: Path,
    targets: Mapping[str, str],
    *flags: str,
    rules: Mapping[str, str] | None = None,
    change: Change = lambda _: None,
) -> Iterator[Server]:
    """Prometheus with the shipped files; ``targets`` gives a job's address, by default that of nobody.

    ``rules`` gives a rule file another text, ``change`` edits the configuration, say for shorter intervals.
    """
    port, home = free_port(), directory / "prometheus"
    shutil.copytree(PROMETHEUS, home)
    for job in ("sql-synthesizer", "prometheus", "alertmanager"):
        address = targets.get(job) or (f"127.0.0.1:{port}" if job == "prometheus" else None)
        (home / "targets" / f"{job}.yml").write_text(yaml.safe_dump([{"targets": [address] if address else []}]))
    for name, text in (rules or {}).items():
        (home / name).write_text(text)
    _edit(home / "prometheus.yml", change)
    storage = f"--storage.tsdb.path={home / 'data'}"
    with _started(("prometheus",), port, home / "prometheus.yml", storage, *flags) as server:
        yield server


@contextmanager
def alertmanager(directory: Path, inbox: Inbox, change: Change = lambda _: None) -> Iterator[Server]:
    """Alertmanager with the shipped files, telling ``inbox``; ``change`` edits the configuration."""
    home, secrets = directory / "alertmanager", directory / "secrets"
    shutil.copytree(ALERTMANAGER, home)
    secrets.mkdir()
    (secrets / "slack_api_url").write_text(f"http://127.0.0.1:{inbox.http_port}/slack")
    (secrets / "smtp_password").write_text("unused")
    config = home / "config.yml"
    text = config.read_text().replace("/etc/alertmanager/secrets", str(secrets))
    text = text.replace("inbox:1025", f"127.0.0.1:{inbox.smtp_port}")
    config.write_text(text.replace("inbox:8025", f"127.0.0.1:{inbox.http_port}"))
    _edit(config, change)
    options = [f"--storage.path={home / 'data'}", "--cluster.listen-address="]
    with _started(("prometheus-alertmanager", "alertmanager"), free_port(), config, *options) as server:
        yield server


def _edit(path: Path, change: Change) -> None:
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def hurried(factor: int) -> Change:
    """Divides the waiting times of Alertmanager's routes; how often it repeats stays."""

    def change(config: dict[str, Any]) -> None:
        routes = [config["route"]]
        while routes:
            route = routes.pop()
            routes += route.get("routes", [])
            for name in ("group_wait", "group_interval"):
                if name in route:
                    route[name] = f"{seconds(route[name]) * 1000 // factor}ms"

    return change


def hours(config: dict[str, Any], *, open: bool) -> None:
    """Makes it business hours, whatever the time is, or the middle of the night."""
    (interval,) = config["time_intervals"]
    interval["time_intervals"] = [{"years": ["2000:2999" if open else "2000"]}]


def seconds(duration: str) -> int:
    """A duration of one unit, as Prometheus writes it."""
    number, unit = re.fullmatch(r"(\d+)([smhd])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit]


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
