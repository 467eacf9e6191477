"""The seam between the rooms that work and the listeners that watch: operations and events, on one facade."""

from sql_synthesizer.telemetry.facade import Observer, Recorder, Telemetry, default
from sql_synthesizer.telemetry.operations import Event, Fact, Operation, Reading, Trace, carry, reason_of

__all__ = [
    "Event",
    "Fact",
    "Observer",
    "Operation",
    "Reading",
    "Recorder",
    "Telemetry",
    "Trace",
    "carry",
    "default",
    "reason_of",
]
