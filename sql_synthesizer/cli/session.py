"""What the verbs share: the rooms for the time of a command, counted with the running service."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sql_synthesizer import telemetry
from sql_synthesizer.files import hold_lock
from sql_synthesizer.model import Caller, Role
from sql_synthesizer.settings import Settings, load
from sql_synthesizer.telemetry import vocabulary

if TYPE_CHECKING:
    from sql_synthesizer.wiring import Rooms


@contextmanager
def open_rooms(*, log: bool = False, lasting: bool = False, **overrides: Any) -> Iterator[Rooms]:
    """The rooms, closed at the end. Beside a running service the command's events join its metrics.

    With ``log`` they are lines on standard output too, as the service's own are. One that is ``lasting`` also reports
    levels.
    """
    settings = load(**overrides)
    shared = joins_metrics(settings)
    if shared:
        # the client library reads this once, when it is first imported
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(settings.metrics_dir.resolve())
    telemetry.default.levels = lasting
    from sql_synthesizer.monitoring import logs, multiprocess  # noqa: PLC0415
    from sql_synthesizer.wiring import build_rooms  # noqa: PLC0415

    if log:
        logs.configure_logging(settings)
    rooms = build_rooms(settings, telemetry.default, logging=log)
    try:
        yield rooms
    finally:
        rooms.close()
        if shared:
            multiprocess.mark_dead(os.getpid(), settings.metrics_dir)


@contextmanager
def record_command(rooms: Rooms) -> Iterator[Caller]:
    """One operation in the name of the person at the terminal, durable in the audit record when it ends."""
    caller = Caller(f"cli:{getpass.getuser()}"[:64], Role.OPERATOR, "", "cli")
    with rooms.telemetry.operation(vocabulary.COMMAND) as operation:
        operation.trace.actor, operation.trace.role = caller.identity, caller.role
        try:
            yield caller
        finally:
            rooms.telemetry.settle()


def joins_metrics(settings: Settings) -> bool:
    """Whether a service runs on this state directory whose exporter shows what this process counts."""
    return settings.metrics_enabled and _is_service_running(settings.state_dir / "serve.lock")


def _is_service_running(lock: Path) -> bool:
    """Whether a supervisor holds the lock. Looks with a lock that others who look may have at the same time."""
    try:
        with lock.open("rb") as file, hold_lock(file, str(lock), shared=True):
            return False
    except TimeoutError:
        return True
    except OSError:  # there is none, or it is nothing that a service of this account could have made
        return False
