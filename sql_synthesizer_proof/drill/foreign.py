"""Programs beside the service: one that reports unknown event types, and a foreign exporter."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sql_synthesizer.cli.session import open_rooms, record_command
from sql_synthesizer.monitoring.metrics import track_security_event

UNKNOWN = 150
"""Reports with a made-up event type."""


def main() -> None:
    """Reports events of many made-up types, as a program that joins the running service's metrics might."""
    with open_rooms() as rooms, record_command(rooms):
        for number in range(UNKNOWN):
            track_security_event(f"made_up_{number}", "low")


@contextmanager
def run_exporter(samples: int) -> Iterator[str]:
    """The address of a program that exports so many samples, none of them ours."""
    text = "# TYPE foreign gauge\n" + "".join(f'foreign{{number="{n}"}} {n}\n' for n in range(samples))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Scrapes are not logged."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="foreign")
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


if __name__ == "__main__":
    main()
