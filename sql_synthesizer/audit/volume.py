"""The volume of the audit record: its free space, and the reserve that only records may use."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

ADVICE = {
    errno.ENOSPC: "the volume is full; free space, and requests are answered again",
    errno.ENOKEY: "the key file has another key than the record; put that back, or move the directory away",
    errno.ESTALE: "a file of the record was changed or removed; put it back: a verification shows what is missing",
}
"""What there is to do about an error."""
LOOK_INTERVAL = 1.0
"""Seconds for which free space is believed unchanged."""


class Volume:
    """Free space of a directory's volume. Below ``reserve`` bytes nothing is answered any more, only recorded."""

    def __init__(self, directory: Path, reserve: int) -> None:
        self._directory = directory
        self._reserve = reserve
        self._looked_at = float("-inf")
        self._low = False

    def free_bytes(self) -> int | None:
        """Bytes that an ordinary user may still write; None when the volume cannot be asked."""
        try:
            volume = os.statvfs(self._directory if self._directory.is_dir() else self._directory.parent)
        except OSError:
            return None
        return volume.f_bavail * volume.f_frsize

    @property
    def low(self) -> bool:
        """Whether less than the reserve is free."""
        now = time.monotonic()
        if self._reserve and now - self._looked_at >= LOOK_INTERVAL:
            self._looked_at = now
            free = self.free_bytes()
            self._low = free is not None and free < self._reserve
        return self._low
