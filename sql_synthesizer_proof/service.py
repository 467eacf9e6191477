"""The service as operators run it, as a child process with ports and state of its own."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil
from prometheus_client.parser import text_string_to_metric_families

from sql_synthesizer.operate.child import SERVE, Child, module_command, wait_until
from sql_synthesizer.operate.programs import direct, free_port, is_answering
from sql_synthesizer.operate.traffic import Client
from sql_synthesizer.settings import child_environment

LIMIT = 120.0
"""Seconds that a command or a scrape may take."""
WORKER_LIMIT = 30.0
"""Seconds within which there is a worker to kill, and within which it is gone."""


def parse_samples(exposition: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
    """Labels and value of each sample of this name."""
    for family in text_string_to_metric_families(exposition):
        yield from ((sample.labels, sample.value) for sample in family.samples if sample.name == name)


class ServiceProcess:
    """``sql-synthesizer serve`` in ``home``, not started; ``settings`` are by name, ``command`` runs it.

    It has no worker of jobs unless a setting says so.
    """

    def __init__(self, home: Path, settings: Mapping[str, object], *, command: Sequence[str] = SERVE) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.state = home / "state"
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.metrics_address = f"127.0.0.1:{self.metrics_port}"
        given = {
            "port": self.port,
            "metrics_port": self.metrics_port,
            "state_dir": self.state,
            "auth": "required",
            "drain_seconds": 0.1,
            "job_threads": 0,
            **settings,
        }
        self.environment = child_environment(given)
        self.child = Child("The service", command, self._is_ready, home / "service.log", environment=self.environment)

    def __enter__(self) -> Self:
        self.child.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.child.stop()

    def _is_ready(self) -> bool:
        return is_answering(f"{self.url}/health/ready") and is_answering(f"http://{self.metrics_address}/metrics", 5.0)

    @property
    def key(self) -> str:
        """The operator's key that was made at the first start."""
        return (self.state / "first-api-key").read_text(encoding="ascii").strip()

    def client(self, key: str | None = None) -> Client:
        """A caller with this key, by default the operator's."""
        return Client(self.url, self.key if key is None else key)

    def run(
        self,
        *arguments: str,
        module: str = "sql_synthesizer",
        check: bool = True,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command line beside the service, with its settings and further ``variables``, to its end.

        Raises CalledProcessError when it fails, unless ``check`` is False.
        """
        command, environment = module_command(module, *arguments), {**self.environment, **(variables or {})}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=check)  # noqa: S603

    def exposition(self) -> str:
        """The metrics as Prometheus reads them. Raises OSError."""
        with direct.open(f"http://{self.metrics_address}/metrics", timeout=LIMIT) as reply:
            return str(reply.read().decode())

    def web_processes(self) -> list[psutil.Process]:
        """The processes of the web server: first the one above the workers, then those."""
        return [process for process in self.child.processes() if _has_argument(process, "gunicorn")]

    def job_workers(self) -> list[psutil.Process]:
        """The processes that ask the questions of jobs."""
        return [process for process in self.child.processes() if _has_argument(process, "--parent")]

    def kill_worker(self, fits: Callable[[psutil.Process], bool] = lambda _: True) -> None:
        """Kills one of the workers that fit, as soon as there is one. Raises TimeoutError."""
        wait_until(lambda: self._try_killing(fits), WORKER_LIMIT, "there is no worker to kill")

    def _try_killing(self, fits: Callable[[psutil.Process], bool]) -> bool:
        workers = [worker for worker in self.web_processes()[1:] if fits(worker)]
        try:
            victim = random.choice(workers)
            victim.kill()
            victim.wait(WORKER_LIMIT)
        except (IndexError, psutil.NoSuchProcess):  # there is none, or it has just ended by itself
            return False
        return True


def _has_argument(process: psutil.Process, word: str) -> bool:
    with suppress(psutil.Error):
        return word in " ".join(process.cmdline())
    return False
