"""Programs beside the service: one that reports unknown event types, and a foreign exporter."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sql_synthesizer.cli.session import open_rooms, record_command
from sql_synthesizer.monitoring.catalog import PREFIX
from sql_synthesizer.monitoring.clock import CLOCK
from sql_synthesizer.monitoring.http_server import HttpHandler, HttpServer
from sql_synthesizer.monitoring.metrics import track_security_event

UNKNOWN = 150
"""Reports with a made-up event type."""


def main() -> None:
    """Reports events of many made-up types, as a program that joins the running service's metrics might."""
    with open_rooms() as rooms, record_command(rooms):
        for number in range(UNKNOWN):
            track_security_event(f"made_up_{number}", "low")


class _Handler(HttpHandler):
    server: HttpServer[str]

    def do_GET(self) -> None:
        self.send_reply(200, self.server.owner, "text/plain; version=0.0.4")


class _ClockHandler(HttpHandler):
    server: HttpServer[float]

    def do_GET(self) -> None:
        now = time.time() + self.server.owner
        self.send_reply(200, f"{PREFIX}{CLOCK} {now}\n", "text/plain; version=0.0.4")


@contextmanager
def run_wrong_clock(seconds: float) -> Iterator[str]:
    """The address of a program that exports the time as a service would whose clock is so much ahead."""
    with HttpServer(_ClockHandler, seconds) as server:
        yield f"127.0.0.1:{server.port}"


@contextmanager
def run_exporter(samples: int) -> Iterator[str]:
    """The address of a program that exports so many samples, none of them ours."""
    text = "# TYPE foreign gauge\n" + "".join(f'foreign{{number="{n}"}} {n}\n' for n in range(samples))
    with HttpServer(_Handler, text) as server:
        yield f"127.0.0.1:{server.port}"


if __name__ == "__main__":
    main()
