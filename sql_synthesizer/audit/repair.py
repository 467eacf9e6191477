"""What a crash left behind: an unfinished line is taken off, and the end of its writer noted in the manifest."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.manifest import Appender, Manifest, Writer, parsed, segment_name, writers

TAIL_BYTES = 1_000_000
"""No record is longer."""

_logger = logging.getLogger(__name__)


def end_of_the_dead(directory: Path, manifest: Appender) -> None:
    """Notes the end of each writer that died without doing so itself. Raises OSError."""
    for name, writer in writers(parsed(Manifest(directory).lines())).items():
        if writer.ended is None:
            _end(directory, manifest, name, writer)


def _end(directory: Path, manifest: Appender, name: str, writer: Writer) -> None:
    last = writer.segments[-1]
    path = directory / segment_name(name, last.fields["segment"])
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return  # it is missing, which is for the verification to tell
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _note(descriptor, manifest, name, last)
    except BlockingIOError:
        return  # its writer lives
    finally:
        os.close(descriptor)


def _note(descriptor: int, manifest: Appender, name: str, segment: chain.Line) -> None:
    size = os.fstat(descriptor).st_size
    start = max(0, size - TAIL_BYTES)
    tail = os.pread(descriptor, size - start, start)
    whole = tail.rfind(b"\n") + 1
    sequence, last = segment.fields["after"], segment.fields["follows" if segment.fields["segment"] else "mac"]
    if whole:
        line = chain.parse(tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole])
        if line is None:
            return  # damaged: its writer never wrote such a line
        sequence, last = line.fields["sequence"], line.fields["mac"]
    torn = len(tail) - whole
    if torn:
        os.ftruncate(descriptor, start + whole)
        os.fsync(descriptor)
        _logger.warning("audit writer %s ended in a crash; %d bytes of an unfinished record were taken off", name, torn)
    manifest.add("ended", writer=name, sequence=sequence, last=last, how="crashed", torn=torn)
