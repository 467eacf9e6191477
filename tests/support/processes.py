"""Processes that a test stops from running or ends: each step returns when it has happened."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from tests.support.serving import until


def family(pid: int) -> list[psutil.Process]:
    """A process that runs and all its descendants."""
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    return []


def freeze(pid: int) -> list[psutil.Process]:
    """Stops a process and its descendants from running, the first one first, so that no other begins meanwhile."""
    send(family(pid)[:1], signal.SIGSTOP)
    stopped = family(pid)
    send(stopped, signal.SIGSTOP)
    return stopped


def thaw(pid: int) -> None:
    """Lets a frozen process and its descendants go on."""
    send(family(pid), signal.SIGCONT)


def kill(pid: int) -> None:
    """Ends a process and its descendants as a power cut would: nothing holds their files and ports then."""
    processes = freeze(pid)
    send(processes, signal.SIGKILL)


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Sends a signal that cannot be caught, and waits until it has worked: it is the kernel's to deliver it."""
    sent = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            sent.append(process)
    wanted = {signal.SIGSTOP: "TZX", signal.SIGKILL: "ZX"}.get(number, "RSDZXI")
    for process in sent:
        until(lambda process=process: states(process.pid) <= set(wanted))


def states(pid: int) -> set[str]:
    """What the threads of a process do, in the letters of the kernel (proc(5)); nothing when it is gone."""
    found = set()
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):
            found.add(stat.read_text().rpartition(")")[2].split()[0])
    return found


class ServerProcess:
    """A server of the test's own; ``freeze``, ``stop`` and ``kill`` make the faults that tests look at."""

    process: subprocess.Popen[bytes] | None = None

    def freeze(self) -> None:
        """Stops every process of the server from running, without ending it; the kernel still takes connections."""
        freeze(self._pid)

    def thaw(self) -> None:
        """Lets a frozen server go on."""
        thaw(self._pid)

    def kill(self) -> None:
        """Ends the server as a power cut would; ``start`` brings it back on the same port."""
        assert self.process is not None
        if self.process.poll() is None:
            kill(self.process.pid)
            self.process.wait()

    stop = kill

    @property
    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid
