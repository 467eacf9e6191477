"""Conditions: comparisons, constants, patterns and missing values."""

from __future__ import annotations

from sql_synthesizer.model import ColumnKind
from sql_synthesizer.synthesizer.engine.cursor import is_year
from sql_synthesizer.synthesizer.engine.draft import Out, Slot, Test, Value
from sql_synthesizer.synthesizer.engine.joins import NUMBERS
from sql_synthesizer.synthesizer.engine.lexicon import UNITS, Key
from sql_synthesizer.synthesizer.engine.linking import Hit, is_time
from sql_synthesizer.synthesizer.engine.naming import keys_of
from sql_synthesizer.synthesizer.engine.nested import NestedReader, value_of
from sql_synthesizer.synthesizer.engine.spans import Item


class ComparisonReader(NestedReader):
    """Reads conditions."""

    def _read_compare(self, key: Key) -> None:
        left, self.pending = self.pending, None
        self.waited = left
        place = self._next(self.at)
        item = self.items[place] if place < len(self.items) else None
        nested, place = self._nesting_of(place, key) if left is not None else self._extreme_of(place, "")
        item = self.items[place] if place < len(self.items) else None
        if nested and nested != "all":
            self._read_nested(left, key, place, nested)
            return
        if (
            item is not None
            and left is None
            and item.kind == "link"
            and item.columns
            and not item.values
            and self._compares(place + 1)
        ):
            left = Out(self._slot(item, place, "column"))
            place = self._next(place + 1)
            item = self.items[place] if place < len(self.items) else None
        if left is not None and item is not None and self._read_other_column(left, key, item, place):
            return
        if item is not None and item.kind == "key" and item.key("times"):
            self.at = place + 1
            number = 1.0 if item.lower in {"once", "one time"} else 2.0 if item.lower in {"twice", "two times"} else 3.0
            counted = self._as_event(left) if left is not None else None
            self._add_test(Test(counted or Out(None, "count"), key.argument, [Value(item.text, number)]))
            return
        if item is not None and (item.kind in {"number", "text"} or (item.kind == "link" and item.values)):
            self.at = place + 1
            self._compare_constant(left, key, item)
            return
        self.pending = left
        self.draft.cost += 0.6

    def _read_more(self, key: Key) -> None:
        """``a higher price than``: the column stands inside the comparison."""
        slot, place, _ = self._noun(self.at, "column")
        after = self.items[place : place + 1]
        if slot is None or not after or after[0].lower != "than":
            self.draft.cost += 0.2
            return
        self.at = place + 1
        self._drop_pending()
        self.pending = Out(slot, "count" if slot.is_table else "")
        self._read_compare(Key("compare", key.argument))

    def _compare_constant(self, left: Out | None, key: Key, item: Item) -> None:
        value = value_of(item)
        valued = self._peek(self.at)
        if (key.argument, item.number) == (">=", 1.0) and left is None and valued is not None and valued.values:
            return  # at least one shipped order: that there is one
        if left is not None and left is self.waited:
            self.pending = left
            left, self.pending = self._timed(item), None
        if (
            left is not None
            and not left.aggregate
            and item.number is not None
            and not is_year(item)
            and self._counts_next(left)
        ):
            left = None
        operator = key.argument
        if self.at < len(self.items) and self.items[self.at].lower in UNITS and item.number is not None:
            value.unit = self.items[self.at].lower
            self.at += 1
        after = self._peek(self.at)
        beyond = self._peek(self._next(self.at) + 1)
        if after is not None and (other := after.key("after")) and not (beyond is not None and beyond.kind == "number"):
            operator = other.argument
            self.at = self._next(self.at) + 1
        if left is None and not key.dims and item.number is not None:
            slot, place, distinct = self._noun(self.at, "table")
            direct = place == self.at + 1 or all(i.kind in {"stop", "key"} for i in self.items[self.at : place - 1])
            if slot is not None and direct:
                self.at = place
                if slot.is_table or slot.hits[0].column.kind is ColumnKind.TEXT:  # type: ignore[union-attr]
                    self._add_test(Test(Out(slot, "count", distinct), operator, [value]))
                else:
                    self._add_test(Test(Out(slot), operator, [value]))
                return
            last = self.draft.outs[-1] if self.draft.outs else None
            if (
                self.mode == "select"
                and last is not None
                and last.slot is not None
                and not last.slot.is_table
                and not last.aggregate
            ):
                left = Out(last.slot)
                if len(self.draft.outs) > 1 or self.draft.mentions:
                    pass
        after = self._peek(self.at)
        if after is not None and after.key("aged"):
            self.at = self._next(self.at) + 1
            left = Out(Slot(None, (), dims="age birth", at=self.at))
        if left is None:
            left = Out(Slot(None, (), self._last_table() if key.dims else None, key.dims, at=self.at))
        self._add_test(Test(left, operator, [value]))
        if self.mode == "select":
            self.mode = "where"

    def _counts_next(self, left: Out) -> bool:
        """Whether rows are counted rather than a text compared: have invested in at least two companies."""
        following = self._peek(self.at)
        if following is not None and following.key("distinct"):
            following = self._peek(self._next(self.at) + 1)
        if left.slot is None or not left.slot.hits or left.slot.hits[0].column is None or following is None:
            return False
        column = left.slot.hits[0].column
        text = column.kind is ColumnKind.TEXT or is_time(column)
        return text and following.kind == "link" and bool(following.tables) and following.tables[0].cost < 0.1

    def _read_between(self) -> None:
        left, self.pending = self.pending, None
        place = self._next(self.at)
        values: list[Value] = []
        while place < len(self.items) and len(values) < 2:
            item = self.items[place]
            if item.kind in {"number", "text"} or (item.kind == "link" and item.values):
                values.append(value_of(item))
            elif not (item.key("and") or item.kind == "stop" or item.lower == "to"):
                break
            place += 1
        if len(values) < 2:
            self.pending = left
            self.draft.cost += 0.6
            return
        self.at = place
        if left is None:
            slot, after, _ = self._noun(self.at, "column")
            if slot is not None and not slot.is_table and after <= self.at + 2:
                self.at = after
                left = Out(slot)
        timed = all(v.number is None or 1500 <= v.number <= 2100 for v in values)
        self._add_test(Test(left or Out(Slot(None, (), dims="year date time" if timed else "?")), "between", values))

    def _read_pattern(self, key: Key) -> None:
        item = self._peek(self.at)
        place = self._next(self.at)
        letter = "letter" in self.items[self.at - 1].lower
        while item is not None and item.kind == "key" and item.key("contain"):
            letter = letter or "letter" in item.lower
            place = self._next(place + 1)
            item = self.items[place] if place < len(self.items) else None
        if letter and self.at < len(self.items) and len(self.items[self.at].lower) <= 2:
            place = self.at
            item = self.items[place]
        if (
            item is None
            or item.kind in {"mark", "key"}
            or (item.kind == "link" and not item.values and item.cost < 0.2 and not item.tokens[0].capital)
        ):
            if key.kind != "contain":
                self.draft.cost += 0.8
            elif self.mode == "select" and self.draft.outs:
                self.mode = "where"
            return
        self.at = place + 1
        left = self.pending
        if (
            self.at + 1 < len(self.items)
            and self.items[self.at].lower == "in"
            and self.items[self.at + 1].lower in {"its", "their", "the", "his", "her"}
        ):
            slot, after, _ = self._noun(self.at, "column")
            if slot is not None:
                self.at = after
                left = Out(slot)
        if left is None:
            slots = [out.slot for out in self.draft.outs if out.slot is not None and not out.slot.is_table]
            left = Out(slots[-1]) if slots else Out(Slot(None, (), dims="name title"))
        self.pending = None
        self._add_test(Test(left, key.kind, [Value(item.text, None, (), True)]))

    def _read_null(self) -> None:
        left, self.pending = self.pending, None
        if left is None:
            slot, place, _ = self._noun(self.at, "column")
            if slot is None:
                self.draft.cost += 0.6
                return
            self.at = place
            left = Out(slot)
        self._add_test(Test(left, "null"))

    def _read_constant(self, item: Item) -> None:
        left, self.pending = self.pending, None
        left = left or self._listed(item)
        if left is None:
            after = self.items[self.at] if self.at < len(self.items) else None
            place_set = {(m.table, m.column) for m, _ in item.values}
            if after is not None and after.kind == "link":
                match = [h for h in after.columns if h.column and (h.table.name, h.column.name) in place_set]
                if match and not (after.tables and after.tables[0].cost <= after.hits[0].cost + 0.05):
                    left = Out(self._slot(after, self.at, "column"))
                    self.at += 1
        self._add_test(Test(left or Out(Slot(None, (), at=self.at)), "=", [value_of(item)]))

    def _read_text(self, item: Item) -> None:
        left, self.pending = self.pending, None
        left = left or self._listed(item)
        if self._stop_after(item):
            slot, place, _ = self._noun(self.at, "column")
            if slot is not None and not slot.is_table:
                self.at = place
                self._add_test(Test(Out(slot), "contain", [Value(item.text, None, (), True)]))
                return
        if left is None and self.mode == "select" and not item.values and self.draft.outs:
            last = self.draft.outs[-1].slot
            if last is not None and not last.is_table and len(self.draft.outs) > 1:
                left = Out(last)
        self._add_test(Test(left or Out(Slot(None, (), at=self.at)), "=", [value_of(item)]))

    def _stop_after(self, item: Item) -> bool:
        """Whether ``in its name`` follows."""
        following = self.items[self.at : self.at + 2]
        return (
            [i.lower for i in following[:1]] == ["in"]
            and [i.lower for i in following[1:]] <= ["their"]
            and (
                bool(following[1:]) and following[1].lower in {"its", "their", "the", "his", "her"} and not item.values
            )
        )

    def _read_number(self, item: Item) -> None:
        before = self.items[self.at - 2] if self.at >= 2 else None
        if item.lower == "one" and before is not None and (before.lower == "the" or before.key("each", "super")):
            return
        after_place = self._next(self.at)
        after = self.items[after_place] if after_place < len(self.items) else None
        if after is not None and after.kind == "key" and after.key("super", "popular", "first"):
            return
        operator = "="
        beyond = self._peek(after_place + 1)
        closed = not (beyond is not None and beyond.kind == "number")
        if after is not None and after.kind == "key" and closed and (key := after.key("after")):
            operator = key.argument
            self.at = after_place + 1
        left, self.pending = self._timed(item), None
        left = left or self._listed(item)
        while self.at < len(self.items) and self.items[self.at].lower in {"corresponding", "such", "or", "the", "of"}:
            if self.items[self.at].kind != "stop" or is_year(item):
                break
            self.at += 1
        adjacent = self.items[self.at] if self.at < len(self.items) else None
        if left is None and adjacent is not None and adjacent.kind == "link" and not is_year(item):
            slot = self._slot(adjacent, self.at, "table")
            numeric = not slot.is_table and slot.hits[0].column is not None and slot.hits[0].column.kind in NUMBERS
            if not numeric and self.mode == "select" and item.start and self.items[self.at - 2].lower == "the":
                self.draft.limit = int(item.number or 1)
                return
            self.at += 1
            if slot.is_table:
                if self.mode == "select" and not self.draft.outs:
                    self.draft.limit = int(item.number or 1)
                    self._read_select_link(slot, self.at - 1)
                    return
                self._add_test(Test(Out(slot, "count"), operator, [value_of(item)]))
            else:
                self._add_test(Test(Out(slot), operator, [value_of(item)]))
            return
        if left is None:
            previous = self.items[self.at - 2] if self.at >= 2 else None
            if (
                previous is not None
                and previous.kind == "link"
                and previous.tables
                and not is_year(item)
                and operator == "="
            ):
                keys = tuple(Hit(h.table, c, h.cost + 0.1) for h in previous.tables[:2] for c in keys_of(h.table)[:1])
                if keys:
                    left = Out(Slot(None, keys, at=self.at))
        if left is None:
            dims = "year date time" if is_year(item) else ""
            left = Out(Slot(None, (), self._last_table() if dims else None, dims, at=self.at))
        self._add_test(Test(left, operator, [value_of(item)]))
