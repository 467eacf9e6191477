"""Every connection that a question may need, to a host whose name server never answers.

python -m tests.support.silent_names SECONDS, in namespaces of its own (unshare --map-root-user --mount --net), prints
seconds and error of each. The name server is a socket of this process.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from sql_synthesizer.cache._memcached import Memcached
from sql_synthesizer.cache._redis import Redis
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.synthesizer.endpoint import Endpoint
from sql_synthesizer.telemetry import Telemetry

HOST = "nobody.test"
DATABASES = ("postgresql", "mariadb", "mysql")


def ask_model(url: str, seconds: float) -> None:
    with closing(Endpoint(Settings(openai_base_url=url))) as called:
        called.complete([{"role": "user", "content": "hello"}], timeout=seconds, traceparent="")


def make_manager(kind: str, **given: float) -> DatabaseManager:
    config = DatabaseSettings(name="main", url=f"{kind}://reader@{HOST}/shop")  # type: ignore[arg-type]
    return DatabaseManager([config], Settings(**given), Telemetry())  # type: ignore[arg-type]


def ask_database(kind: str, seconds: float, **given: float) -> None:
    with closing(make_manager(kind, **given)) as manager:
        manager.execute("main", "SELECT 1", max_rows=1, deadline=time.monotonic() + seconds)


CALLS: dict[str, Callable[[float], object]] = {
    "model": lambda s: ask_model(f"http://{HOST}/v1", s),
    "model over TLS": lambda s: ask_model(f"https://{HOST}/v1", s),
    **{kind: lambda s, kind=kind: ask_database(kind, s) for kind in DATABASES},  # type: ignore[misc]
    **{
        f"{kind}, connect_timeout": lambda s, kind=kind: ask_database(kind, 60, connect_timeout=s)
        for kind in DATABASES[:2]
    },  # type: ignore[misc]
    "redis": lambda s: Redis(f"redis://{HOST}:6379/0", s).get("key"),
    "redis over TLS": lambda s: Redis(f"rediss://{HOST}:6379/0", s).get("key"),
    "redis ping": lambda s: Redis(f"redis://{HOST}:6379/0", s).ping(s),
    "memcached": lambda s: Memcached(f"{HOST}:11211", s).get("key"),
    "memcached ping": lambda s: Memcached(f"{HOST}:11211", s).ping(s),
}
"""What is called -> the call, which has so many seconds."""


def time_call(name: str, seconds: float) -> tuple[float, str]:
    """How long a call took, and the name of its error."""
    begun = time.monotonic()
    fault = ""
    try:
        CALLS[name](seconds)
    except Exception as error:  # noqa: BLE001 - told
        fault = getattr(error, "reason", "") or type(error).__name__
    return round(time.monotonic() - begun, 2), fault


def silence_names() -> None:
    """Makes this process the name server of its namespace, and an interface to ask it by."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
    Path(file.name).unlink()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        fcntl.ioctl(probe, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=lambda: [server.recv(4096) for _ in iter(int, 1)], daemon=True).start()


if __name__ == "__main__":
    silence_names()
    for kind in DATABASES:  # SQLAlchemy loads a dialect in one thread only
        make_manager(kind).close()
    with ThreadPoolExecutor(len(CALLS)) as pool:
        told = pool.map(lambda name: time_call(name, float(sys.argv[1])), CALLS)
        print(json.dumps(dict(zip(CALLS, told, strict=True))))
