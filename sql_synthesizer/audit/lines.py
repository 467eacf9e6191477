"""The segments of the record and their lines: whoever reads them, forwards or backwards, reads them from here."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

SUFFIX = ".jsonl"
"""What the name of every segment ends with."""
LINE_LIMIT = 1_000_000
"""Bytes of a line at most; what is longer is damaged."""
BLOCK = 1 << 17
"""Bytes that are read at once from the end; most lines have less than 1 % of that."""

Line = tuple[int, bytes, Literal["", "torn", "damaged"]]
"""The byte at which a line begins, the line with its newline, and its fault.

A torn line has no end and is the last of its file: a crash left it, or its writer is just writing it. A damaged one is
longer than ``LINE_LIMIT``; this is its beginning.
"""


def segment_name(writer: str, number: int) -> str:
    """The file of a writer's segment."""
    return f"{writer}-{number:06d}{SUFFIX}"


def list_segments(directory: Path) -> list[Path]:
    """The regular files that are named as segments, in order."""
    return [path for path in sorted(directory.glob(f"*{SUFFIX}")) if is_regular(path)]


def segments_by_writer(directory: Path) -> dict[str, list[Path]]:
    """Writer -> its segments in order; writers in the order they started."""
    found: dict[str, list[Path]] = {}
    for path in list_segments(directory):
        found.setdefault(path.name.removesuffix(SUFFIX).rpartition("-")[0], []).append(path)
    return found


def is_regular(path: Path) -> bool:
    """Whether there is a file of this name that is neither link, directory, pipe nor device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def open_regular(path: Path, *, write: bool = False) -> BinaryIO:
    """Opens a regular file for reading, never a link, pipe or device; with ``write`` its descriptor may be written to.

    Raises FileNotFoundError for links, pipes and devices too, and OSError.
    """
    # A pipe in the directory must not stop a reader, nor a link lead it elsewhere.
    flags = os.O_RDWR if write else os.O_RDONLY
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except IsADirectoryError:
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise FileNotFoundError(path) if path.is_symlink() else error from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(path)
    return os.fdopen(descriptor, "rb")


def read_lines(file: BinaryIO, start: int = 0) -> Iterator[Line]:
    """The lines from where ``file`` stands, which is the byte ``start``."""
    while text := file.readline(LINE_LIMIT):
        if text.endswith(b"\n"):
            yield start, text, ""
        elif len(text) < LINE_LIMIT:
            yield start, text, "torn"
            return  # what its writer adds meanwhile is the rest of this line
        else:
            yield start, text, "damaged"
            while not text.endswith(b"\n") and (rest := file.readline(LINE_LIMIT)):
                start, text = start + len(text), rest
        start += len(text)


def contains_all(text: bytes, needles: tuple[bytes, ...]) -> bool:
    """Whether every needle is in a text: most lines are passed over by this, without being parsed."""
    for needle in needles:  # noqa: SIM110 - three times as fast as all()
        if needle not in text:
            return False
    return True


def read_tail(descriptor: int, size: int) -> list[Line]:
    """The lines in the last ``size`` bytes of a file; the first, which may begin before them, counts as damaged."""
    end = os.fstat(descriptor).st_size
    start = max(0, end - size)
    lines = list(read_lines(BytesIO(os.pread(descriptor, end - start, start)), start))
    return [(start, lines[0][1], "damaged"), *lines[1:]] if start else lines


def read_blocks(read: Callable[[int, int], bytes], end: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines before the byte ``end``, at which one begins, in blocks, the last first; with where each begins.

    ``read`` gives the bytes between two places of the file.
    """
    # Who looks for the newest records must not read all older ones, and lines have no index: so from the end, as much
    # at once as makes the calls cheap, and what stands before a block's first newline belongs to the next block.
    carry = b""
    while end:
        start = max(0, end - BLOCK)
        data = read(start, end) + carry
        cut = data.find(b"\n") + 1 if start else 0
        if start and (not cut or cut == len(data)):
            carry, end = data if len(data) <= LINE_LIMIT else b"\n", start
            continue
        yield start + cut, data[cut:]
        carry, end = data[:cut], start
