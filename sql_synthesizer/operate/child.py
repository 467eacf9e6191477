"""Child processes: started, watched, and ended with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sql_synthesizer.errors import ConfigurationError

if TYPE_CHECKING:
    import psutil

RUNNING: set[Child] = set()
"""Children that were started and have not been ended."""
START_LIMIT = 60.0
STOP_LIMIT = 30.0


def module_command(module: str, *arguments: str) -> list[str]:
    """The command that runs a module with the interpreter of this process."""
    return [sys.executable, "-m", module, *arguments]


def own_command(*arguments: str) -> list[str]:
    """The command line of the product as operators type it, for a child process."""
    return module_command("sql_synthesizer", *arguments)


SERVE = own_command("serve")


def becomes_true(condition: Callable[[], object], seconds: float, poll: float = 0.1) -> bool:
    """Whether ``condition``, checked every ``poll`` seconds, becomes true within ``seconds``; as soon as it does."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll)
    return True


def wait_until(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Returns as soon as ``condition`` is true. Raises TimeoutError that names ``what`` after ``seconds``."""
    if not becomes_true(condition, seconds):
        raise TimeoutError(f"{what}: not within {seconds:g} s")


def ignore_signals(numbers: Sequence[signal.Signals]) -> None:
    """Lets this process go on to its end, which has begun and which no longer has a handler for these signals."""
    # Masks alone do not do, since a joined thread lives on for a moment; without them a signal that comes while its
    # handler is taken away is printed as a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)


class Child:
    """A process with all its descendants, in a session of its own.

    ``ready`` is asked until it is true; ``log`` takes what is printed, which else goes where this process prints.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool] | None = None,
        log: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.log = log or Path(os.devnull)
        self._logged = log is not None
        self._command = list(command)
        self._ready = ready
        self._environment = environment
        self._options = options or {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Starts it, and returns when it is ready. Raises ConfigurationError with its last words when it ends."""
        RUNNING.add(self)
        with self.log.open("ab") as log:
            output = log if self._logged else None
            self._process = subprocess.Popen(  # noqa: S603 - a program of ours or one that 'find_program' found
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                **self._options,
            )
        if self._ready is not None:
            self._await_ready(self._ready)
        return self

    def _await_ready(self, ready: Callable[[], bool]) -> None:
        try:
            wait_until(lambda: self.exit_status is not None or ready(), START_LIMIT, f"{self.name} does not get ready")
        except TimeoutError:
            self.kill()
            raise
        if self.exit_status is not None:
            raise ConfigurationError(f"{self.name} ended with {self.exit_status}.", hint=self._log_tail())

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
        """The process and its descendants, as they are now, each after the one that started it."""
        import psutil  # noqa: PLC0415

        with suppress(psutil.NoSuchProcess):
            if self.exit_status is None:  # else the number may be another's by now
                root = psutil.Process(self.pid)
                return [root, *root.children(recursive=True)]
        return []

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the first process only."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it as a power cut would; ``start`` brings it back."""
        RUNNING.discard(self)
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_LIMIT)

    def stop(self, seconds: float | None = STOP_LIMIT) -> int:
        """Asks it to end, and ends it when it has not after ``seconds``; returns its exit status."""
        RUNNING.discard(self)
        self.send(signal.SIGTERM)
        try:
            return self._process.wait(seconds) if self._process else 0
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
