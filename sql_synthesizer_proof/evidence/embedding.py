"""An application that embeds the service and adds routes of its own; its process shares the service's state."""

from __future__ import annotations

from typing import NoReturn

from flask import Flask
from werkzeug.serving import make_server

from sql_synthesizer.security_audit import SecurityAuditLogger
from sql_synthesizer.settings import load
from sql_synthesizer.webapp import create_app

BROKEN = "/embedding/broken"
SPILLED = "/embedding/spilled"


def add_routes(app: Flask, log: SecurityAuditLogger) -> None:
    """Adds a route that raises what nobody foresaw, and one that reports an event of its own."""

    @app.post(BROKEN)
    def broken() -> NoReturn:
        raise RuntimeError("a fault of the embedding application")

    @app.post(SPILLED)
    def spilled() -> dict[str, str]:
        log.log_event("coffee_spilled", {"cups": 1}, severity="high")
        return {"status": "reported"}


def main() -> None:
    """Serves on the loopback address until the process is ended."""
    settings = load()
    app = create_app(settings)
    add_routes(app, SecurityAuditLogger(app.extensions["rooms"].telemetry))
    make_server("127.0.0.1", settings.port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main()
