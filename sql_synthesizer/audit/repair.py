"""What a crash left behind: an unfinished line is taken off, and the end of its writer noted in the manifest."""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack
from pathlib import Path

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.chain import Position
from sql_synthesizer.audit.keyring import Key, Keyring
from sql_synthesizer.audit.lines import LINE_LIMIT, open_regular, read_tail, segment_name
from sql_synthesizer.audit.manifest import Appender, Entry, Manifest, collect_writers, parse_entries
from sql_synthesizer.audit.record import is_record
from sql_synthesizer.files import hold_lock

_logger = logging.getLogger(__name__)


def end_crashed_writers(directory: Path, manifest: Appender, keyring: Keyring) -> None:
    """Notes the end of each writer that died without doing so itself. Raises OSError."""
    # What is killed cannot say where it ended, and until somebody does, records can be cut off its end unseen.
    for name, writer in collect_writers(parse_entries(Manifest(directory).lines())).items():
        if writer.ended is None:
            last = writer.segments[-1]
            _end_writer(directory / segment_name(name, last.segment), manifest, last, keyring)


def _end_writer(path: Path, manifest: Appender, segment: Entry, keyring: Keyring) -> None:
    key = keyring.get(segment.seal)
    try:
        file = open_regular(path, write=True)
    except OSError:
        return  # it is missing, which the verification reports
    with file, ExitStack() as stack:
        try:
            stack.enter_context(hold_lock(file, path.name))
        except TimeoutError:
            return  # its writer lives
        if key is not None:
            _repair_segment(file.fileno(), manifest, segment, key)


def _repair_segment(descriptor: int, manifest: Appender, segment: Entry, key: Key) -> None:
    """Takes an unfinished line off and notes the last record; where that is not sound nothing is noted."""
    lines = read_tail(descriptor, LINE_LIMIT)
    torn = lines.pop() if lines and lines[-1][2] == "torn" else None
    end = segment.preceding
    if lines:
        *above, line = [None if fault else chain.parse_line(text) for _, text, fault in lines[-2:]]
        before = above[0].mac if above and above[0] else end.mac
        if line is None or above == [None] or not line.continues(before, key.chain) or not is_record(line.fields):
            return
        end = Position(line.fields["sequence"], line.mac)
    size = 0
    if torn is not None:
        start, size = torn[0], len(torn[1])
        os.ftruncate(descriptor, start)
        os.fsync(descriptor)
        what = "audit writer %s ended in a crash; %d bytes of an unfinished record were taken off"
        _logger.warning(what, segment.writer, size)
    manifest.add("ended", writer=segment.writer, sequence=end.sequence, last=end.mac.hex(), how="crashed", torn=size)
