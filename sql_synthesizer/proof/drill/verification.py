"""Reports a failed verification of the audit record, as a command beside the running service does."""

from __future__ import annotations

from sql_synthesizer import events
from sql_synthesizer.cli.session import recorded, session


def main() -> None:
    """Emits the event once and makes it durable."""
    with session() as rooms, recorded(rooms):
        rooms.telemetry.emit(events.SECURITY_EVENTS["audit_verification_failed"], reason="drill")


if __name__ == "__main__":
    main()
