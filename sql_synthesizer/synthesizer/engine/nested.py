"""Comparisons with what other rows have: their average, one of them that is named, another column."""

from __future__ import annotations

from sql_synthesizer.synthesizer.engine.draft import Out, Slot, Test, Value
from sql_synthesizer.synthesizer.engine.joins import DATES, NUMBERS
from sql_synthesizer.synthesizer.engine.lexicon import Key
from sql_synthesizer.synthesizer.engine.mentions import MentionReader
from sql_synthesizer.synthesizer.engine.spans import Item


class NestedReader(MentionReader):
    """Reads the right side of a comparison where it is no constant."""

    def _nesting_of(self, place: int, key: Key) -> tuple[str, int]:
        """The aggregate with which rows are compared, and the place after it: all is none of them."""
        said = {item.lower for item in self.items[self.at : place] if item.kind == "stop"} & {"all", "any"}
        tables = place < len(self.items) and bool(self.items[place].tables)
        if not said or not tables or key.argument not in {">", ">=", "<", "<="}:
            return self._extreme_of(place, "")
        return self._extreme_of(place, "max" if (key.argument[0] == ">") == ("all" in said) else "min")

    def _extreme_of(self, place: int, nested: str) -> tuple[str, int]:
        while place < len(self.items):
            item = self.items[place]
            found = item.key("agg", "super", "each", "distinct") if item.kind == "key" else None
            if found is None:
                break
            if found.kind == "agg":
                nested = found.argument
            elif found.kind == "super":
                nested = "max" if found.argument == "desc" else "min"
            else:
                nested = nested or "all"
            place = self._next(place + 1)
            if place < len(self.items) and self.items[place].kind == "key" and self.items[place].key("count"):
                place = self._next(place + 1)
        return nested, place

    def _read_nested(self, left: Out | None, key: Key, place: int, nested: str) -> None:
        """``than the average price``, ``than the minimum of all museums opened after 2010``."""
        slot, after, _ = self._noun(place)
        self.at = place if slot is None else after
        last = self.draft.outs[-1].slot if self.draft.outs and self.mode == "select" else None
        if slot is not None and slot.is_table:
            self._mention(slot)
        elif slot is not None:
            self._own_slot(slot)
            left = left or Out(slot)
        elif left is None and not key.dims and last is not None and not last.is_table:
            left = Out(last)
        self._add_test(Test(left or Out(Slot(None, (), dims=key.dims)), key.argument, nested=nested))
        self.nesting = "over" if slot is None else ""

    def _read_other_column(self, left: Out, key: Key, item: Item, place: int) -> bool:
        """``budgeted less than invested``: whether two columns are compared."""
        if left.slot is None or left.aggregate or item.values or not item.hits or item.hits[0].column is None:
            return False
        other, after, _ = self._noun(place, "column")
        column = other.hits[0].column if other is not None else None
        if other is None or column is None or column.kind not in (*NUMBERS, *DATES) or after != place + 1:
            return False
        self.at = after
        self._add_test(Test(left, key.argument, other=other))
        return True

    def _read_same(self) -> None:
        """``the same country as Berta``: what a row that is named has."""
        slot, place, _ = self._noun(self.at, "column")
        following = self._next(place)
        item = self.items[following] if following < len(self.items) else None
        compared = any(i.lower == "as" for i in self.items[place:following])
        if slot is None or slot.hits[0].column is None or item is None or not compared or not item.values:
            self.draft.cost += 0.4
            self.draft.trust *= 0.5
            return
        self._drop_pending()
        self.at = following + 1
        self._add_test(Test(Out(slot), "same", [value_of(item)]))


def value_of(item: Item) -> Value:
    """The constant that an item is."""
    return Value(item.text, item.number, item.values, item.kind == "text")
