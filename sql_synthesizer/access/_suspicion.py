"""When suspicions of one caller amount to an attack."""

from __future__ import annotations

from limits import parse

from sql_synthesizer.access._limits import Counter
from sql_synthesizer.settings import Settings


class Suspicions:
    """Counts suspicious questions of each caller in windows of time, in memory or in Redis as rate limits are."""

    def __init__(self, settings: Settings, counter: Counter) -> None:
        self._counter = counter
        item = parse(settings.suspicion_limit) if settings.suspicion_limit else None
        self._before = item and type(item)(item.amount - 1, item.multiples)
        self._once = item and type(item)(1, item.multiples)

    def count_suspicion(self, identity: str) -> bool:
        """Counts one; True for the one that reaches the limit, once in a window."""
        if self._before is None or self._once is None or self._counter.hit(self._before, "suspicions", identity):
            return False
        return self._counter.hit(self._once, "suspicion", identity)
