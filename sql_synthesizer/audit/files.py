"""The files of the record as they are found: only regular ones count, whatever else lies in the directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".jsonl"
"""What the name of every segment ends with."""


def open_regular(path: Path, *, write: bool = False) -> BinaryIO:
    """Opens a regular file, never a link, pipe or device. Raises FileNotFoundError for these too, and OSError."""
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
    return os.fdopen(descriptor, "r+b" if write else "rb")


def list_segments(directory: Path) -> list[Path]:
    """The regular files that are named as segments, in order."""
    return [path for path in sorted(directory.glob(f"*{SUFFIX}")) if is_regular(path)]


def is_regular(path: Path) -> bool:
    """Whether there is a file of this name that is neither link, directory, pipe nor device."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
