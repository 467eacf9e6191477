"""Does the record hold what was written? Every line is checked against the chain, the manifest and the anchors."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from sql_synthesizer.audit import chain, manifest
from sql_synthesizer.audit.anchor import Checkpoint, mac_fingerprint
from sql_synthesizer.audit.files import SUFFIX, is_regular, open_regular
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.log import PENDING_RECORDS
from sql_synthesizer.audit.manifest import NAME, Manifest, Writer, collect_writers, parse_entries, preceding_position
from sql_synthesizer.audit.reading import LINE_LIMIT
from sql_synthesizer.audit.verdict import FaultKind, Place, RecordFault, State, VerificationReport
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import hold_lock

TRIES = 5
"""How often a faulty record is read again when writers, retention or erasure went on meanwhile."""


def verify_record(
    directory: Path,
    keyring: Keyring,
    *,
    since: State | None = None,
    known: State | None = None,
    anchors: Sequence[Checkpoint] = (),
    fingerprints: Sequence[int] = (),
) -> VerificationReport:
    """Reads the record and says what is wrong with it.

    ``since`` goes on from where an earlier verification ended; without it everything is read, and compared with what
    ``known`` was found sound. ``anchors`` are checkpoints that left the machine, ``fingerprints`` values of the metric
    ``audit_checkpoint_fingerprint``.
    """
    began = time.monotonic()
    for _ in range(TRIES):
        walk = _Walk(directory, keyring, since or State(), known or since or State(), anchors, fingerprints)
        report = walk.run()
        if since is not None and not report.sound:
            # What was read may have been taken back since, by a write that failed: only all of it tells.
            since, known = None, since
        elif report.sound or len(Manifest(directory).lines()) == len(walk.lines):
            break
        with suppress(ConfigurationError):
            keyring.reload()
    report.seconds = round(time.monotonic() - began, 3)
    report.state.verified_at = time.time()
    report.state.full_at = report.state.verified_at if since is None else since.full_at
    return report


class _Walk:
    def __init__(
        self,
        directory: Path,
        keyring: Keyring,
        since: State,
        known: State,
        anchors: Sequence[Checkpoint],
        fingerprints: Sequence[int],
    ) -> None:
        self.directory = directory
        self.keyring = keyring
        self.since = since
        self.known = known
        self.anchors = anchors
        self.report = VerificationReport(anchors=len(anchors) + len(fingerprints))
        self.unseen = set(fingerprints)
        self.wanted: dict[str, dict[int, set[str]]] = {}
        self.met: set[tuple[str, int, str]] = set()
        self.broken = False
        # A file is registered before anything is written to it, so what is there now has to be in the manifest.
        self.files = {path: _file_size(path) for path in sorted(directory.glob(f"*{SUFFIX}"))}
        self.lines = Manifest(directory).lines()
        self.values = [key.values for key in keyring][::-1]
        for anchor in anchors:
            self._expect_record(anchor.writer, anchor.sequence, anchor.mac)
        if not since.manifest:
            for name, place in known.places.items():
                self._expect_record(name, place.sequence, place.mac.hex())

    def _expect_record(self, writer: str, sequence: int, mac: str) -> None:
        if sequence:
            self.wanted.setdefault(writer, {}).setdefault(sequence, set()).add(mac)

    def run(self) -> VerificationReport:
        entries = self._read_manifest()
        found = collect_writers(entries)
        report = self.report
        report.entries, report.writers = len(entries), len(found)
        if entries:
            report.state.manifest, report.state.manifest_mac = len(entries), entries[-1].fields["mac"]
        self._compare_manifest(entries, self.known.manifest, self.known.manifest_mac, "the last verification")
        for name, writer in found.items():
            try:
                place = self._read_writer(name, writer)
            except Exception as error:  # noqa: BLE001 - whatever the files hold, the rest is verified too
                self.add_fault(
                    "damaged", manifest.segment_name(name, 0), f"cannot be read: {type(error).__name__}", writer=name
                )
                continue
            if place is not None:
                report.state.places[name] = place
        if not self.broken:
            self._check_files(entries, found)
        self._check_anchors(entries, found)
        return report

    def add_fault(self, kind: FaultKind, file: str, told: str, **place: Any) -> None:
        self.report.add([RecordFault(kind, file, told, **place)])

    # --- the manifest ------------------------------------------------------------------------

    def _read_manifest(self) -> list[chain.ChainLine]:
        """The entries; after one that is wrong the others are taken as they stand, so that records are still read."""
        entries: list[chain.ChainLine] = []
        before, byte, newest = chain.ORIGIN, 0, ""
        for text in self.lines:
            entry = chain.parse_line(text)
            place: dict[str, Any] = {"sequence": len(entries) + 1, "byte": byte}
            key = self.keyring.get(str(entry.fields.get("key"))) if entry else None
            newest = newest or str(entry.fields.get("key") if entry else "")
            if entry is None or not manifest.is_entry(entry):
                self.add_fault("damaged", NAME, "this is no entry of a manifest", **place)
            elif key is None or key.id != newest:
                self.add_fault("unknown_key", NAME, "the entry is not sealed with the key of its time", **place)
            elif entry.fields["number"] != len(entries) + 1 or not entry.continues(before, key.chain):
                self.add_fault("changed", NAME, "the entry was changed, or does not follow the one before it", **place)
            elif entry.fields["kind"] == "segment" and entry.fields["seal"] != newest:
                self.add_fault("unknown_key", NAME, "the segment is sealed with a key that was rotated out", **place)
            else:
                newest = entry.fields["new"] if entry.fields["kind"] == "key" else newest
                entries.append(entry)
                before, byte = entry.mac, byte + len(text)
                continue
            self.broken = True
            return entries + parse_entries(self.lines[len(entries) + 1 :])
        return entries

    # --- one writer --------------------------------------------------------------------------

    def _read_writer(self, name: str, writer: Writer) -> Place | None:
        """Reads a writer's segments; where to go on when it has not ended."""
        ended = writer.ended
        known = self.since.places.get(name)
        if known is None and ended is not None and ended.fields["number"] <= self.since.manifest:
            known = Place(len(writer.segments), 0, ended.fields["sequence"], bytes.fromhex(ended.fields["last"]))
        reader = _WriterReader(self, name, writer.erased, known or Place(0, 0, 0, writer.segments[0].mac))
        for entry in writer.segments:
            number = entry.fields["segment"]
            retired = writer.retired.get(number)
            if retired is not None and not is_regular(self.directory / manifest.segment_name(name, number)):
                reader.skip(number, retired)
            elif retired is None and number < reader.place.segment and reader.sound:
                reader.check_exists(entry)
            else:
                reader.read(entry, last=number == len(writer.segments) - 1, ended=ended)
                reader.finish_segment(number, retired)
        if ended is None:
            return reader.place
        if reader.sound:
            reader.check_end(ended)
        return None

    # --- what is around ----------------------------------------------------------------------

    def _check_files(self, entries: list[chain.ChainLine], found: dict[str, Writer]) -> None:
        """Files that nobody registered, and those that were there before the manifest."""
        known = {
            manifest.segment_name(name, e.fields["segment"]) for name, writer in found.items() for e in writer.segments
        }
        for entry in entries:
            if entry.fields["kind"] == "adopted":
                name = entry.fields["file"]
                known.add(name)
                key = self.keyring.get(entry.fields["key"])
                path = self.directory / name
                if not is_regular(path):
                    self.add_fault("removed", name, "the file is gone")
                elif key is not None and manifest.file_hash(path, key) != entry.fields["hash"]:
                    self.add_fault("changed", name, "the file was changed since it was adopted")
        for path, size in self.files.items():
            if path.name not in known and size:
                self.add_fault("unregistered", path.name, "the manifest does not know this file")
            elif path.name in known and size is None:
                self.add_fault("damaged", path.name, "this is no regular file")

    def _check_anchors(self, entries: list[chain.ChainLine], found: dict[str, Writer]) -> None:
        for anchor in self.anchors:
            key = self.keyring.get(anchor.key)
            if key is None or not anchor.is_signed(key):
                told = "the checkpoint is not signed with a key of this record"
                self.add_fault("anchor", "anchor", told, writer=anchor.writer, sequence=anchor.sequence)
                self.wanted.get(anchor.writer, {}).get(anchor.sequence, set()).discard(anchor.mac)
                continue
            self._compare_manifest(entries, anchor.manifest, anchor.manifest_mac, "a checkpoint")
        for name, wanted in self.wanted.items():
            for sequence, macs in wanted.items():
                gone = [mac for mac in macs if (name, sequence, mac) not in self.met]
                if gone and not _is_retired(found.get(name), sequence):
                    told = "a record that existed at a checkpoint or at the last verification is gone or another"
                    self.add_fault("cut", name, told, writer=name, sequence=sequence)
        retired = any(writer.retired for writer in found.values())
        for number in sorted(self.unseen):
            if retired:
                self.report.notes.append(f"no record has the fingerprint {number}; it may have been retired")
            else:
                self.add_fault("anchor", "anchor", f"no record has the fingerprint {number}")

    def _compare_manifest(self, entries: list[chain.ChainLine], number: int, mac: str, when: str) -> None:
        if number > len(entries):
            what = f"entry {number} existed at {when}; only {len(entries)} are there"
            self.add_fault("cut", NAME, what, sequence=len(entries) + 1)
        elif number and entries[number - 1].fields["mac"] != mac:
            self.add_fault("changed", NAME, f"the entry is another than at {when}", sequence=number)


