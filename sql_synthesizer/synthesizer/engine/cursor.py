"""Where a reader stands in a question, what it has read so far, and how it looks around."""

from __future__ import annotations

from sql_synthesizer.synthesizer.engine.draft import Draft, Out, Slot, Test
from sql_synthesizer.synthesizer.engine.lexicon import ROLES
from sql_synthesizer.synthesizer.engine.linking import is_time
from sql_synthesizer.synthesizer.engine.spans import Item

UNREAD = 0.5


class Cursor:
    """The state of one reading."""

    def __init__(self, items: list[Item]) -> None:
        self.items = _without_asides(items)
        self.draft = Draft()
        self.draft.trust = 0.3 if _is_repetitive(items) else 1.0
        self.draft.roles = _roles_of(self.items)
        self.draft.relatives = [at for at, item in enumerate(self.items) if item.key("rel")]
        self.mode = "select"
        self.pending: Out | None = None
        self.negated = False
        self.negated_at = 0
        self.block = 0
        self.joint = ""
        self.nesting = "over"  # empty just after rows were named over which something is nested
        self.direction: bool | None = None
        self.distinct = False
        self.aggregates: list[str] = []
        self.sentence_outs = 0
        self.at = 0
        self.sorting = False
        self.waited: Out | None = None
        self.grouped = any(item.kind == "key" and item.key("each") for item in self.items)

    def _next(self, start: int) -> int:
        """The place of the next item that says something."""
        while start < len(self.items) and self.items[start].kind == "stop":
            start += 1
        return start

    def _peek(self, start: int) -> Item | None:
        place = self._next(start)
        return self.items[place] if place < len(self.items) else None

    def _before(self, place: int) -> Item | None:
        place -= 1
        while place >= 0 and self.items[place].kind == "stop":
            place -= 1
        return self.items[place] if place >= 0 else None

    def _stop_before(self, place: int) -> str:
        """The last preposition straight before an item."""
        place -= 1
        while place >= 0 and self.items[place].kind == "stop":
            if self.items[place].lower in {"of", "for", "in", "from", "by", "at", "on", "to", "with"}:
                return self.items[place].lower
            place -= 1
        return ""

    def _noun(self, start: int, want: str = "") -> tuple[Slot | None, int, bool]:
        """The slot that starts at a place, the place after it, and whether distinct ones are asked for."""
        place, distinct = start, False
        while place < len(self.items):
            item = self.items[place]
            if item.kind == "key" and item.key("distinct"):
                distinct = True
            elif item.kind == "key" and item.key("times"):
                pass
            elif item.kind == "key" and item.hits and not item.key("count"):
                return self._slot(item, place, want), place + 1, distinct
            elif item.kind == "word" and item.cost < UNREAD and self._peek(place + 1) is not None:
                pass
            elif item.kind != "stop":
                break
            place += 1
        if (
            place + 1 < len(self.items)
            and want == "table"
            and self.items[place].kind == self.items[place + 1].kind == "link"
        ):
            loose, head = self.items[place], self.items[place + 1]
            if loose.hits and loose.hits[0].cost > 0.2 and head.tables and head.tables[0].cost < 0.1:
                self.draft.cost += 0.2
                place += 1
        if place < len(self.items) and self.items[place].kind == "link" and self.items[place].hits:
            return self._slot(self.items[place], place, want), place + 1, distinct
        return None, start, distinct

    def _slot(self, item: Item, place: int, want: str = "", owner: Slot | None = None) -> Slot:
        hits = item.hits
        if want == "table" and item.tables:
            hits = tuple(sorted(hits, key=lambda h: h.cost + (0.0 if h.column is None else 0.15)))
        elif want == "column" and item.columns:
            hits = tuple(sorted(hits, key=lambda h: h.cost + (0.3 if h.column is None else 0.0)))
        return Slot(item, hits, owner, at=place)

    def _compares(self, place: int) -> bool:
        """Whether a comparison or a constant follows at once."""
        place = self._next(place)
        for _ in range(2):
            item = self.items[place] if place < len(self.items) else None
            if item is None or item.kind == "mark":
                return False
            if item.kind == "key" and item.key("contain"):
                following = self.items[place + 1] if place + 1 < len(self.items) else None
                spelled = {"letter", "letters", "word", "substring"} & set(item.lower.split())
                return bool(spelled) or (
                    following is not None
                    and (following.kind in {"text", "number", "word"} or following.key("contain") is not None)
                )
            if item.kind == "key" and item.key("compare", "between", "start", "end", "null"):
                return True
            if item.kind == "key" and item.key("not"):
                place = self._next(place + 1)
                continue
            if item.kind in {"number", "text"}:
                return True
            if item.kind == "word" and item.cost > UNREAD:
                last = place + 1 == len(self.items) or self.items[place + 1].kind == "mark"
                named = item.tokens[0].capital or (last and not item.lower.endswith(("ed", "ing", "s")))
                return named and (self.mode == "where" or bool(self.draft.outs))
            if item.kind == "link" and item.values and (not item.hits or item.values[0][1] <= item.hits[0].cost + 0.15):
                return True
            if item.kind == "key" and item.key("either", "both", "super", "agg") and self.mode == "where":
                place = self._next(place + 1)
                if item.key("super") and (place >= len(self.items) or self.items[place].kind == "mark"):
                    return True
                continue
            return False
        return False

    def _has_more(self) -> bool:
        item = self._peek(self.at)
        return item is not None and item.kind != "mark"

    def _end_clause(self) -> None:
        if self.pending is not None:
            self._drop_pending()
        self.negated = False
        self.aggregates = []

    def _drop_pending(self) -> None:
        if self.pending is not None and self.pending.slot is not None:
            if self.pending.aggregate or not self.pending.slot.is_table:
                self.draft.cost += 0.3
            self.draft.mentions.append(self.pending.slot)
        self.pending = None

    def _append_out(self, out: Out) -> None:
        if self.sentence_outs and len(self.draft.outs) == self.sentence_outs:
            self._replace_outs()
        self.draft.outs.append(out)

    def _replace_outs(self) -> None:
        """A second sentence says what to show of what the first asked for."""
        kept = [out for out in self.draft.outs if out.aggregate and self.draft.groups]
        for out in self.draft.outs:
            if out.slot is not None and out not in kept:
                self.draft.mentions.append(out.slot)
        self.draft.outs[:] = kept
        self.sentence_outs = 0

    def _add_test(self, test: Test) -> None:
        test.negated = self.negated
        test.block = self.block if self.negated else 0
        test.inner = (
            test.left.slot is not None and test.left.slot.item is not None and test.left.slot.at < self.negated_at
        )
        previous = self.draft.tests[-1] if self.draft.tests else None
        if previous is not None and previous.nested and self.nesting == self.joint == "" and not test.negated:
            test.within = previous
        self.nesting = "over"
        test.joined = self._joint_before()
        test.end = self.at
        self.draft.tests.append(test)
        self.joint = ""
        if self.mode == "select" and self.draft.outs:
            self.mode = "where"
        item = self.items[self.at] if self.at < len(self.items) else None
        if test.negated and item is not None and item.kind == "link" and test.values:
            stored = {match.table for match, _ in test.values[-1].places}
            self.at += any(hit.table.name in stored for hit in item.tables[:1])
        self.negated = self.negated and self._continues_negation()

    def _continues_negation(self) -> bool:
        item = self._peek(self.at)
        return item is not None and item.key("or", "and") is not None

    def _joint_before(self) -> str:
        if not self.draft.tests:
            return "and"
        return "or" if self.joint == "or" else "and"

    def _last_table(self) -> Slot | None:
        """The table that was spoken of last."""
        slots = [*self.draft.mentions, *(slot for slot, _ in self.draft.absent), *self.draft.groups]
        slots += [out.slot for out in self.draft.outs if out.slot is not None]
        slots += [t.left.slot for t in self.draft.tests if t.left.slot is not None and t.left.aggregate == "count"]
        return max((slot for slot in slots if slot.is_table), key=lambda slot: slot.at, default=None)

    def _mention(self, slot: Slot) -> None:
        if self.negated and slot.is_table:
            self.draft.absent.append((slot, self.block))
            return
        self.draft.mentions.append(slot)

    def _add_order(self, out: Out) -> None:
        descending = self.direction
        self.draft.orders.append((out, bool(descending)))
        self.direction = None

    def _own_slot(self, slot: Slot) -> None:
        """Gives a column the table of which it is said to be: age of dogs, the dog's age."""
        place = self.at
        if (
            place < len(self.items)
            and self.items[place].kind == "stop"
            and self.items[place].lower in {"of", "for", "in"}
        ):
            following = self._next(place)
            item = self.items[following] if following < len(self.items) else None
            if (
                item is not None
                and item.kind == "link"
                and item.tables
                and item.tables[0].cost <= item.hits[0].cost + 0.1
            ):
                owner = self._slot(item, following, "table")
                slot.owner = owner
                self.draft.mentions.append(owner)
                self.at = following + 1

    def _owns_next(self) -> bool:
        """Whether the next item is a column of what was just read: the dog's name."""
        item = self.items[self.at] if self.at < len(self.items) else None
        if item is not None and item.tokens[0].kind == "possessive":
            following = self._peek(self.at + 1)
            return following is not None and (bool(following.columns) or following.kind == "key")
        if item is None or item.kind != "link" or item.values or self._compares(self.at + 1):
            return False
        return bool(item.columns) and item.columns[0].cost < 0.3 and not item.lower.endswith(("ed", "ing"))

    def _place_value(self, out: Out) -> None:
        """Puts a value where the clause wants it."""
        if self.mode == "order":
            self._add_order(out)
        elif self.mode == "where" and self._compares(self.at):
            self._drop_pending()
            self.pending = out
        elif self.mode == "select" and self.draft.outs and self._is_compared_next():
            self.pending = out
        else:
            self._append_out(out)

    def _is_compared_next(self) -> bool:
        item = self._peek(self.at)
        return item is not None and item.kind == "key" and bool(item.key("compare", "between"))

    def _timed(self, item: Item) -> Out | None:
        """The column that waits for a constant, unless it is only a verb before a year: produced in 1980."""
        waiting = self.pending
        if waiting is None or waiting.slot is None or waiting.slot.item is None or not is_year(item):
            return waiting
        verb = waiting.slot.item.tokens[-1].lower
        loose = waiting.slot.hits and waiting.slot.hits[0].cost >= 0.25
        if loose and len(waiting.slot.item.tokens) == 1 and verb.endswith(("ed", "ing", "de", "lt")):
            times = [h for h in waiting.slot.hits if h.column is not None and is_time(h.column)]
            return Out(Slot(waiting.slot.item, tuple(times), at=self.at)) if times else None
        return waiting

    def _listed(self, item: Item) -> Out | None:
        """The column of the constant before, where this one only goes on with a list: A or B."""
        tests = self.draft.tests
        place = self.at - 2
        while place >= 0 and (
            self.items[place].kind == "stop" or self.items[place].key("and", "or") or self.items[place].text == ","
        ):
            place -= 1
        if (
            not tests
            or place == self.at - 2
            or place + 1 != tests[-1].end
            or tests[-1].operator != "="
            or tests[-1].left.aggregate
        ):
            return None
        if (
            any(
                i.kind == "stop" and i.lower in {"in", "from", "with", "to", "into", "by"}
                for i in self.items[place + 1 : self.at - 1]
            )
            and not self.draft.both
        ):
            return None
        own = {(m.table, m.column) for m, _ in item.values}
        before = {(m.table, m.column) for value in tests[-1].values for m, _ in value.places}
        return tests[-1].left if own & before or not (own or before) else None

    def _is_compared(self, place: int) -> bool:
        item = self._before(place)
        return item is not None and item.kind == "key" and bool(item.key("compare", "between"))


def _is_repetitive(items: list[Item]) -> bool:
    """Whether the same name is said again and again."""
    names = [item.lower for item in items if item.kind == "link"]
    return any(names.count(name) > 5 for name in set(names))


def is_year(item: Item) -> bool:
    """Whether a number can be a year; a date can."""
    number = item.number
    return item.tokens[0].kind == "date" or (number is not None and 1500 <= number <= 2100 and number == int(number))


def _roles_of(items: list[Item]) -> list[tuple[int, int]]:
    """Where words like departing and to stand, and which end they tell."""
    return [
        (place, role)
        for place, item in enumerate(items)
        for role, (words, _) in enumerate(ROLES)
        if any(token.lower in words for token in item.tokens)
    ]


def _without_asides(items: list[Item]) -> list[Item]:
    """Without remarks in brackets."""
    kept: list[Item] = []
    depth = 0
    for item in items:
        if item.text == "(":
            depth += 1
        elif item.text == ")":
            depth = max(0, depth - 1)
        elif not depth:
            kept.append(item)
    return kept
