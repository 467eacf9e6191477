"""The databases that are asked: bounded pools, read-only connections, deadlines that reach the server."""

from sql_synthesizer.database.manager import DatabaseManager

__all__ = ["DatabaseManager"]