class _WriterReader:
    """Goes through the segments of one writer; ``place`` is how far it came."""

    def __init__(self, walk: _Walk, name: str, erased: set[int], place: Place) -> None:
        self.place = place
        self.sound = True
        self._walk = walk
        self._name = name
        self._erased = erased
        self._tail: deque[tuple[int, bytes]] = deque(maxlen=PENDING_RECORDS + 1)
        self._wanted = walk.wanted.get(name, {})

    def skip(self, number: int, retired: chain.ChainLine) -> None:
        """Passes over a segment that retention removed."""
        if number >= self.place.segment:
            self.place = Place(number + 1, 0, retired.fields["sequence"], bytes.fromhex(retired.fields["last"]))

    def check_exists(self, entry: chain.ChainLine) -> None:
        """A segment that was read before: it only has to be there."""
        path = self._segment_path(entry.fields["segment"])
        if not path.exists():
            self.sound = False
            first = entry.fields["after"] + 1
            self._walk.add_fault("removed", path.name, "the segment is gone", writer=self._name, sequence=first)

    def finish_segment(self, number: int, retired: chain.ChainLine | None) -> None:
        """After a segment: one that retention was about to remove has to end where the manifest says."""
        if retired is not None and self.sound:
            if (self.place.sequence, self.place.mac.hex()) != (retired.fields["sequence"], retired.fields["last"]):
                self._add_fault(
                    "changed", self._segment_path(number), "it ends otherwise than when retention removed it"
                )
            self.place = Place(number + 1, 0, self.place.sequence, self.place.mac)

    def read(self, entry: chain.ChainLine, *, last: bool, ended: chain.ChainLine | None) -> None:
        """Reads one segment on from the present place."""
        number = entry.fields["segment"]
        path = self._segment_path(number)
        key = self._walk.keyring.get(entry.fields["seal"])
        self._start_segment(entry, number)
        self._walk.report.segments += 1
        if key is None:
            self._add_fault("unknown_key", path, "the segment is sealed with a key that the key file does not have")
            return
        try:
            with open_regular(path) as file:
                file.seek(self.place.byte)
                if path.stat().st_size < self.place.byte:
                    self._add_fault("cut", path, "the file is shorter than when it was verified")
                while self.sound and (text := file.readline(LINE_LIMIT)):
                    if text.endswith(b"\n") or len(text) == LINE_LIMIT:
                        self._check_line(path, text, key)
                        continue
                    if not last:
                        self._walk.report.notes.append(f"{path.name}: a write that failed left an unfinished line")
                    elif ended or not _is_writer_alive(file.fileno()):
                        self._report_unfinished_line(path, ended)
                    break
        except OSError:
            self._add_fault("removed", path, "the segment is gone or cannot be read", at=1)

    def check_end(self, ended: chain.ChainLine) -> None:
        """Compares where the records end with where the writer said that it ended."""
        sequence = ended.fields["sequence"]
        path = self._segment_path(self.place.segment)
        if self.place.sequence < sequence:
            self._add_fault("cut", path, f"the writer ended after record {sequence}", at=1)
        elif self.place.sequence > sequence:
            self._add_fault("appended", path, f"the writer ended after record {sequence}")
        elif self.place.mac.hex() != ended.fields["last"]:
            self._add_fault("changed", path, "the last record is another than the one the writer ended with")

    # --- one segment -------------------------------------------------------------------------

    def _start_segment(self, entry: chain.ChainLine, number: int) -> None:
        """Where the segment begins, as its manifest entry says; it has to be where the one before it ended."""
        place = self.place
        if place.segment == number and place.byte:
            return
        after, before = preceding_position(entry)
        self.place = Place(number, 0, after, before)
        if self.sound and number:
            path = self._segment_path(number - 1)
            if after > place.sequence:
                self._walk.add_fault(
                    "cut",
                    path.name,
                    f"records {place.sequence + 1} to {after} are gone from its end",
                    writer=self._name,
                    sequence=place.sequence + 1,
                    byte=place.byte,
                )
            elif (after, before) != (place.sequence, place.mac) and (after, before) not in self._tail:
                self._walk.add_fault(
                    "changed", path.name, "the next segment follows another record", writer=self._name, sequence=after
                )
            elif after < place.sequence:
                left = place.sequence - after
                self._walk.report.notes.append(
                    f"{path.name}: {left} records of a write that failed come again in the next segment"
                )
                self._walk.report.records -= left
        self.sound = True
        self._tail.clear()
        self._tail.append((after, before))

    def _check_line(self, path: Path, text: bytes, key: Key) -> None:
        place, line = self.place, chain.parse_line(text)
        if line is None:
            self._add_fault("damaged", path, "this is no record", at=1)
            return
        told = line.fields.get("sequence")
        if line.fields.get("writer") != self._name:
            self._add_fault("foreign", path, "the record belongs to another writer", at=1)
        elif not isinstance(told, int) or told > place.sequence + 1:
            self._add_fault("missing", path, f"the next record in the file is {told}", at=1)
        elif told <= place.sequence:
            self._add_fault("repeated", path, f"record {told} comes again, or out of order", at=1)
        elif not line.continues(place.mac, key.chain):
            self._add_fault("changed", path, "the record, or its place, is not the one that was sealed", at=1)
        elif not any(map(line.text_fits, self._walk.values)):
            self._add_fault("changed", path, "the question's text is not the one that was recorded", at=1)
        elif "text" in line.fields and line.fields["text"] is None and told not in self._erased:
            self._add_fault(
                "changed", path, "the question's text was erased, and the manifest does not know of it", at=1
            )
        else:
            self.place = Place(place.segment, place.byte + len(text), told, line.mac)
            self._tail.append((told, line.mac))
            self._walk.report.records += 1
            self._match_expected(told, line.fields["mac"])

    def _match_expected(self, sequence: int, mac: str) -> None:
        if mac in self._wanted.get(sequence, ()):
            self._walk.met.add((self._name, sequence, mac))
        if self._walk.unseen:
            self._walk.unseen.discard(mac_fingerprint(mac))

    def _report_unfinished_line(self, path: Path, ended: chain.ChainLine | None) -> None:
        if ended is None:
            what = "a crash left an unfinished record; the next writer takes it off"
            self._walk.report.notes.append(f"{path.name}: {what}")
        elif self.place.sequence >= ended.fields["sequence"]:
            self._add_fault("appended", path, "an unfinished line follows the last record", at=1)

    def _segment_path(self, number: int) -> Path:
        return self._walk.directory / manifest.segment_name(self._name, number)

    def _add_fault(self, kind: FaultKind, path: Path, told: str, *, at: int = 0) -> None:
        self.sound = False
        sequence = self.place.sequence + at
        self._walk.add_fault(kind, path.name, told, writer=self._name, sequence=sequence, byte=self.place.byte)


def _file_size(path: Path) -> int | None:
    """Bytes of a regular file; None of anything else."""
    return path.lstat().st_size if is_regular(path) else None


def _is_writer_alive(descriptor: int) -> bool:
    """Whether the writer of a segment lives."""
    try:
        with hold_lock(descriptor, "the segment", shared=True):
            return False
    except TimeoutError:
        return True


def _is_retired(writer: Writer | None, sequence: int) -> bool:
    """Whether retention removed the record."""
    return writer is not None and any(entry.fields["sequence"] >= sequence for entry in writer.retired.values())
