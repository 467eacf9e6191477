"""Names of tables and columns, by the clause in which they stand."""

from __future__ import annotations

from sql_synthesizer.synthesizer.engine.draft import Out, Slot, Test
from sql_synthesizer.synthesizer.engine.superlatives import SuperlativeReader


class MentionReader(SuperlativeReader):
    """Reads names."""

    def _is_tested(self, slot: Slot) -> bool:
        if not slot.item or not slot.item.columns:
            return False
        if self.mode == "select" and not self.draft.outs:
            return False
        if not self._compares(self.at):
            return False
        following = self._peek(self.at)
        if self.mode == "select" and following is not None and following.kind == "key" and following.key("compare"):
            return not slot.is_table
        preposition = self._stop_before(self._next(self.at))
        if self.mode == "select" and preposition == "of" and not (following is not None and following.values):
            return False
        before = self._before(slot.at)
        listed = before is not None and (before.lower == "," or bool(before.key("and")))
        if self.mode == "select" and preposition in {"in", "at", "from", "on"} and listed:
            return False
        named = following is not None and bool(following.values) and (preposition or not slot.is_table)
        if self.mode == "select" and following is not None and following.kind == "link" and named:
            stored = {(m.table, m.column) for m, _ in following.values}
            return any((h.table.name, h.column.name) in stored for h in slot.item.columns if h.column)
        if slot.is_table and following is not None:
            if following.kind == "key":
                compared = following.key("compare", "between") and slot.item.columns[0].cost <= slot.hits[0].cost + 0.1
                return bool(compared or following.key("contain", "start", "end", "null"))
            places = {(m.table, m.column) for m, _ in following.values}
            if places:
                best = slot.hits[0].cost + 0.15
                return any(
                    (h.table.name, h.column.name) in places for h in slot.item.columns if h.column and h.cost <= best
                )
            return following.kind == "number" and False
        return True

    def _read_order_link(self, slot: Slot) -> None:
        before = self._before(slot.at)
        if (
            self.draft.orders
            and before is not None
            and not (before.lower == "," or before.key("and", "asc", "desc", "order"))
        ):
            if slot.is_table:
                self.draft.mentions.append(slot)
                last = self.draft.orders[-1][0].slot
                if last is not None and last.owner is None:
                    last.owner = slot
            return
        if self._starts_new(slot.at):
            return
        self._own_slot(slot)
        self._add_order(Out(slot))

    def _starts_new(self, place: int) -> bool:
        """Whether a verb stands before it: sort by age and show the name."""
        before = self._before(place)
        if before is not None and before.kind == "verb" and self.draft.orders:
            self.mode = "select"
            self.at = place + 1
            self._read_select_link(self._slot(self.items[place], place), place)
            return True
        return False

    def _read_select_link(self, slot: Slot, place: int) -> None:
        preposition = self._stop_before(place)
        before = self._before(place)
        outs = self.draft.outs
        if slot.is_table and self._owns_next():
            following = self._next(self.at)
            item = self.items[following]
            if item.kind == "link":
                self.at = following + 1
                column = self._slot(item, following, "column", slot)
                self.draft.mentions.append(slot)
                self._add_out(column)
                return
        if not outs and preposition in {"for", "among", "of"} and (before is None or before.kind == "mark"):
            self._mention(slot)
            return
        if (
            outs
            and preposition == "of"
            and not slot.is_table
            and slot.hits[0].cost <= 0.1
            and self._names_only(outs[-1])
        ):
            outs[-1].slot = slot
            return
        if outs and self._is_compound(slot, place):
            self.draft.cost += 0.2
            return
        joined = before is not None and (before.lower == "," or bool(before.key("and", "or")))
        if not outs and place and self.items[place - 1].lower == "all" and not slot.is_table:
            self.draft.every = True
        if (
            not outs
            or len(outs) == self.sentence_outs
            or (joined and preposition in {"", "of"})
            or (before is not None and before.key("distinct", "agg", "count"))
        ):
            self._add_out(slot)
        elif slot.is_table or preposition:
            if slot.is_table:
                self._own_outs(slot)
                self._mention(slot)
            elif preposition in {"by", "per"} and any(out.aggregate for out in outs):
                self.draft.groups.append(slot)
            elif preposition == "of" and slot.hits[0].cost > 0.2:
                self._mention(slot)
            elif preposition == "of":
                self._add_out(slot)
            else:
                self._read_where_link(slot, place)
        elif slot.item is not None and slot.item.lower.endswith("ed"):
            self.mode = "where"
            self._read_where_link(slot, place)
        elif slot.hits[0].cost > 0.1 and place + 1 == len(self.items) - 1:
            self._mention(slot)
        else:
            self._add_out(slot)

    def _own_outs(self, owner: Slot) -> None:
        """What is shown so far is of this table."""
        for out in self.draft.outs:
            slot = out.slot
            if slot is not None and slot.owner is None and not slot.is_table and slot is not owner:
                slot.owner = owner

    def _names_only(self, out: Out) -> bool:
        """Whether a value was only called a name: the names of the studios."""
        item = out.slot.item if out.slot is not None else None
        return item is not None and item.lower in {"name", "names"} and not out.aggregate

    def _is_compound(self, slot: Slot, place: int) -> bool:
        """Whether a loose reading only goes on with the noun before it: cell phone, country of origin."""
        previous = self.items[place - 1] if place else None
        if previous is None or not slot.hits:
            return False
        if previous.kind == "link" and previous.columns and not slot.is_table and previous.hits[0].column is not None:
            return True
        if slot.hits[0].cost < 0.2:
            return False
        return previous.kind == "link" or (previous.lower == "of" and self.items[place - 2].kind == "link")

    def _add_out(self, slot: Slot) -> None:
        before = self.items[slot.at - 1] if slot.at else None
        if (
            before is not None
            and before.lower in {"its", "their", "his", "her"}
            and slot.owner is None
            and self.draft.groups
        ):
            slot.owner = self.draft.groups[-1]
        self._append_out(Out(slot, distinct=self.distinct))
        if self.distinct:
            self.draft.distinct = True
        self.distinct = False

    def _asks_again(self, place: int) -> bool:
        """Whether what stands here is asked for too: and what are the companies."""
        while place > 0 and self.items[place - 1].kind == "stop":
            place -= 1
            if self.items[place].lower in {"what", "which", "who"}:
                before = self._before(place)
                return before is not None and before.key("and") is not None
        return False

    def _read_where_link(self, slot: Slot, place: int) -> None:
        before = self._before(place)
        if self._asks_again(place):
            self._end_clause()
            self._append_out(Out(slot))
            return
        if slot.is_table:
            if self.pending is not None and self._stop_before(place) == "by" and self._as_event(self.pending):
                self.pending = None
            self._mention(slot)
            if self.negated and not self._has_more():
                self.negated = False
            return
        if (
            before is not None
            and before.key("and")
            and self._stop_before(place) in {"", "of"}
            and self.pending is None
            and not self._compares(self.at)
        ):
            self.draft.outs.append(Out(slot))
            self.draft.cost += 0.1
            return
        if self.negated and slot.hits[0].cost > 0.2:
            self.draft.cost += 0.4
            return
        if self.negated:
            self.pending = None
            self._add_test(Test(Out(slot), "null"))
            self.draft.tests[-1].operator = "null"
            self.draft.tests[-1].negated = False
            return
        if self.pending is not None and slot.item is not None and slot.item.lower in {"name", "names"}:
            return
        self._drop_pending()
        self.pending = Out(slot)
