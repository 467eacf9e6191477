"""What a measurement says about a promise."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """A promise, what was seen of it, and whether it was kept; None when it cannot be shown on this machine."""

    name: str
    told: str
    kept: bool | None

    def __str__(self) -> str:
        return f"{ {True: 'kept', False: 'BROKEN', None: 'not shown'}[self.kept]:9}  {self.name}: {self.told}"
