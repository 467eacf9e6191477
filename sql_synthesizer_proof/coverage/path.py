"""What is driven and looked for: a path, the signals that it owes, and those that were seen of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

SIGNALS = ("metric", "span", "log", "audit")
KINDS = ("question", "route", "event", "operation", "level", "job", "command")

Sample = tuple[str, Mapping[str, str]]
"""Name of a sample, and labels that it has to have."""


@dataclass(frozen=True, order=True, slots=True)
class Path:
    """One way through the service: where it comes in, the stage that it reaches, and how it ends there."""

    kind: str
    surface: str
    stage: str
    outcome: str

    def __str__(self) -> str:
        return f"{self.kind} / {self.surface} / {self.stage} / {self.outcome}"

    @property
    def draw(self) -> str:
        """What it is drawn by, when some are to stand for all: its name alone decides."""
        return hashlib.sha256(str(self).encode()).hexdigest()

    def fits(self, pattern: str) -> bool:
        """Whether its name is like the pattern, in which ``*`` stands for anything."""
        return fnmatchcase(str(self), pattern)


@dataclass(frozen=True, slots=True)
class Owed:
    """How each signal of a path looks; None where it owes none, and ``why`` says why not.

    ``metric`` are samples that grow, ``span`` fields or attributes of a span, ``log`` and ``audit`` fields of a line
    and of a record, whose details are among them.
    """

    metric: tuple[Sample, ...] | None
    span: Mapping[str, object] | None
    log: Mapping[str, object] | None
    audit: Mapping[str, object] | None
    why: Mapping[str, str] = field(default_factory=dict)

    @property
    def signals(self) -> tuple[str, ...]:
        """The signals that are owed."""
        return tuple(name for name in SIGNALS if getattr(self, name) is not None)


@dataclass(slots=True)
class Result:
    """A path with what was seen of it; ``fault`` is why it could not be driven, ``excused`` why it does not count."""

    path: Path
    owed: tuple[str, ...]
    seen: set[str] = field(default_factory=set)
    trace_id: str = ""
    fault: str = ""
    excused: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The signals that are owed and were not seen."""
        return tuple(name for name in self.owed if name not in self.seen)

    @property
    def covered(self) -> bool:
        """Whether it was driven, and each signal that it owes was seen."""
        return not self.fault and not self.missing
