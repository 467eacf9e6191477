"""Does the record hold what was written? Every line is checked against the chain, the manifest and the anchors."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.anchor import Checkpoint, mac_fingerprint
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.lines import SUFFIX, is_regular, open_regular, read_lines, segment_name
from sql_synthesizer.audit.log import PENDING_RECORDS
from sql_synthesizer.audit.manifest import (
    NAME,
    Entry,
    Manifest,
    Writer,
    collect_writers,
    file_hash,
    parse_entries,
    parse_entry,
)
from sql_synthesizer.audit.record import is_record
from sql_synthesizer.audit.stamp import first_stamp
from sql_synthesizer.audit.verdict import FaultKind, ReadPosition, RecordFault, VerificationReport, VerificationState
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import hold_lock

TRIES = 5
"""How often a faulty record is read again when writers, retention or erasure went on meanwhile."""


def verify_record(
    directory: Path,
    keyring: Keyring,
    *,
    since: VerificationState | None = None,
    known: VerificationState | None = None,
    anchors: Sequence[Checkpoint] = (),
    fingerprints: Sequence[int] = (),
) -> VerificationReport:
    """Reads the record and says what is wrong with it.

    ``since`` goes on from where an earlier verification ended; without it everything is read, and compared with what
    ``known`` was found sound. ``anchors`` are checkpoints that left the machine, ``fingerprints`` values of the metric
    ``audit_checkpoint_fingerprint``.
    """
    began = time.monotonic()
    before = (known or since or VerificationState()).stamp or first_stamp(Manifest(directory).lines())
    for _ in range(TRIES):
        start = since or VerificationState()
        verification = _Verification(directory, keyring, start, known or start, anchors, set(fingerprints))
        report = verification.run()
        if since is not None and not report.sound:
            # What was read may have been taken back since, by a write that failed: only a reading of all of it shows.
            since, known = None, since
        elif report.sound or len(Manifest(directory).lines()) == len(verification.lines):
            break
        with suppress(ConfigurationError):
            keyring.reload()
    report.seconds = round(time.monotonic() - began, 3)
    report.state.verified_at = time.time()
    report.state.stamp = before.advance()
    report.state.full_at = report.state.verified_at if since is None else since.full_at
    return report


@dataclass
class _Verification:
    """One reading of the record, and what it finds."""

    directory: Path
    keyring: Keyring
    since: VerificationState
    known: VerificationState
    anchors: Sequence[Checkpoint]
    unseen: set[int]
    expected: dict[str, dict[int, set[str]]] = field(default_factory=dict)
    met: set[tuple[str, int, str]] = field(default_factory=set)
    broken: bool = False

    def __post_init__(self) -> None:
        self.report = VerificationReport(anchors=len(self.anchors) + len(self.unseen))
        # A file is registered before anything is written to it, so what is there now has to be in the manifest.
        paths = sorted(self.directory.glob(f"*{SUFFIX}"))
        self.files = {path: path.lstat().st_size if is_regular(path) else None for path in paths}
        self.lines = Manifest(self.directory).lines()
        self.values = [key.values for key in self.keyring][::-1]
        for anchor in self.anchors:
            self._expect_record(anchor.writer, anchor.sequence, anchor.mac)
        if not self.since.manifest:
            for name, position in self.known.places.items():
                self._expect_record(name, position.sequence, position.mac.hex())

    def _expect_record(self, writer: str, sequence: int, mac: str) -> None:
        if sequence:
            self.expected.setdefault(writer, {}).setdefault(sequence, set()).add(mac)

    def run(self) -> VerificationReport:
        entries = self._read_manifest()
        found = collect_writers(entries)
        report = self.report
        report.entries, report.writers = len(entries), len(found)
        if entries:
            report.state.manifest, report.state.manifest_mac = len(entries), entries[-1].line.mac.hex()
        self._compare_manifest(entries, self.known.manifest, self.known.manifest_mac, "the last verification")
        for name, writer in found.items():
            try:
                position = self._read_writer(name, writer)
            except Exception as error:  # noqa: BLE001 - whatever the files hold, the rest is verified too
                self.add_fault("damaged", segment_name(name, 0), f"cannot be read: {type(error).__name__}", writer=name)
                continue
            if position is not None:
                report.state.places[name] = position
        if not self.broken:
            self._check_files(entries, found)
        self._check_anchors(entries, found)
        return report

    def add_fault(
        self, kind: FaultKind, file: str, message: str, *, writer: str = "", sequence: int = 0, byte: int = 0
    ) -> None:
        self.report.add(RecordFault(kind, file, message, writer, sequence, byte))

    # --- the manifest ------------------------------------------------------------------------

    def _read_manifest(self) -> list[Entry]:
        """The entries; after one that is wrong the others are taken as they stand, so that records are still read."""
        entries: list[Entry] = []
        before, byte, newest = chain.ORIGIN, 0, ""
        for text in self.lines:
            entry = parse_entry(text)
            key = self.keyring.get(entry.key) if entry else None
            newest = newest or (entry.key if entry else "")
            fault: tuple[FaultKind, str]
            if entry is None:
                fault = "damaged", "this is no entry of a manifest"
            elif key is None or key.id != newest:
                fault = "unknown_key", "the entry is not sealed with the key of its time"
            elif entry.number != len(entries) + 1 or not entry.line.continues(before, key.chain):
                fault = "changed", "the entry was changed, or does not follow the one before it"
            elif entry.kind == "segment" and entry.seal != newest:
                fault = "unknown_key", "the segment is sealed with a key that was rotated out"
            else:
                newest = entry.next_key
                entries.append(entry)
                before, byte = entry.line.mac, byte + len(text)
                continue
            self.add_fault(fault[0], NAME, fault[1], sequence=len(entries) + 1, byte=byte)
            self.broken = True
            return entries + parse_entries(self.lines[len(entries) + 1 :])
        return entries

    # --- one writer --------------------------------------------------------------------------

    def _read_writer(self, name: str, writer: Writer) -> ReadPosition | None:
        """Reads a writer's segments; where to go on when it has not ended."""
        ended, known = writer.ended, self.since.places.get(name)
        if known is None and ended is not None and ended.number <= self.since.manifest:
            known = ReadPosition(len(writer.segments), 0, *ended.end)
        reader = _WriterReader(self, name, writer.erased, known or ReadPosition(0, 0, 0, writer.segments[0].line.mac))
        for entry in writer.segments:
            retired = writer.retired.get(entry.segment)
            if retired is not None and not is_regular(self.directory / segment_name(name, entry.segment)):
                reader.skip(retired)
            elif retired is None and entry.segment < reader.position.segment and reader.sound:
                reader.check_exists(entry)
            else:
                reader.read(entry, last=entry.segment == len(writer.segments) - 1, ended=ended)
                reader.finish_segment(entry.segment, retired)
        if ended is None:
            return reader.position
        if reader.sound:
            reader.check_end(ended)
        return None

    # --- what is around ----------------------------------------------------------------------

    def _check_files(self, entries: list[Entry], found: dict[str, Writer]) -> None:
        """Files that nobody registered, and those that were there before the manifest."""
        known = {segment_name(name, entry.segment) for name, writer in found.items() for entry in writer.segments}
        for entry in entries:
            if entry.kind == "adopted":
                known.add(entry.file)
                key, path = self.keyring.get(entry.key), self.directory / entry.file
                if not is_regular(path):
                    self.add_fault("removed", entry.file, "the file is gone")
                elif key is not None and file_hash(path, key) != entry.hash:
                    self.add_fault("changed", entry.file, "the file was changed since it was adopted")
        for path, size in self.files.items():
            if path.name not in known and size:
                self.add_fault("unregistered", path.name, "the manifest does not know this file")
            elif path.name in known and size is None:
                self.add_fault("damaged", path.name, "this is no regular file")

    def _check_anchors(self, entries: list[Entry], found: dict[str, Writer]) -> None:
        for anchor in self.anchors:
            key = self.keyring.get(anchor.key)
            if key is None or not anchor.is_signed(key):
                message = "the checkpoint is not signed with a key of this record"
                self.add_fault("anchor", "anchor", message, writer=anchor.writer, sequence=anchor.sequence)
                self.expected.get(anchor.writer, {}).get(anchor.sequence, set()).discard(anchor.mac)
                continue
            self._compare_manifest(entries, anchor.manifest, anchor.manifest_mac, "a checkpoint")
        for name, expected in self.expected.items():
            for sequence, macs in expected.items():
                gone = [mac for mac in macs if (name, sequence, mac) not in self.met]
                if gone and not _is_retired(found.get(name), sequence):
                    message = "a record that existed at a checkpoint or at the last verification is gone or another"
                    self.add_fault("cut", name, message, writer=name, sequence=sequence)
        retired = any(writer.retired for writer in found.values())
        for number in sorted(self.unseen):
            if retired:
                self.report.notes.append(f"no record has the fingerprint {number}; it may have been retired")
            else:
                self.add_fault("anchor", "anchor", f"no record has the fingerprint {number}")

    def _compare_manifest(self, entries: list[Entry], number: int, mac: str, when: str) -> None:
        if number > len(entries):
            what = f"entry {number} existed at {when}; only {len(entries)} are there"
            self.add_fault("cut", NAME, what, sequence=len(entries) + 1)
        elif number and entries[number - 1].line.mac.hex() != mac:
            self.add_fault("changed", NAME, f"the entry is another than at {when}", sequence=number)


