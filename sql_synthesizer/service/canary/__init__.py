"""Canaries: questions with known results that the service asks itself, and the names in the schema that they need."""

from sql_synthesizer.service.canary.questions import Canary, read_canaries
from sql_synthesizer.service.canary.watch import Canaries

__all__ = ["Canaries", "Canary", "read_canaries"]
