"""The result of a measurement."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim, what was ``seen``, and whether it holds; None when it cannot be measured on this machine."""

    name: str
    seen: str
    kept: bool | None

    def __str__(self) -> str:
        return f"{ {True: 'holds', False: 'BROKEN', None: 'not shown'}[self.kept]:9}  {self.name}: {self.seen}"
