"""Superlatives and orders: the most concerts, the 3 oldest, from high to low."""

from __future__ import annotations

from sql_synthesizer.model import ColumnKind
from sql_synthesizer.synthesizer.engine.draft import Out, Slot
from sql_synthesizer.synthesizer.engine.joins import NUMBERS
from sql_synthesizer.synthesizer.engine.lexicon import Key
from sql_synthesizer.synthesizer.engine.linking import Hit, is_time
from sql_synthesizer.synthesizer.engine.spans import Item
from sql_synthesizer.synthesizer.engine.values import ValueReader


class SuperlativeReader(ValueReader):
    """Reads what comes first."""

    def _is_aggregate(self, item: Item) -> bool:
        """Whether maximum and the like are values to show, not an order."""
        before = self._before(self.at - 1)
        if item.key("agg") is not None and self.mode == "where":
            slot, after, _ = self._noun(self.at, "column")
            following = self._peek(after)
            return slot is not None and following is not None and following.key("compare", "between") is not None
        listed = not self.draft.outs or before is None or before.lower == "," or before.kind == "verb"
        listed = listed or (before is not None and bool(before.key("and", "agg", "super")))
        return item.key("agg") is not None and self.mode == "select" and listed

    def _read_super(self, item: Item, key: Key) -> bool:
        """``with the most concerts``, ``the highest age``, ``the 3 oldest dogs``; whether it could be read."""
        descending = key.argument == "desc"
        limit = self._read_limit()
        dims = "" if {Key("super", "desc"), Key("super", "asc")} & set(item.keys) else key.dims
        following = self._peek(self.at)
        if following is not None and following.key("count"):
            self.at = self._next(self.at) + 1
            if "total" in following.lower and self._sums_number():
                return self._read_super_aggregate("sum", descending=descending, limit=limit)
            following = self._peek(self.at)
        if not dims and following is not None and (summed := following.key("agg")) and not following.key("super"):
            self.at = self._next(self.at) + 1
            if summed.argument in {"sum", "avg"}:
                return self._read_super_aggregate(summed.argument, descending=descending, limit=limit)
        if not dims and following is not None and (money := following.key("measure")):
            self.at = self._next(self.at) + 1
            waiting, self.pending = self.pending, None
            out = waiting or Out(Slot(following, following.hits, dims=money.dims, at=self.at), money.argument)
            self._rank(out, limit, descending=descending)
            return True
        slot, place, distinct = self._noun(self.at, "table" if dims or "number of" in item.lower else "column")
        if slot is None and not dims:
            return self._read_unknown_super(item, descending=descending, limit=limit)
        if slot is None:
            self._rank(Out(Slot(item, (), dims=dims, at=self.at)), limit, descending=descending)
            return True
        self.at = place
        if dims:
            self._read_graded(item, slot, dims, limit, descending=descending)
        else:
            self._read_most(item, slot, limit, descending=descending, distinct=distinct)
        return True

    def _sums_number(self) -> bool:
        """Whether a column of numbers that is no key follows."""
        item = self._peek(self.at)
        column = item.hits[0].column if item is not None and item.hits else None
        return column is not None and column.kind in NUMBERS

    def _read_limit(self) -> int:
        """The number before or after a superlative, 1 where there is none: the 3 oldest, the top 5."""
        before = self._before(self.at - 1)
        limit = 1
        if before is not None and before.kind == "number" and not self._is_compared(self.at - 2):
            limit = _small_number(before) or 1
            tests = self.draft.tests
            if limit > 1 and tests and tests[-1].values and tests[-1].values[0].number == before.number:
                tests.pop()
        following = self._peek(self.at)
        if following is not None and following.kind == "number" and _small_number(following) not in {None, 1}:
            self.at = self._next(self.at) + 1
            return _small_number(following) or 1
        return self.draft.limit if self.draft.limit and limit == 1 else limit

    def _rank(self, out: Out, limit: int, *, descending: bool) -> None:
        self.draft.orders.append((out, descending))
        self.draft.limit = limit

    def _read_graded(self, item: Item, slot: Slot, dims: str, limit: int, *, descending: bool) -> None:
        """``the oldest dog``: rows by a column that the adjective grades; or ``the longest distance``."""
        asked = self.mode == "select" and not self.draft.outs
        graded = Out(Slot(item, (), owner=slot, dims=dims, at=self.at))
        if slot.is_table:
            self._rank(graded, limit, descending=descending)
            if asked and not self._owns_next():
                self.draft.outs.append(Out(slot))
            else:
                self._mention(slot)
        elif asked and self._is_shown(slot, dims):
            self._append_out(Out(slot))
            self._rank(graded, limit, descending=descending)
        elif asked:
            self.draft.outs.append(Out(slot, "max" if descending else "min"))
        else:
            self._rank(Out(slot), limit, descending=descending)

    @staticmethod
    def _is_shown(slot: Slot, dims: str) -> bool:
        """Whether a column is what is asked for, and not what is graded: the latest price."""
        column = slot.hits[0].column
        return column is not None and (
            column.kind is ColumnKind.TEXT or ("date" in dims.split() and not is_time(column))
        )

    def _read_most(self, item: Item, slot: Slot, limit: int, *, descending: bool, distinct: bool) -> None:
        """``the most concerts`` counts rows; ``the highest age`` is a value to show or to rank by."""
        counts = slot.is_table or "number of" in item.lower or "amount of" in item.lower
        bare = item.lower.removeprefix("the ") in {"most", "least", "fewest"}
        if bare and slot.item and slot.item.tables and slot.item.tables[0].cost <= slot.hits[0].cost + 0.1:
            counts = True
        column = slot.hits[0].column
        if counts and column is not None and column.kind in NUMBERS and slot.hits[0].cost < 0.1 and not bare:
            counts = False
        timed = bare and column is not None and is_time(column) and slot.hits[0].cost > 0
        self._own_slot(slot)
        if timed:
            tables = tuple(Hit(hit.table, None, hit.cost) for hit in slot.hits)
            out = Out(Slot(slot.item, tables, at=slot.at), "count", distinct)
        elif counts:
            out = Out(self._slot(slot.item, slot.at, "table") if slot.item else slot, "count", distinct)
        else:
            out = Out(slot)
            if limit == 1 and self._asks_extreme() and not self._other_outs(self.at):
                self.draft.outs.append(Out(slot, "max" if descending else "min"))
                return
        self._rank(out, limit, descending=descending)
        if self.mode == "select" and self.draft.outs:
            self.mode = "where"

    def _asks_extreme(self) -> bool:
        """Whether a highest value is itself asked for."""
        if self.mode != "select":
            return False
        if not self.draft.outs:
            return True
        listed = self.joint in {"and", ","}
        return listed and (self.draft.outs[-1].aggregate in {"max", "min", "avg"} or self.grouped)

    def _read_super_aggregate(self, aggregate: str, *, descending: bool, limit: int) -> bool:
        """``the greatest total amount``: by an aggregate of each group."""
        outs = len(self.draft.outs)
        mode, self.mode = self.mode, "order"
        self.direction = descending
        orders = len(self.draft.orders)
        self._read_aggregate(self.items[self.at - 1], Key("agg", aggregate))
        self.mode = "where" if self.draft.outs else mode
        if len(self.draft.orders) == orders or len(self.draft.outs) != outs:
            self.draft.cost += 0.5
        else:
            self.draft.limit = limit
        return True

    def _read_unknown_super(self, item: Item, *, descending: bool, limit: int) -> bool:
        """``the most goods``, ``visited most times``: by some number, or by how often."""
        following = self._peek(self.at)
        if item.key("agg") or item.key("first"):
            return False
        if following is not None and following.lower in {"times", "often", "frequently"}:
            self.at = self._next(self.at) + 1
            self.draft.orders.append((Out(None, "count"), descending))
        elif following is not None and following.kind == "word":
            self.at = self._next(self.at) + 1
            self.draft.cost += following.cost * 0.6
            self.draft.notes.append(following.text)
            self.draft.orders.append((Out(Slot(item, (), dims="?", at=self.at)), descending))
        elif following is None or following.kind == "mark":
            waiting, self.pending = self.pending, None
            if waiting is not None and (counted := self._as_event(waiting)) is not None:
                self._rank(counted, limit, descending=descending)
                return True
            self.draft.cost += 0.3
            self.draft.orders.append((waiting or Out(Slot(item, (), dims="?", at=self.at)), descending))
        else:
            self.draft.cost += 0.4
            return True
        self.draft.limit = limit
        if self.draft.outs:
            self.mode = "where"
        return True

    def _as_event(self, waiting: Out) -> Out | None:
        """How often something was done, where a verb waits that is like a column: which film was rented the most."""
        slot = waiting.slot
        if slot is None or slot.item is None or not slot.item.lower.endswith("ed") or not slot.hits:
            return None
        column = slot.hits[0].column
        if column is None or (slot.hits[0].cost < 0.05 and not is_time(column)):
            return None
        tables = tuple(Hit(hit.table, None, hit.cost) for hit in slot.hits)
        return Out(Slot(slot.item, tables, at=slot.at), "count")

    def _other_outs(self, place: int) -> bool:
        """Whether what follows is a table that is asked for: highest capacity stadium."""
        item = self.items[place] if place < len(self.items) else None
        return item is not None and item.kind == "link" and bool(item.tables) and item.tables[0].cost < 0.1

    def _read_popular(self, item: Item, key: Key) -> None:
        slot, place, _ = self._noun(self.at)
        before = self._before(self.at - 1)
        limit = int(before.number) if before is not None and before.kind == "number" and before.number else 1
        if slot is None:
            slot = self.draft.outs[-1].slot if self.draft.outs else None
            if slot is None:
                self.draft.cost += 0.8
                return
        else:
            self.at = place
            self._own_slot(slot)
            if self.mode == "select" and not self.draft.outs:
                self.draft.outs.append(Out(slot))
            elif slot.is_table:
                self._mention(slot)
        listed = before is not None and (before.lower == "," or bool(before.key("and")))
        if self.draft.outs and self.draft.outs[-1].slot is not slot and not listed:
            self._mention(slot)
        else:
            self.draft.groups.append(slot)
        self.draft.orders.append((Out(None, "count"), key.argument == "desc"))
        self.draft.limit = limit
        self.draft.notes.append("popular")
        if self.mode == "select" and self.draft.outs:
            self.mode = "where"

    def _read_first(self, item: Item) -> None:
        following = self._peek(self.at)
        if following is not None and following.number is not None:
            self.draft.limit = int(following.number)
            self.at = self._next(self.at) + 1
            self.direction = item.lower != "bottom"
            self._read_top()
        elif item.lower == "top":
            self.draft.limit = 1
            self.direction = True
        else:
            self.draft.cost += 0.5

    def _read_top(self) -> None:
        """What follows ``top 3``: rows, or a column that they lead in."""
        slot, place, _ = self._noun(self.at)
        if slot is None:
            return
        if slot.is_table and not self.draft.outs:
            self.sorting = True
            self.at = place
            self._append_out(Out(slot))
        elif not slot.is_table and self.draft.outs:
            self.at = place
            self.draft.orders.append((Out(slot), bool(self.direction)))
        elif slot.is_table and self.mode != "select":
            self.at = place
            self.draft.orders.append((Out(slot, "count"), bool(self.direction)))

    def _read_direction(self, key: Key, item: Item) -> None:
        descending = key.kind == "desc"
        wants = (
            item.lower.endswith(" of")
            or (self.mode == "order" and not self.draft.orders)
            or (self.at < len(self.items) and self.items[self.at].lower in {"of", "by", "order"})
        )
        slot, _, _ = self._noun(self.at)
        following = self._peek(self.at)
        if wants and (slot is not None or (following is not None and following.key("count", "agg", "order"))):
            self._end_clause()
            self.mode = "order"
            self.direction = descending
            return
        if self.draft.orders:
            last, _ = self.draft.orders[-1]
            self.draft.orders[-1] = (last, descending)
        elif key.dims:
            self.draft.orders.append((Out(Slot(item, (), dims=key.dims)), descending))
        else:
            self.draft.orders.append((Out(None), descending))
        self.mode = "where"


def _small_number(item: Item) -> int | None:
    """The number of an item where it can be how many rows are wanted."""
    return int(item.number) if item.number and 0 < item.number <= 100 else None
