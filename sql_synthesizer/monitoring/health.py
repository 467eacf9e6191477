"""Health: pings registered by whoever owns a dependency, run in the background and cached.

Liveness depends on nothing. Readiness needs every required dependency, of those of a group one, and fails first when
the process drains.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sql_synthesizer.telemetry import Telemetry, vocabulary

INTERVAL = 5.0
"""Seconds between two rounds of pings."""
LIMIT = 2.0
"""Seconds that a ping may take; one that takes longer has failed."""

Ping = Callable[[float], object]
HealthReply = tuple[Mapping[str, object], int]
"""Body and HTTP status."""

_logger = logging.getLogger(__name__)


class _HealthCheck:
    """One dependency. ``up`` is None until its first ping has ended or run out of time."""

    def __init__(
        self, name: str, ping: Ping, *, required: bool, group: str = "", failing: Callable[[], bool] = lambda: False
    ) -> None:
        self.name = name
        self.required = required
        self.group = group
        self.failing = failing
        self.up: bool | None = None
        self.detail = ""
        self._ping = ping
        self._thread: threading.Thread | None = None
        self._passed = False
        self._error = ""

    def begin(self, limit: float) -> None:
        """Starts a ping, unless the one before still hangs."""
        if self._thread is None or not self._thread.is_alive():
            self._passed, self._error = False, "no answer in time"
            self._thread = threading.Thread(target=self._run_ping, args=(limit,), name=f"ping-{self.name}", daemon=True)
            self._thread.start()

    def end(self, deadline: float) -> None:
        """Waits for the ping until ``deadline`` (monotonic) and notes how it went."""
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        up = self._passed and self._thread is not None and not self._thread.is_alive()
        if up and self.up is False:
            _logger.info("%s is up again", self.name)
        elif not up and self.up is not False:
            _logger.warning("%s is down: %s", self.name, self._error)
        self.up = up

    def _run_ping(self, limit: float) -> None:
        began = time.monotonic()
        try:
            self.detail = str(self._ping(limit) or "")
            self._passed = time.monotonic() - began <= limit
        except Exception as error:  # noqa: BLE001  # whatever it is, the dependency is down
            self._error = type(error).__name__

    @property
    def health_status(self) -> str:
        """The status that clients see; never an exception's text."""
        if self.up:
            return "healthy"
        return "unhealthy" if self.required else "degraded"


class Health:
    """The checks of one process. ``interval`` and ``limit`` are seconds; ``draining`` is whether the process drains."""

    def __init__(
        self,
        facade: Telemetry,
        *,
        interval: float = INTERVAL,
        limit: float = LIMIT,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        self._checks: dict[str, _HealthCheck] = {}
        self._interval = interval
        self._limit = limit
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._draining = draining
        self._declared = facade.declared
        facade.read(vocabulary.DEPENDENCY_UP, self._dependency_levels)

    def register(
        self, name: str, ping: Ping, *, required: bool, group: str = "", failing: Callable[[], bool] = lambda: False
    ) -> None:
        """Adds a dependency; of the required ones of a ``group`` one is enough to serve.

        ``failing`` says at once, between two pings, whether it is known that the dependency cannot be used.
        ``ping`` takes its time limit in seconds, raises when the dependency is not usable, and gives what else clients
        should see of it, if anything.
        """
        self._declared.declare(vocabulary.DEPENDENCY, name)
        self._checks[name] = _HealthCheck(name, ping, required=required, group=group, failing=failing)

    def start(self) -> None:
        """Starts the background rounds; does nothing when they run."""
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run_rounds, name="health", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends the background rounds."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._limit + 1)
            self._thread = None

    def liveness_reply(self) -> HealthReply:
        """200, whatever the state of the dependencies."""
        return {"status": "alive"}, 200

    def readiness_reply(self) -> HealthReply:
        """200 when anything can be served, else 503 with the reasons."""
        reasons = ["draining"] if self._draining() else []
        reasons += [f"{check.name} is unhealthy" for check in _find_missing(self._completed_checks())]
        return ({"status": "not ready", "reasons": reasons}, 503) if reasons else ({"status": "ready"}, 200)

    def health_reply(self) -> HealthReply:
        """Every check: 503 when nothing can be served; without a part of it the service is degraded (200)."""
        completed = self._completed_checks()
        checks = {check.name: check.health_status for check in completed}
        details = {check.name: check.detail for check in completed if check.up and check.detail}
        whole = all(check.up for check in completed)
        status = "unhealthy" if _find_missing(completed) else "healthy" if whole else "degraded"
        body = {"status": status, "timestamp": datetime.now(UTC).isoformat(), "checks": checks, "details": details}
        return body, 503 if status == "unhealthy" else 200

    def check(self) -> None:
        """Runs one round: every ping at once, each within the limit."""
        with self._lock:
            self._ping_dependencies()

    def _completed_checks(self) -> list[_HealthCheck]:
        if any(check.up is None for check in self._checks.values()):
            with self._lock:
                if any(check.up is None for check in self._checks.values()):
                    self._ping_dependencies()
        return list(self._checks.values())

    def _ping_dependencies(self) -> None:
        checks = list(self._checks.values())
        deadline = time.monotonic() + self._limit
        for check in checks:
            check.begin(self._limit)
        for check in checks:
            check.end(deadline)

    def _run_rounds(self) -> None:
        while not self._stop.is_set():
            self.check()
            self._stop.wait(self._interval)

    def _dependency_levels(self) -> Iterator[tuple[Mapping[str, str], float]]:
        for check in list(self._checks.values()):
            if check.up is not None:
                yield {"dependency": check.name}, float(check.up)


def _find_missing(checks: Sequence[_HealthCheck]) -> list[_HealthCheck]:
    """What fails and leaves nothing that can be served."""
    served = {check.group for check in checks if check.group and check.up}
    down = [check for check in checks if check.required and (not check.up or check.failing())]
    return [check for check in down if check.group not in served]