class _WriterReader:
    """Goes through the segments of one writer; ``position`` is how far it came."""

    def __init__(self, whole: _Verification, name: str, erased: set[int], position: ReadPosition) -> None:
        self.position = position
        self.sound = True
        self._whole = whole
        self._name = name
        self._erased = erased
        # A write that failed may leave records that come again in the next segment: at most as many as may wait.
        self._tail: deque[tuple[int, bytes]] = deque(maxlen=PENDING_RECORDS + 1)
        self._expected = whole.expected.get(name, {})

    def skip(self, retired: Entry) -> None:
        """Passes over a segment that retention removed."""
        if retired.segment >= self.position.segment:
            self.position = ReadPosition(retired.segment + 1, 0, *retired.end)

    def check_exists(self, entry: Entry) -> None:
        """A segment that was read before: it only has to be there."""
        path = self._segment_path(entry.segment)
        if not path.exists():
            before = ReadPosition(entry.segment, 0, *entry.preceding)
            self._add_fault("removed", path, "the segment is gone", before, at=1)

    def finish_segment(self, number: int, retired: Entry | None) -> None:
        """After a segment: one that retention was about to remove has to end where the manifest says."""
        if retired is not None and self.sound:
            if self.position[2:] != retired.end:
                message = "it ends otherwise than when retention removed it"
                self._add_fault("changed", self._segment_path(number), message)
            self.position = ReadPosition(number + 1, 0, self.position.sequence, self.position.mac)

    def read(self, entry: Entry, *, last: bool, ended: Entry | None) -> None:
        """Reads one segment on from the present position."""
        path = self._segment_path(entry.segment)
        key = self._whole.keyring.get(entry.seal)
        self._start_segment(entry)
        self._whole.report.segments += 1
        if key is None:
            self._add_fault("unknown_key", path, "the segment is sealed with a key that the key file does not have")
            return
        try:
            with open_regular(path) as file:
                begin = file.seek(self.position.byte)
                if path.stat().st_size < begin:
                    self._add_fault("cut", path, "the file is shorter than when it was verified")
                    return
                for _, text, fault in read_lines(file, begin):
                    if fault != "torn":
                        self._check_line(path, text, key)
                    elif not last:
                        self._add_note(path, "a write that failed left an unfinished line")
                    elif ended or not _is_writer_alive(file.fileno()):
                        self._report_unfinished_line(path, ended)
                    if not self.sound:
                        return
        except OSError:
            self._add_fault("removed", path, "the segment is gone or cannot be read", at=1)

    def check_end(self, ended: Entry) -> None:
        """Compares where the records end with where the writer said that it ended."""
        path = self._segment_path(self.position.segment)
        if self.position.sequence < ended.sequence:
            self._add_fault("cut", path, f"the writer ended after record {ended.sequence}", at=1)
        elif self.position.sequence > ended.sequence:
            self._add_fault("appended", path, f"the writer ended after record {ended.sequence}")
        elif self.position.mac != ended.last:
            self._add_fault("changed", path, "the last record is another than the one the writer ended with")

    # --- one segment -------------------------------------------------------------------------

    def _start_segment(self, entry: Entry) -> None:
        """Where the segment begins, as its manifest entry says; it has to be where the one before it ended."""
        reached, number = self.position, entry.segment
        if reached.segment == number and reached.byte:
            return
        preceding = entry.preceding
        self.position = ReadPosition(number, 0, *preceding)
        if self.sound and number:
            path, after = self._segment_path(number - 1), preceding.sequence
            if after > reached.sequence:
                message = f"records {reached.sequence + 1} to {after} are gone from its end"
                self._add_fault("cut", path, message, reached, at=1)
            elif preceding != reached[2:] and preceding not in self._tail:
                self._add_fault("changed", path, "the next segment follows another record")
            elif after < reached.sequence:
                left = reached.sequence - after
                self._add_note(path, f"{left} records of a write that failed come again in the next segment")
                self._whole.report.records -= left
        self.sound = True
        self._tail.clear()
        self._tail.append(preceding)

    def _check_line(self, path: Path, text: bytes, key: Key) -> None:
        position, line = self.position, chain.parse_line(text)
        if line is None or not is_record(record := line.fields):
            self._add_fault("damaged", path, "this is no record", at=1)
            return
        sequence = record["sequence"]
        if record.get("writer") != self._name:
            self._add_fault("foreign", path, "the record belongs to another writer", at=1)
        elif sequence > position.sequence + 1:
            self._add_fault("missing", path, f"the next record in the file is {sequence}", at=1)
        elif sequence <= position.sequence:
            self._add_fault("repeated", path, f"record {sequence} comes again, or out of order", at=1)
        elif not line.continues(position.mac, key.chain):
            self._add_fault("changed", path, "the record, or its place, is not the one that was sealed", at=1)
        elif not any(map(line.text_fits, self._whole.values)):
            self._add_fault("changed", path, "the question's text is not the one that was recorded", at=1)
        elif line.erased and sequence not in self._erased:
            message = "the question's text was erased, and the manifest does not know of it"
            self._add_fault("changed", path, message, at=1)
        else:
            self.position = ReadPosition(position.segment, position.byte + len(text), sequence, line.mac)
            self._tail.append((sequence, line.mac))
            self._whole.report.records += 1
            if sequence in self._expected or self._whole.unseen:
                self._match_expected(sequence, line.mac.hex())

    def _match_expected(self, sequence: int, mac: str) -> None:
        if mac in self._expected.get(sequence, ()):
            self._whole.met.add((self._name, sequence, mac))
        self._whole.unseen.discard(mac_fingerprint(mac))

    def _report_unfinished_line(self, path: Path, ended: Entry | None) -> None:
        if ended is None:
            self._add_note(path, "a crash left an unfinished record; the next writer takes it off")
        elif self.position.sequence >= ended.sequence:
            self._add_fault("appended", path, "an unfinished line follows the last record", at=1)

    def _segment_path(self, number: int) -> Path:
        return self._whole.directory / segment_name(self._name, number)

    def _add_note(self, path: Path, message: str) -> None:
        self._whole.report.notes.append(f"{path.name}: {message}")

    def _add_fault(
        self, kind: FaultKind, path: Path, message: str, position: ReadPosition | None = None, *, at: int = 0
    ) -> None:
        """Reports a fault at the present position, or another; ``at`` is 1 for the record behind it."""
        self.sound = False
        _, byte, sequence, _ = position or self.position
        self._whole.add_fault(kind, path.name, message, writer=self._name, sequence=sequence + at, byte=byte)


def _is_writer_alive(descriptor: int) -> bool:
    """Whether the writer of a segment lives."""
    try:
        with hold_lock(descriptor, "the segment", shared=True):
            return False
    except TimeoutError:
        return True


def _is_retired(writer: Writer | None, sequence: int) -> bool:
    """Whether retention removed the record."""
    return writer is not None and any(entry.sequence >= sequence for entry in writer.retired.values())
