"""Which addresses have yet to be told that a job ended: columns of its row, changed with its end in one transaction."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import Engine, select, update

from sql_synthesizer.store._engine import begin_transaction
from sql_synthesizer.store.jobs import JOBS, UNTOLD, Job, Record, change_jobs

DELIVERED, GIVEN_UP = "delivered", "given_up"


class DeliveryStore:
    """Deliveries in the table of jobs. Every method raises StoreUnavailable, and what ``record`` raises.

    Whoever has one in hand has it for a time alone: when nothing was heard by then, another takes it. It is fenced by
    the number of the try.
    """

    def __init__(self, engine: Engine, record: Record) -> None:
        self._engine = engine
        self._record = record

    def claim(self, lease: float, busy: Collection[str] = ()) -> Job | None:
        """The next job whose address has to be told, for ``lease`` seconds; none of the owners that are ``busy``."""
        due = (JOBS.c.delivery == UNTOLD) & (JOBS.c.deliver_at <= time.time()) & JOBS.c.owner.not_in(busy)
        following = select(JOBS).where(due).order_by(JOBS.c.deliver_at, JOBS.c.id).limit(1)
        with begin_transaction(self._engine) as connection:  # most often there is none, which needs no lock
            if connection.execute(following).first() is None:
                return None
        with change_jobs(self._engine) as connection:
            if (row := connection.execute(following).one_or_none()) is None:
                return None
            taken = {"deliveries": row.deliveries + 1, "deliver_at": time.time() + lease}
            connection.execute(update(JOBS).where(JOBS.c.id == row.id).values(taken))
            return replace(Job(*row), **taken)

    def postpone(self, job: Job, delay: float) -> None:
        """Lets the address be told again after ``delay`` seconds."""
        with change_jobs(self._engine) as connection:
            connection.execute(update(JOBS).where(_is_held(job)).values(deliver_at=time.time() + delay))

    def end(self, job: Job, state: str, reason: str) -> bool:
        """Ends a delivery as DELIVERED or GIVEN_UP; False when it is no longer in this hand."""
        with change_jobs(self._engine) as connection:
            if (
                connection.execute(
                    update(JOBS).where(_is_held(job)).values(delivery=state, delivery_reason=reason)
                ).rowcount
                == 0
            ):
                return False
            self._record(replace(job, reason=reason), "delivered" if state == DELIVERED else "undelivered")
            return True


def _is_held(job: Job) -> Any:
    return (JOBS.c.id == job.id) & (JOBS.c.delivery == UNTOLD) & (JOBS.c.deliveries == job.deliveries)
