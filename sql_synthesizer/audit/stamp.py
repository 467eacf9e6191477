"""The time that retention goes by: as much as is known to have passed, whatever the host's clock is set to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from sql_synthesizer.audit.chain import parse_line

REST_LIMIT = 3 * 86_400.0
"""Seconds that are believed to have passed where only the host's clock says so: a long weekend without power."""
SLACK = 60.0
"""Seconds by which the clock may be set between two looks and is still believed."""
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TICKS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Stamp(NamedTuple):
    """A look at the clock: the time that is believed, what the clock said, and seconds since the start of the host.

    The first two are Unix time; ``boot`` names the start of the host, and is empty where that is not known.
    """

    believed: float
    clock: float
    boot: str = ""
    ticks: float = 0.0

    @classmethod
    def take(cls, believed: float | None = None) -> Stamp:
        """A look at the clock now, by default believed."""
        clock, boot = time.time(), ""
        with suppress(OSError):
            boot = BOOT_ID.read_text(encoding="ascii").strip()
        return cls(clock if believed is None else believed, clock, boot, time.clock_gettime(_TICKS))

    def advance(self) -> Stamp:
        """A look now, that believes of the time since this one what no jump of the clock can add or take away."""
        now = Stamp.take()
        passed, ticked = now.clock - self.clock, now.ticks - self.ticks
        if not now.boot or now.boot != self.boot:
            passed = min(max(0.0, passed), REST_LIMIT)
        elif abs(passed - ticked) > SLACK:
            passed = ticked
        return now._replace(believed=self.believed + passed)

    @property
    def lead(self) -> float:
        """Seconds that the clock is ahead of the time that is believed; 0 where it is not."""
        return max(0.0, self.clock - self.believed)


def first_stamp(manifest: Sequence[bytes]) -> Stamp:
    """What to begin with where no stamp was kept: the time of the first line of a manifest, else the clock's."""
    if not manifest:
        return Stamp.take()
    line, began = parse_line(manifest[0]), 0.0
    with suppress(KeyError, TypeError, ValueError):
        began = datetime.fromisoformat(str(line.fields["time"])).timestamp() if line else 0.0
    return Stamp(began, began)


class Lead:
    """``Stamp.lead`` of the stamp in a file that others replace from time to time."""

    def __init__(self) -> None:
        self._changed = 0
        self._stamp: Stamp | None = None

    def read(self, path: Path, load: Callable[[], Stamp | None]) -> float | None:
        """The lead now, in seconds; None while there is no stamp. ``load`` reads the file when it has changed."""
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return None
        if changed != self._changed:
            self._changed, self._stamp = changed, load()
        return self._stamp.advance().lead if self._stamp else None
