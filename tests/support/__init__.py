"""What several test files share: private servers, and what to do where one cannot be started.

Fixtures of servers and of whole applications are there for every test. A file takes others by ``import name as name``,
and with each of them those that it is made of.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

_PLACES = ("/usr/sbin", "/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")


def program(*names: str, places: Iterable[str] = _PLACES) -> str:
    """The path of the first of these programs that is installed; skips the test, or fails it under CI."""
    for name in names:
        found = shutil.which(name) or next((str(p) for d in places if (p := Path(d) / name).exists()), None)
        if found:
            return found
    message = f"{' or '.join(names)} is not installed; './run test' installs it as root or with sudo"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)
