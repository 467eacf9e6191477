"""How long each stage of a question takes."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sql_synthesizer.telemetry import Operation


@dataclass(slots=True)
class Timed:
    """Adds the milliseconds of a block to the question's timings, however it ends."""

    stage: str
    timings: dict[str, float]
    operation: Operation | None = None
    start: float = 0.0

    def __enter__(self) -> None:
        self.start = time.perf_counter()
        if self.operation is not None:
            self.operation.__enter__()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        try:
            if self.operation is not None:
                self.operation.close(error)
        finally:
            spent = (time.perf_counter() - self.start) * 1000
            self.timings[self.stage] = round(self.timings.get(self.stage, 0.0) + spent, 3)
