"""What a process and its children use: resident memory, and CPU in percent of what they may use."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import psutil

SAMPLE_INTERVAL = 1.0
"""Seconds for which a sample is reused, as each one walks the process table."""


def allowed_cpus(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float:
    """How many CPUs this process may use: its affinity, or the cgroup's quota (v1 or v2) where that is less."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = float(len(affinity(0)) if affinity else os.cpu_count() or 1)
    return min([cpus, *_cpu_quotas(root, membership)])


def _cpu_quotas(root: Path, membership: Path) -> list[float]:
    quotas = []
    for line in _read_text(membership).splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [root] if not controllers else [root / controllers, root / "cpu"]
        inside = Path(path.lstrip("/"))
        for place in (mount / part for mount in mounts for part in (inside, *inside.parents)):
            limit, period = _read_quota(place)
            if limit > 0 and period > 0:
                quotas.append(limit / period)
    return quotas


def _read_quota(place: Path) -> tuple[float, float]:
    words = _read_text(place / "cpu.max").split() or [
        _read_text(place / "cpu.cfs_quota_us").strip(),
        _read_text(place / "cpu.cfs_period_us").strip(),
    ]
    try:
        return float(words[0]), float(words[1])
    except (ValueError, IndexError):  # 'max', or no such file
        return 0.0, 0.0


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


class ProcessTree:
    """A process and all its descendants. ``pid`` is this process unless given."""

    def __init__(self, pid: int | None = None) -> None:
        self._pid = pid
        self._lock = threading.Lock()
        self._seen: dict[tuple[int, float], float] = {}
        self._sampled_at = 0.0
        self._sample = (0.0, 0.0)

    def sample(self) -> tuple[float, float]:
        """(resident bytes, CPU percent since the sample before, 0 to 100); the first covers the processes' lives."""
        with self._lock:
            now = time.monotonic()
            if not self._sampled_at or now - self._sampled_at >= SAMPLE_INTERVAL:
                self._sample = self._take_sample(now)
                self._sampled_at = now
            return self._sample

    def _take_sample(self, now: float) -> tuple[float, float]:
        resident, used, oldest = 0.0, 0.0, time.time()
        seen: dict[tuple[int, float], float] = {}
        for process in self._list_processes():
            try:
                with process.oneshot():
                    times, born = process.cpu_times(), process.create_time()
                    resident += process.memory_info().rss
            except psutil.Error:
                continue
            key = (process.pid, born)
            seen[key] = times.user + times.system
            used += max(0.0, seen[key] - self._seen.get(key, 0.0))
            oldest = min(oldest, born)
        elapsed = now - self._sampled_at if self._sampled_at else time.time() - oldest
        self._seen = seen
        percent = 100.0 * used / (elapsed * allowed_cpus()) if elapsed > 0 else 0.0
        return resident, min(100.0, percent)

    def _list_processes(self) -> list[psutil.Process]:
        try:
            root = psutil.Process(self._pid or os.getpid())
            return [root, *root.children(recursive=True)]
        except psutil.Error:
            return []
