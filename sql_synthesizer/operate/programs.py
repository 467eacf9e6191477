"""Programs of the machine, and the ports that they listen on."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import urllib.request
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

from sql_synthesizer.errors import ConfigurationError

PLACES = ("/usr/sbin", "/usr/local/bin", *(f"/usr/lib/postgresql/{version}/bin" for version in range(18, 12, -1)))
PACKAGES = {"initdb": "postgresql", "postgres": "postgresql"}
"""Debian's package of a program where it is called otherwise; other systems call it much the same."""
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Opens addresses of this machine, whatever proxy the environment names."""


def find_program(*names: str) -> str:
    """The path of the first of these programs that is here. Raises ConfigurationError that says how to get it."""
    for name in names:
        found = shutil.which(name) or next((str(p) for d in PLACES if (p := Path(d) / name).exists()), None)
        if found:
            return found
    package = PACKAGES.get(names[0], names[0])
    raise ConfigurationError(
        f"{' or '.join(names)} is not on this machine.",
        hint=f"On Debian or Ubuntu: sudo apt-get install {package}. Elsewhere: the project's own download.",
    )


def free_port(wanted: int | None = None) -> int:
    """``wanted`` if nobody listens there, else any free TCP port of the loopback address."""
    for port in ([wanted] if wanted else []) + [0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return int(probe.getsockname()[1])
    raise ConfigurationError("No TCP port is free on 127.0.0.1.", hint="End programs that listen there.")


def is_answering(url: str, limit: float = 2.0) -> bool:
    """Whether a GET of ``url`` is answered with 200 within ``limit`` seconds."""
    try:
        with direct.open(url, timeout=limit) as reply:
            return bool(reply.status == 200)
    except (OSError, HTTPException):
        return False


def account_options(name: str) -> dict[str, Any]:
    """Arguments for a process that must not run as root: the account to run as, when this is root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(name)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
