"""The record is edited in every way that hides or invents something: each edit is found and placed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.anchor import Checkpoint, read_anchors
from sql_synthesizer.audit.keyring import Keyring, derive_key
from sql_synthesizer.audit.lines import SUFFIX, segment_name
from sql_synthesizer.audit.manifest import NAME, Manifest, collect_writers, parse_entries
from sql_synthesizer.audit.verdict import RecordFault
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer_proof.evidence.claim import Claim

FORGER = derive_key(bytes(range(32)))
"""A key that somebody made up."""


@contextmanager
def change_byte(path: Path) -> Iterator[None]:
    """One byte of the first record of a segment, in its severity, is another one."""
    marker = b'"severity":"'
    with path.open("r+b", buffering=0) as file:
        at = file.read().index(marker) + len(marker)
        kept = os.pread(file.fileno(), 1, at)
        try:
            os.pwrite(file.fileno(), b"x", at)
            yield
        finally:
            os.pwrite(file.fileno(), kept, at)


@dataclass(frozen=True, slots=True)
class RecordCopy:
    """A copy of the record: ``path`` is the last segment of the writer that a checkpoint names."""

    directory: Path
    anchor: Checkpoint
    path: Path

    @property
    def middle(self) -> int:
        """The index of a line in the middle of the segment."""
        return len(self.lines()) // 2

    def lines(self) -> list[bytes]:
        """The segment's lines."""
        return self.path.read_bytes().splitlines(keepends=True)

    def sequence(self, index: int) -> int:
        """The number of the record that a line holds."""
        return int(orjson.loads(self.lines()[index])["sequence"])

    def write(self, lines: list[bytes]) -> None:
        """Puts other lines in the segment."""
        self.path.write_bytes(b"".join(lines))


Edit = Callable[[RecordCopy], tuple[str, int]]
"""Edits a copy; returns the file and the number of the first record that is wrong from then on."""


def change_actor(target: RecordCopy) -> tuple[str, int]:
    """Another actor in one record."""
    return _edit_middle(target, lambda lines: [lines[0].replace(b'"actor":"', b'"actor":"x', 1), *lines[1:]])


def delete_record(target: RecordCopy) -> tuple[str, int]:
    """One record taken out."""
    return _edit_middle(target, lambda lines: lines[1:])


def swap_records(target: RecordCopy) -> tuple[str, int]:
    """Two neighbours in the other order."""
    return _edit_middle(target, lambda lines: [lines[1], lines[0], *lines[2:]])


def _edit_middle(target: RecordCopy, change: Callable[[list[bytes]], list[bytes]]) -> tuple[str, int]:
    """Changes the lines from the middle on."""
    lines, at = target.lines(), target.middle
    place = target.path.name, target.sequence(at)
    target.write(lines[:at] + change(lines[at:]))
    return place


def replay_record(target: RecordCopy) -> tuple[str, int]:
    """A record put in once more, at the end."""
    lines = target.lines()
    place = target.path.name, target.sequence(-1) + 1
    target.write([*lines, lines[target.middle]])
    return place


def append_record(target: RecordCopy) -> tuple[str, int]:
    """A record added at the end, sealed with another key."""
    lines = target.lines()
    last = chain.parse_line(lines[-1])
    fields = {name: value for name, value in orjson.loads(lines[-1]).items() if name not in ("mac", "text")}
    fields["sequence"] += 1
    forged, _ = chain.seal_line(last.mac if last else chain.ORIGIN, orjson.dumps(fields), FORGER.chain)
    target.write([*lines, forged])
    return target.path.name, int(fields["sequence"])


def truncate_segment(target: RecordCopy) -> tuple[str, int]:
    """The last three records taken off."""
    place = target.path.name, target.sequence(-3)
    target.write(target.lines()[:-3])
    return place


def truncate_with_entries(target: RecordCopy) -> tuple[str, int]:
    """The last three records taken off, and what the manifest says of the end."""
    place = truncate_segment(target)
    left = _cut_manifest(target, b'"ended"')
    return NAME if len(left) < target.anchor.manifest else place[0], 0


def remove_writer(target: RecordCopy) -> tuple[str, int]:
    """Every file of a writer removed."""
    for path in target.directory.glob(f"{target.anchor.writer}-*{SUFFIX}"):
        path.unlink()
    return segment_name(target.anchor.writer, 0), 1


def remove_with_entries(target: RecordCopy) -> tuple[str, int]:
    """Every file of a writer removed, and the manifest from its first entry on, with all that came later."""
    left = _cut_manifest(target, b"")
    writers = collect_writers(parse_entries(left))
    known = {segment_name(name, entry.segment) for name, writer in writers.items() for entry in writer.segments}
    for file in target.directory.glob(f"*{SUFFIX}"):
        if file.name not in known:
            file.unlink()
    return NAME, len(left) + 1


def _cut_manifest(target: RecordCopy, what: bytes) -> list[bytes]:
    """Cuts the manifest before the first entry of the writer with these bytes; returns what is left."""
    path = target.directory / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if what in line and target.anchor.writer.encode() in line)
    path.write_bytes(b"".join(lines[:at]))
    return lines[:at]


def forge_manifest(target: RecordCopy) -> tuple[str, int]:
    """The whole manifest sealed anew with another key."""
    path, before, lines = target.directory / NAME, chain.ORIGIN, []
    for entry in parse_entries(Manifest(target.directory).lines()):
        line, before = chain.seal_line(before, orjson.dumps(entry.line.fields | {"key": FORGER.id}), FORGER.chain)
        lines.append(line)
    path.write_bytes(b"".join(lines))
    return NAME, 1


EDITS: tuple[tuple[Edit, bool], ...] = (
    (change_actor, False),
    (delete_record, False),
    (swap_records, False),
    (replay_record, False),
    (append_record, False),
    (truncate_segment, False),
    (truncate_with_entries, True),
    (remove_writer, False),
    (remove_with_entries, True),
    (forge_manifest, False),
)
"""Each edit, and whether only an anchor can reveal it."""


def prove_edits(record: Path, log: Path, home: Path) -> list[Claim]:
    """One claim for each edit, made on a copy of a sound ``record`` whose checkpoints stand in ``log``."""
    keyring = Keyring(record.with_name(record.name + ".key"))
    anchors = list(read_anchors(log))
    claims = []
    for edit, needs_anchor in EDITS:
        copy = home / edit.__name__
        shutil.copytree(record, copy)
        anchor = anchors[-1]
        last = max(copy.glob(f"{anchor.writer}-*{SUFFIX}"))
        place = edit(RecordCopy(copy, anchor, last))
        alone = verify_record(copy, keyring).faults
        anchored = verify_record(copy, keyring, anchors=anchors).faults
        claims.append(_build_claim(edit, place, alone, anchored, needs_anchor=needs_anchor))
        shutil.rmtree(copy)
    return claims


def _build_claim(
    edit: Edit, place: tuple[str, int], alone: list[RecordFault], anchored: list[RecordFault], *, needs_anchor: bool
) -> Claim:
    found = anchored if needs_anchor else alone
    file, sequence = place
    right = bool(found) and found[0].file == file and sequence in (0, found[0].sequence)
    fault = str(found[0]) if found else "not found"
    how = "with an anchor" if needs_anchor else "without an anchor"
    if needs_anchor and alone:
        how = "with or without an anchor"
    return Claim(f"{(edit.__doc__ or '').rstrip('.')}: found {how}", fault, right)
