"""Programs of the machine as child processes: found, started, watched, frozen, ended."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from sql_synthesizer.errors import ConfigurationError

PLACES = ("/usr/sbin", "/usr/local/bin", *(f"/usr/lib/postgresql/{version}/bin" for version in range(18, 12, -1)))
PACKAGES = {
    "prometheus": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "redis-server": "redis-server",
    "initdb": "postgresql",
    "postgres": "postgresql",
}
"""Debian's package of a program; other systems call it much the same."""
RUNNING: set[Child] = set()
"""Children that were started and have not been ended."""
START_LIMIT = 60.0
STOP_LIMIT = 30.0
SERVE = (sys.executable, "-m", "sql_synthesizer", "serve")
"""The service as operators run it, as a child process."""

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses of this machine, whatever proxy the environment names."""


def find_program(*names: str) -> str:
    """The path of the first of these programs that is here. Raises ConfigurationError that says how to get it."""
    for name in names:
        found = shutil.which(name) or next((str(p) for d in PLACES if (p := Path(d) / name).exists()), None)
        if found:
            return found
    package = PACKAGES.get(names[0], names[0])
    raise ConfigurationError(
        f"{' or '.join(names)} is not on this machine.",
        hint=f"On Debian or Ubuntu: sudo apt-get install {package}. Elsewhere: the project's own download.",
    )


def free_port(wanted: int | None = None) -> int:
    """``wanted`` if nobody listens there, else any free TCP port of the loopback address."""
    for port in ([wanted] if wanted else []) + [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ConfigurationError("No TCP port is free on 127.0.0.1.", hint="End programs that listen there.")


def is_answering(url: str, limit: float = 2.0) -> bool:
    """Whether a GET of ``url`` is answered with 200 within ``limit`` seconds."""
    try:
        with direct.open(url, timeout=limit) as reply:
            return bool(reply.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """What ``condition`` gives as soon as it is true. Raises TimeoutError that names ``what`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.1)
    return found


def account_options(name: str) -> dict[str, Any]:
    """Arguments for a process that must not run as root: the account to run as, when this is root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


class Child:
    """A process with all its descendants. ``ready`` is asked until it is true; ``log`` takes what is printed."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._ready = ready
        self._environment = None if environment is None else dict(environment)
        self._options = dict(options or {})
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it, and returns when it is ready. Raises ConfigurationError with its last words when it ends."""
        RUNNING.add(self)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours or one that 'find_program' found
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._options,
            )
        try:
            wait_until(
                lambda: self.exit_status is not None or self._ready(), START_LIMIT, f"{self.name} does not get ready"
            )
        except TimeoutError:
            self.kill()
            raise
        if self.exit_status is not None:
            raise ConfigurationError(f"{self.name} ended with {self.exit_status}.", hint=self._log_tail())
        return self

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:])

    @property
    def pid(self) -> int:
        """Of the first process; 0 before it was started."""
        return self._process.pid if self._process else 0

    @property
    def exit_status(self) -> int | None:
        """The exit status, None while it runs."""
        return self._process.poll() if self._process else 0

    def processes(self) -> list[psutil.Process]:
        """The process and its descendants, as they are now."""
        with suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.pid)
            return [root, *root.children(recursive=True)]
        return []

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the first process only."""
        if self._process is not None and self.exit_status is None:
            self._process.send_signal(number)

    def freeze(self) -> None:
        """Stops every process of it from running, without ending it."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets it go on."""
        self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """Ends it as a power cut would; ``start`` brings it back."""
        RUNNING.discard(self)
        self._signal_all(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_LIMIT)

    def stop(self) -> int:
        """Asks it to end, and ends it when it does not; returns its exit status."""
        RUNNING.discard(self)
        if self._process is None or self.exit_status is not None:
            return self.exit_status or 0
        self.thaw()
        self.send(signal.SIGTERM)
        try:
            return self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
