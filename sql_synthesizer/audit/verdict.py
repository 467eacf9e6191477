"""What a verification says: faults with their place, notes, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.stamp import Stamp
from sql_synthesizer.files import write_file

FAULTS_LIMIT = 1_000
"""Faults that are listed; more are counted only."""

_STATE = b"audit-verified--"
"""What stands for the MAC before a state: no line of the record can be taken for one."""

FaultKind = Literal[
    "changed",
    "missing",
    "repeated",
    "foreign",
    "damaged",
    "cut",
    "appended",
    "removed",
    "unregistered",
    "unknown_key",
    "anchor",
]


@dataclass(frozen=True, slots=True)
class RecordFault:
    """What is wrong, and where: a file, and in it the record with this number at this byte."""

    kind: FaultKind
    file: str
    message: str
    writer: str = ""
    sequence: int = 0
    byte: int = 0

    def __str__(self) -> str:
        place = f", {'record' if self.writer else 'entry'} {self.sequence}" if self.sequence else ""
        return f"{self.kind}: {self.file}{place}, byte {self.byte}: {self.message}"


class ReadPosition(NamedTuple):
    """A point between two records of a writer: the record before it, and where the next one begins."""

    segment: int
    byte: int
    sequence: int
    mac: bytes


@dataclass(slots=True)
class VerificationState:
    """How far the record was found sound: a later verification goes on from here.

    ``manifest`` and ``manifest_mac`` are of the manifest's last entry; writers that had ended by then and are not in
    ``places`` were read to their end. ``full_at`` is when all was read at once, in Unix time; ``stamp`` is the time as
    retention sees it, None before the first verification.
    """

    manifest: int = 0
    manifest_mac: str = ""
    places: dict[str, ReadPosition] = field(default_factory=dict)
    verified_at: float = 0.0
    full_at: float = 0.0
    stamp: Stamp | None = None

    def save(self, path: Path, key: Key) -> None:
        """Writes a sealed file, at once or not at all. Raises OSError."""
        places = {name: [p.segment, p.byte, p.sequence, p.mac.hex()] for name, p in self.places.items()}
        fields = {"manifest": self.manifest, "manifest_mac": self.manifest_mac, "places": places}
        fields |= {"verified_at": self.verified_at, "full_at": self.full_at, "key": key.id}
        fields["stamp"] = list(self.stamp) if self.stamp else None
        text, _ = chain.seal_line(_STATE, orjson.dumps(fields), key.chain)
        write_file(path, [text])

    @classmethod
    def load(cls, path: Path, keyring: Keyring) -> VerificationState:
        """The state in the file; the beginning when there is none that one of the keys has sealed."""
        try:
            line = chain.parse_line(path.read_bytes())
        except OSError:
            return cls()
        key = keyring.get(str(line.fields.get("key"))) if line else None
        if line is None or key is None or line.text or line.erased or not line.continues(_STATE, key.chain):
            return cls()
        fields: dict[str, Any] = line.fields
        places = {name: ReadPosition(p[0], p[1], p[2], bytes.fromhex(p[3])) for name, p in fields["places"].items()}
        when = fields["verified_at"]
        stamp = Stamp(*(fields.get("stamp") or (when, when)))
        return cls(fields["manifest"], fields["manifest_mac"], places, when, fields["full_at"], stamp)


@dataclass(slots=True)
class VerificationReport:
    """The result of a verification; ``state`` is where the next one may go on when this one found nothing."""

    faults: list[RecordFault] = field(default_factory=list)
    faults_total: int = 0
    notes: list[str] = field(default_factory=list)
    records: int = 0
    segments: int = 0
    writers: int = 0
    entries: int = 0
    anchors: int = 0
    seconds: float = 0.0
    state: VerificationState = field(default_factory=VerificationState)

    @property
    def empty(self) -> bool:
        """Whether there was nothing to verify: no record was ever made, or it was removed with its manifest."""
        return not self.entries and not self.segments and not self.faults_total

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults_total

    def add(self, fault: RecordFault) -> None:
        """Takes a fault in."""
        self.faults_total += 1
        if len(self.faults) < FAULTS_LIMIT:
            self.faults.append(fault)
