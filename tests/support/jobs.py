"""A worker of jobs in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sql_synthesizer.jobs import JobWorker


@contextmanager
def working(worker: JobWorker) -> Iterator[JobWorker]:
    """Lets it work until the end of the block."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(60)
        assert not thread.is_alive()
