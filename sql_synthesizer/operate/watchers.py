"""Prometheus and Alertmanager from the machine, with the shipped files; only addresses and receivers differ."""

from __future__ import annotations

import json
import shutil
import signal
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import yaml

from sql_synthesizer.operate.child import Child
from sql_synthesizer.operate.inbox import Inbox
from sql_synthesizer.operate.programs import direct, find_program, free_port, is_answering

Change = Callable[[dict[str, Any]], None]
PACKAGED = Path(__file__).parents[1] / "shipped"
SECRETS = "/etc/alertmanager/secrets"
ALERTMANAGER = ("prometheus-alertmanager", "alertmanager")
"""Debian's name of the program, and its own."""
JOBS = ("sql-synthesizer", "prometheus", "alertmanager")


def shipped_path(name: str) -> Path:
    """A deployed file or directory, from the package or from the checkout."""
    root = PACKAGED if PACKAGED.exists() else Path(__file__).parents[2]
    return root / name


class Watcher:
    """A running Prometheus or Alertmanager; ``config`` is its own copy of the configuration."""

    def __init__(self, child: Child, url: str, config: Path) -> None:
        self.child = child
        self.url = url
        self.address = url.removeprefix("http://")
        self.config = config

    def get(self, path: str, **parameters: str) -> Any:
        """The JSON at an address below ``url``. Raises OSError."""
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        try:
            with direct.open(self.url + path + query, timeout=10) as reply:
                return json.load(reply)
        except (HTTPException, ValueError) as error:  # its program was ended amid the answer
            raise OSError(f"{self.url} sent no whole answer: {type(error).__name__}") from error

    def edit(self, change: Change) -> None:
        """Changes the configuration file; ``reload`` makes it count."""
        edit_yaml(self.config, change)

    def reload(self) -> None:
        """Reads the configuration again, as SIGHUP does."""
        self.child.send(signal.SIGHUP)


def edit_yaml(path: Path, change: Change) -> None:
    """Changes a YAML file."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def leave_unchanged(_document: dict[str, Any]) -> None:
    """Leaves a configuration as it is."""


@contextmanager
def run_prometheus(
    home: Path,
    targets: Mapping[str, Sequence[str]],
    *flags: str,
    port: int | None = None,
    source: Path | None = None,
    rules: Mapping[str, str] | None = None,
    change: Change = leave_unchanged,
) -> Iterator[Watcher]:
    """Prometheus with the shipped files in ``home``; ``targets`` gives each job its addresses.

    ``source`` is a directory with other files than the shipped ones, ``rules`` gives a rule file another text,
    ``change`` edits the configuration. Raises ConfigurationError.
    """
    port = port or free_port()
    program = find_program("prometheus")
    shutil.copytree(source or shipped_path("monitoring/prometheus"), home, dirs_exist_ok=True)
    for job in JOBS:
        found = targets.get(job, [f"127.0.0.1:{port}"] if job == "prometheus" else [])
        write_targets(home, job, found)
    for name, text in (rules or {}).items():
        (home / name).write_text(text, encoding="utf-8")
    edit_yaml(home / "prometheus.yml", change)
    arguments = [
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        *flags,
    ]
    with _run_watcher("Prometheus", [program, *arguments], port, home / "prometheus.yml") as watcher:
        yield watcher


def write_targets(home: Path, job: str, addresses: Sequence[str]) -> None:
    """Gives a job of a Prometheus in ``home`` other addresses, which it notices by itself."""
    text = yaml.safe_dump([{"targets": list(addresses)}])
    unfinished = home / "targets" / f".{job}"
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(home / "targets" / f"{job}.yml")


@contextmanager
def run_alertmanager(
    home: Path,
    inbox: Inbox,
    *flags: str,
    port: int | None = None,
    source: Path | None = None,
    secrets: Path | None = None,
    change: Change = leave_unchanged,
) -> Iterator[Watcher]:
    """Alertmanager with the shipped files in ``home``; what would go to the service ``inbox`` goes to ours.

    A secret that is a file in ``secrets`` is used; one that is missing leads to the inbox too. Raises
    ConfigurationError.
    """
    port = port or free_port()
    program = find_program(*ALERTMANAGER)
    shutil.copytree(source or shipped_path("monitoring/alertmanager"), home, dirs_exist_ok=True)
    config = home / "config.yml"
    text = config.read_text(encoding="utf-8")
    for name, value in (("slack_api_url", f"http://127.0.0.1:{inbox.http_port}/slack"), ("smtp_password", "none")):
        text = text.replace(f"{SECRETS}/{name}", str(_secret_file(name, value, home, secrets)))
    text = text.replace("inbox:1025", f"127.0.0.1:{inbox.smtp_port}")
    config.write_text(text.replace("inbox:8025", f"127.0.0.1:{inbox.http_port}"), encoding="utf-8")
    edit_yaml(config, change)
    arguments = [
        f"--config.file={config}",
        f"--storage.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        *flags,
    ]
    with _run_watcher("Alertmanager", [program, *arguments], port, config) as watcher:
        yield watcher


def _secret_file(name: str, value: str, home: Path, given: Path | None) -> Path:
    """The file of a secret: the given one, or one that holds ``value``."""
    if given is not None and (given / name).exists():
        return (given / name).resolve()
    own = home / "secrets" / name
    own.parent.mkdir(mode=0o700, exist_ok=True)
    own.write_text(value, encoding="utf-8")
    return own.resolve()


@contextmanager
def _run_watcher(name: str, command: list[str], port: int, config: Path) -> Iterator[Watcher]:
    url = f"http://127.0.0.1:{port}"
    child = Child(
        name, command, lambda: is_answering(f"{url}/-/ready"), config.with_name("log"), options={"cwd": config.parent}
    )
    with child:
        yield Watcher(child, url, config)
