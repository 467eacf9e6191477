"""TCP ports of the loopback address that stay free until a test listens there."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from itertools import count

FIRST, LAST = 20_000, 32_000
"""Below those that the kernel gives to outgoing connections and to whoever asks for any port."""
APART = 499
"""Ports that a process of a test run has for itself before it comes to those of the next process."""

_numbers = count(os.getpid() * APART)


def free_port() -> int:
    """A port where nobody listens, and that this process gets only once."""
    while True:
        port = FIRST + next(_numbers) % (LAST - FIRST)
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
