"""What the processes of the service tell each other: whose turn something is, and short texts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, TableClause, column, select, table, update

from sql_synthesizer.store._engine import begin_transaction, storable_text

META = table("meta", column("key"), column("value"))


class Notes:
    """Turns and notes in the service's own database. Every method raises StoreUnavailable."""

    def __init__(self, engine: Engine, insert: Callable[[TableClause], Any]) -> None:
        self._engine = engine
        self._insert = insert

    def take_turn(self, name: str, seconds: float) -> bool:
        """Whether nobody had this turn within so many seconds; then it is taken. One of several processes gets it."""
        now = time.time()
        with begin_transaction(self._engine, write=True) as connection:
            first = self._insert(META).values(key=f"turn:{name}", value="0").on_conflict_do_nothing()
            connection.execute(first)
            turn = META.c.key == f"turn:{name}"
            last = connection.execute(select(META.c.value).where(turn).with_for_update()).scalar_one()
            free = not now - seconds < float(last) <= now  # one in the future is of a clock that was wrong
            if free:
                connection.execute(update(META).where(turn).values(value=repr(now)))
            return free

    def put_note(self, name: str, text: str) -> None:
        """Keeps a text under a name, for the other processes."""
        put = self._insert(META).values(key=f"note:{name}", value=storable_text(text))
        with begin_transaction(self._engine, write=True) as connection:
            connection.execute(put.on_conflict_do_update(index_elements=["key"], set_={"value": put.excluded.value}))

    def get_note(self, name: str) -> str | None:
        """The text that was kept under a name last."""
        with begin_transaction(self._engine) as connection:
            return connection.execute(select(META.c.value).where(META.c.key == f"note:{name}")).scalar()
