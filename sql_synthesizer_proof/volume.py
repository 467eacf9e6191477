"""A small file system of its own, which can be filled."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil


@contextmanager
def mount_volume(place: Path, size: str) -> Iterator[bool]:
    """A file system of ``size``, as mount takes it, at ``place``; False where only a directory can be made there."""
    place.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(place)]
    made = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    try:
        yield made
    finally:
        unmount_below(place)


@contextmanager
def fill_volume(place: Path, left: int = 0) -> Iterator[None]:
    """Somebody else takes all of the volume but ``left`` bytes."""
    ballast = place / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while (free := shutil.disk_usage(place).free - left) > 0:
                file.write(bytes(min(free, 1 << 20)))
        yield
    finally:
        ballast.unlink(missing_ok=True)


def unmount_below(place: Path) -> None:
    """Unmounts whatever is mounted at ``place`` or below it, the last first."""
    for mount in reversed(psutil.disk_partitions(all=True)):
        if Path(mount.mountpoint).is_relative_to(place.resolve()):
            subprocess.run(["umount", "--lazy", mount.mountpoint], capture_output=True, check=False)  # noqa: S603, S607
