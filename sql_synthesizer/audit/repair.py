"""What a crash left behind: an unfinished line is taken off, and the end of its writer noted in the manifest."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.files import open_regular
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.manifest import (
    Appender,
    Manifest,
    Writer,
    collect_writers,
    parse_entries,
    preceding_position,
    segment_name,
)
from sql_synthesizer.files import hold_lock

TAIL_BYTES = 1_000_000
"""No record is longer."""

_logger = logging.getLogger(__name__)


def end_crashed_writers(directory: Path, manifest: Appender, keyring: Keyring) -> None:
    """Notes the end of each writer that died without doing so itself. Raises OSError."""
    for name, writer in collect_writers(parse_entries(Manifest(directory).lines())).items():
        if writer.ended is None:
            _end_writer(
                directory / segment_name(name, writer.segments[-1].fields["segment"]), manifest, writer, keyring
            )


def _end_writer(path: Path, manifest: Appender, writer: Writer, keyring: Keyring) -> None:
    last = writer.segments[-1]
    key = keyring.get(last.fields["seal"])
    try:
        file = open_regular(path, write=True)
    except OSError:
        return  # it is missing, which is for the verification to tell
    with file, ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(file, path.name))
        except TimeoutError:
            return  # its writer lives
        if key is not None:
            _repair_segment(file.fileno(), manifest, last, key)


def _repair_segment(descriptor: int, manifest: Appender, segment: chain.ChainLine, key: Key) -> None:
    """Takes an unfinished line off and notes the last record; where that is not sound nothing is noted."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    whole, torn = tail[: tail.rfind(b"\n") + 1], tail[tail.rfind(b"\n") + 1 :]
    sequence, last = preceding_position(segment)
    if whole:
        lines = whole.splitlines(keepends=True)
        line = chain.parse_line(lines[-1])
        above = chain.parse_line(lines[-2]) if len(lines) > 1 else None
        before = above.mac if above else last
        if line is None or (len(lines) > 1 and above is None) or not line.continues(before, key.chain):
            return
        sequence, last = line.fields["sequence"], line.mac
    name = segment.fields["writer"]
    if torn:
        os.ftruncate(descriptor, start + len(whole))
        os.fsync(descriptor)
        what = "audit writer %s ended in a crash; %d bytes of an unfinished record were taken off"
        _logger.warning(what, name, len(torn))
    manifest.add("ended", writer=name, sequence=sequence, last=last.hex(), how="crashed", torn=len(torn))
