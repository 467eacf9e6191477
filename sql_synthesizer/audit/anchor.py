"""Checkpoints: where the record stands, sent out of its directory, so that what is cut off later is missed."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import get_type_hints

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.segment import Segments
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.telemetry import Telemetry, vocabulary

INTERVAL = 30.0
"""Seconds between two checkpoints of a writer that writes."""
FINGERPRINT_DIGITS = 13
"""Hexadecimal digits of a MAC that a metric can hold exactly: 52 bits."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The last durable record of a writer and the last entry of the manifest, signed with the key ``key``."""

    writer: str
    sequence: int
    mac: str
    manifest: int
    manifest_mac: str
    key: str
    signature: str = ""

    def with_signature(self, key: Key) -> Checkpoint:
        """This checkpoint with its signature."""
        return replace(self, signature=self._compute_signature(key))

    def is_signed(self, key: Key) -> bool:
        """Whether the signature was made with this key."""
        return hmac.compare_digest(self.signature.encode("utf-8", "replace"), self._compute_signature(key).encode())

    def _compute_signature(self, key: Key) -> str:
        signed = f"{self.writer} {self.sequence} {self.mac} {self.manifest} {self.manifest_mac} {self.key}"
        return hashlib.blake2b(signed.encode(), key=key.chain, digest_size=chain.MAC_BYTES).hexdigest()


class Checkpoints:
    """Emits where one writer stands, every ``INTERVAL`` seconds when there is something new."""

    def __init__(self, segments: Segments, keyring: Keyring, telemetry: Telemetry) -> None:
        self._segments = segments
        self._keyring = keyring
        self._telemetry = telemetry
        self._emitted: tuple[int, int] = (0, 0)
        self._next = time.monotonic() + INTERVAL
        self.fingerprint: int | None = None

    def emit_checkpoint(self, *, now: bool = False) -> None:
        """Emits a checkpoint if one is due, or ``now``."""
        if not now and time.monotonic() < self._next:
            return
        self._next = time.monotonic() + INTERVAL
        position = self._segments.position
        try:
            last = self._segments.manifest.last()
        except OSError:
            return
        number, manifest_mac = (last.number, last.line.mac.hex()) if last else (0, "")
        if (position.sequence, number) == self._emitted or not position.sequence:
            return
        self._emitted = position.sequence, number
        key, own = self._keyring.current, position.mac.hex()
        made = Checkpoint(self._segments.writer, position.sequence, own, number, manifest_mac, key.id)
        self.fingerprint = mac_fingerprint(own)
        self._telemetry.emit(vocabulary.AUDIT_CHECKPOINT, **asdict(made.with_signature(key)))


def mac_fingerprint(mac: str) -> int:
    """The start of a MAC as the number that the metric ``audit_checkpoint_fingerprint`` shows."""
    return int(mac[:FINGERPRINT_DIGITS], 16)


def read_anchors(path: Path) -> Iterator[Checkpoint]:
    """The checkpoints in a file of log lines, whatever else stands in it, also inside of JSON that wraps each line.

    Raises ConfigurationError when the file, or a checkpoint in it, cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if b'"audit_checkpoint"' not in (plain := line.replace(b'\\"', b'"')):
                    continue
                try:
                    yield _parse_checkpoint(plain)
                except (ValueError, KeyError, TypeError):
                    raise ConfigurationError(
                        f"Line {number} of the anchor file {path} names a checkpoint that cannot be read.",
                        hint="A log that was cut in the middle of a line proves less: repair or remove that line.",
                    ) from None
    except OSError as error:
        raise ConfigurationError(f"The anchor file {path} cannot be read: {type(error).__name__}.") from None


def _parse_checkpoint(line: bytes) -> Checkpoint:
    """Raises ValueError, KeyError, TypeError when the line holds none."""
    begin = line.rindex(b"{", 0, line.index(b'"audit_checkpoint"'))
    fields = orjson.loads(line[begin : line.index(b"}", begin) + 1])
    return Checkpoint(**{name: type_(fields[name]) for name, type_ in get_type_hints(Checkpoint).items()})
