"""Counts, aggregates, sums of money, and what they are grouped by."""

from __future__ import annotations

from sql_synthesizer.synthesizer.engine.cursor import Cursor
from sql_synthesizer.synthesizer.engine.draft import Out, Slot
from sql_synthesizer.synthesizer.engine.joins import NUMBERS
from sql_synthesizer.synthesizer.engine.lexicon import Key
from sql_synthesizer.synthesizer.engine.linking import Hit, is_time
from sql_synthesizer.synthesizer.engine.naming import name_words
from sql_synthesizer.synthesizer.engine.spans import Item

BUCKETS = {"%Y": "year date time", "%Y-%m": "month date time", "%Y-%m-%d": "day date time"}
AMOUNTS = frozenset("amount total price cost value".split())


class ValueReader(Cursor):
    """Reads what is computed."""

    def _read_count(self, item: Item) -> None:
        slot, place, distinct = self._noun(self.at, "table")
        if slot is None:
            following = self._peek(self.at)
            if following is None or following.kind != "word":
                self.draft.cost += 0.2
            out = Out(None, "count", distinct)
        else:
            self.at = place
            column = slot.hits[0].column
            if column is not None and column.kind in NUMBERS and item.lower == "how many" and self._asks_of_one():
                self._place_value(Out(slot))
                return
            summed = "total" in item.lower and column is not None and column.kind in NUMBERS and not distinct
            out = Out(slot, "sum" if summed else "count", distinct or self.distinct)
            self.distinct = False
            self._place_value(out)
            if (
                out.distinct
                and not slot.is_table
                and (item := self.items[self.at] if self.at < len(self.items) else item).key("and")
            ):
                other, after, _ = self._noun(self.at + 1, "column")
                if other is not None and not other.is_table and after == self.at + 2 and not self._compares(after):
                    self.at = after
                    self._place_value(Out(other, "count", distinct=True))
            return
        self._place_value(out)

    def _asks_of_one(self) -> bool:
        """Whether a number is asked that a row has: how many floors does it have."""
        following = self.items[self.at] if self.at < len(self.items) else None
        return following is not None and following.kind == "stop" and following.lower in {"does", "did"}

    def _sums_already(self) -> bool:
        """Whether the last that was read is a sum."""
        outs = [
            *self.draft.outs[-1:],
            *(out for out, _ in self.draft.orders[-1:]),
            *(t.left for t in self.draft.tests[-1:]),
        ]
        return any(out.aggregate == "sum" for out in outs)

    def _read_aggregate(self, item: Item, key: Key) -> None:
        if item.lower in {"in total", "altogether"} and self._sums_already():
            return
        self.aggregates.append(key.argument)
        place = self._next(self.at)
        following = self.items[place] if place < len(self.items) else None
        while following is not None and (following.lower in {",", "and", "&"} or following.key("and")):
            place = self._next(place + 1)
            following = self.items[place] if place < len(self.items) else None
        if following is not None and following.kind == "key" and (other := following.key("agg")):
            self.at = place + 1
            self._read_aggregate(following, other)
            return
        if following is not None and following.kind == "key" and following.key("count"):
            slot, after, _ = self._noun(place + 1, "column")
            numeric = slot is not None and slot.hits[0].column is not None and slot.hits[0].column.kind in NUMBERS
            if slot is not None and numeric and "number of" in following.lower:
                self.at = after
                self._own_slot(slot)
                for aggregate in self.aggregates:
                    self._place_value(Out(slot, aggregate))
            elif self.grouped and self.mode == "select" and not self.draft.outs and len(self.aggregates) == 1:
                self.draft.over = self.aggregates[0] if self.aggregates != ["sum"] else ""
            elif self.aggregates != ["sum"]:
                self.draft.cost += 0.8
            self.aggregates = []
            return
        if following is not None and following.kind == "key" and following.key("measure") and not following.hits:
            return
        slot, place, _ = self._noun(self.at, "column")
        found, self.aggregates = self.aggregates, []
        if slot is None:
            if item.hits:
                self._place_value(Out(self._slot(item, self.at - 1)))
            elif key.argument == "sum":
                self.draft.cost += 0.2
            elif self.draft.outs and self.draft.outs[-1].slot is not None and not self.draft.outs[-1].aggregate:
                self.draft.outs[-1].aggregate = key.argument
            else:
                self.draft.cost += 0.6
            return
        self.at = place
        self._own_slot(slot)
        if slot.is_table and slot.item and not slot.item.columns and found == ["sum"]:
            amounts = tuple(
                Hit(hit.table, column, hit.cost + 0.1)
                for hit in slot.item.tables[:2]
                for column in hit.table.columns
                if column.kind in NUMBERS and AMOUNTS & set(name_words(hit.table, column))
            )
            if "amount" in item.lower and amounts:
                slot = Slot(slot.item, amounts, at=slot.at)
            else:
                found = ["count"]
        for aggregate in found:
            self._place_value(Out(slot, aggregate, self.distinct))
        self.distinct = False
        self._spread_aggregate(found)

    def _spread_aggregate(self, found: list[str]) -> None:
        """``average distance and price``: the aggregate holds for both."""
        place = self._next(self.at)
        if self.mode != "select" or len(found) != 1 or place >= len(self.items) or not self.items[place].key("and"):
            return
        following = self.items[place + 1] if place + 1 < len(self.items) else None
        if following is None or following.kind != "link" or not following.columns or following.hits[0].column is None:
            return
        if is_time(following.hits[0].column):
            return
        if following.hits[0].column.kind in NUMBERS and not self._compares(place + 2):
            self.at = place + 2
            slot = self._slot(following, place + 1, "column")
            self._own_slot(slot)
            self._place_value(Out(slot, found[0]))

    def _read_measure(self, item: Item, key: Key) -> None:
        """``total revenue``, ``spent more than 40``: a sum of money, whatever its column is called."""
        found = self.aggregates or [key.argument]
        self.aggregates = []
        slot = Slot(item, item.hits, dims=key.dims, at=self.at - 1)
        following = self._peek(self.at)
        if following is not None and following.key("super"):
            self.pending = Out(slot, found[0])
            return
        previous = self.items[self.at - 2] if self.at >= 2 else None
        if (
            previous is not None
            and previous.kind == "link"
            and previous.columns
            and previous.hits[0].column is not None
        ):
            self.draft.cost += 0.1
            return
        verb = item.lower in {"spent", "spend", "spends", "paid", "earn", "earns", "earned", "money"}
        if (
            verb
            and not self._compares(self.at)
            and self.mode != "order"
            and (self.mode == "where" or "money" in item.lower)
        ):
            self.draft.cost += 0.3
            return
        self._place_value(Out(slot, found[0]))

    def _read_each(self) -> None:
        self._drop_pending()
        counted = self._peek(self.at)
        if counted is not None and counted.key("count") and counted.lower.endswith("number of"):
            self.at = self._next(self.at) + 1
        slot, place, _ = self._noun(self.at)
        if slot is None:
            self.draft.cost += 0.1
            return
        opening = self.at - 1
        self.at = place
        self.draft.groups.append(slot)
        before = self._before(opening)
        verb = (before is not None and before.kind == "verb") or opening == 0
        if (
            self.mode == "select"
            and not self.draft.outs
            and verb
            and self.items[opening].lower in {"each", "every"}
            and not self._stop_before(opening)
        ):
            self._append_out(Out(slot))
            return
        while True:
            place = self._next(self.at)
            item = self.items[place] if place < len(self.items) else None
            if item is None or not (item.key("and") or item.text == ","):
                break
            following, after, _ = self._noun(place + 1)
            ends = self._peek(after) is None or self.items[self._next(after)].kind == "mark"
            if following is None or (following.is_table and not ends):
                break
            between = self.items[place + 1 : after - 1]
            if any(i.kind != "stop" for i in between) or self._compares(after) or item.text == ",":
                break
            self.draft.groups.append(following)
            self.at = after

    def _read_wh(self, item: Item, key: Key) -> None:
        """``Where is`` and ``when did`` ask for a column that tells a place or a time."""
        before = self._before(self.at - 1)
        if before is None or before.kind == "mark":
            self.draft.outs.append(Out(Slot(item, (), dims=key.dims, at=self.at)))
            self.mode = "where"
        else:
            self._end_clause()
            self.mode = "where"
