"""From a row of items to a draft: each item is read in the clause in which it stands."""

from __future__ import annotations

from sql_synthesizer.model import ColumnKind
from sql_synthesizer.synthesizer.engine.comparisons import ComparisonReader
from sql_synthesizer.synthesizer.engine.cursor import UNREAD
from sql_synthesizer.synthesizer.engine.draft import Draft, Out, Slot, Test, Value
from sql_synthesizer.synthesizer.engine.lexicon import Key
from sql_synthesizer.synthesizer.engine.spans import Item
from sql_synthesizer.synthesizer.engine.values import BUCKETS

UNSUPPORTED, UNKNOWN_HEAD, UNKNOWN_END = 0.3, 0.6, 0.7
"""What is left of the trust where a word asks for what plans cannot say, and where one is unknown that matters."""


class Reader(ComparisonReader):
    """Reads one question."""

    def read(self) -> Draft:
        """The draft of the whole question."""
        if (
            self.items
            and self.items[0].lower in {"for", "among", "of", "in", "from"}
            and any(i.text == "," for i in self.items)
        ):
            self.mode = "where"
        while self.at < len(self.items):
            before = self.at
            self._step(self.items[self.at])
            if self.at <= before:
                self.at = before + 1
        if self.negated and self.negated_at >= len(self.items) - 1:
            self.draft.trust *= UNSUPPORTED
        unranked = self.draft.limit is not None and any(item.key("first") for item in self.items)
        if (self.mode == "order" or unranked) and not self.draft.orders:
            self.draft.trust *= UNSUPPORTED
        self._end_clause()
        return self.draft

    def _step(self, item: Item) -> None:
        self.at += 1
        if self.sorting and item.kind in {"key", "link"} and self._stop_before(self.at - 1) == "by":
            self.sorting = False
            self.mode = "order"
        if item.kind == "mark":
            self._read_mark(item)
        elif item.kind == "key":
            self._read_key(item)
        elif item.kind == "link":
            self._read_link(item)
        elif item.kind == "number":
            self._read_number(item)
        elif item.kind == "text":
            self._read_text(item)
        elif item.kind == "verb":
            before = self._before(self.at - 1)
            if self.mode == "where" and before is not None and before.key("and"):
                self._end_clause()
                self.mode = "select"
                self.joint = "and"
        elif item.kind == "word":
            before = self._before(self.at - 1)
            if (
                item.lower in {"information", "info", "details"}
                and self.mode == "select"
                and before is not None
                and before.tables
            ):
                self.draft.star = True
            self._leave_out(item)

    def _leave_out(self, item: Item) -> None:
        """A word that means nothing here; worse where it stands for what is asked, or ends what is said of it."""
        if self.mode == "order" and item.lower == "age":
            self._add_order(Out(Slot(item, (), dims="age birth", at=self.at)))
            return
        self.draft.cost += item.cost
        if item.cost < UNREAD:
            return
        if self._read_unstored(item):
            return
        self.draft.notes.append(item.text)
        following = self._peek(self.at)
        heads = self.mode == "select" and not self.draft.outs and following is not None and following.kind == "link"
        if heads and self._stop_before(self._next(self.at)):
            self.draft.trust *= UNKNOWN_HEAD
        elif following is None or following.kind == "mark":
            self.draft.trust *= UNKNOWN_END

    def _peek_name(self) -> str:
        """The next word where it goes on with a name that is unknown: Smith, after Jane."""
        item = self.items[self.at] if self.at < len(self.items) else None
        return item.text if item is not None and item.kind == "word" and item.tokens[0].capital else ""

    def _read_unstored(self, item: Item) -> bool:
        """A name beside a column of texts is a constant that is stored nowhere: of model X, in Y city."""
        if not item.start or item.tokens[0].kind != "word":
            return False
        before = self.items[self.at - 2]
        start, words = self.at, [item.text]
        while item.tokens[0].capital and (name := self._peek_name()):
            words.append(name)
            self.at += 1
        value = Value(" ".join(words), None, (), True)
        after = self.items[self.at] if self.at < len(self.items) else None
        if self.pending is not None and self.pending.slot is not None and _is_text(before):
            left, self.pending = self.pending, None
            self._add_test(Test(left, "=", [value]))
            return True
        if item.tokens[0].capital and before.kind == "link" and before.tables and before.tables[0].cost < UNREAD:
            self._add_test(Test(Out(Slot(None, (), at=start)), "=", [value]))
            return True
        if (
            after is not None
            and item.tokens[0].capital
            and _is_text(after)
            and (self.draft.outs or self._stop_before(self.at - 1))
        ):
            slot = self._slot(after, self.at, "column")
            self.at += 1
            self._add_test(Test(Out(slot), "=", [value]))
            return True
        self.at = start
        return False

    def _read_mark(self, item: Item) -> None:
        if item.text in "?.!;":
            self._end_clause()
            if self.at < len(self.items) and any(i.kind in {"link", "key", "number"} for i in self.items[self.at :]):
                self.mode = "select"
                self.sentence_outs = len(self.draft.outs)
        elif item.text == ",":
            self.joint = ","
            if not self.draft.outs and self.mode == "where":
                self._end_clause()
                self.mode = "select"

    def _read_key(self, item: Item) -> None:
        """Reads an operation; of several that it can stand for, the first that fits."""
        if item.key("count"):
            self._read_count(item)
        elif (key := item.key("super")) and not self._is_aggregate(item) and self._read_super(item, key):
            pass
        elif key := item.key("agg"):
            self._read_aggregate(item, key)
        elif key := item.key("popular"):
            self._read_popular(item, key)
        elif item.key("each"):
            self._read_each()
        elif item.key("order"):
            self._read_order(item)
        elif key := item.key("asc", "desc"):
            self._read_direction(key, item)
        else:
            self._read_condition_key(item)

    def _read_condition_key(self, item: Item) -> None:
        if key := item.key("compare"):
            self._read_compare(key)
        elif key := item.key("more"):
            self._read_more(key)
        elif item.key("same"):
            self._read_same()
        elif item.key("between"):
            self._read_between()
        elif key := item.key("contain", "start", "end"):
            self._read_pattern(key)
        elif item.key("null"):
            self._read_null()
        elif item.key("not", "except"):
            self._read_negation()
        elif item.key("rel"):
            self._read_relative()
        elif item.key("first"):
            self._read_first(item)
        else:
            self._read_other_key(item)

    def _read_other_key(self, item: Item) -> None:
        if item.key("several"):
            self._read_several()
        elif item.key("share"):
            self._read_share()
        elif key := item.key("measure"):
            self._read_measure(item, key)
        elif (key := item.key("bucket")) and not any(h.cost < 0.1 and h.column for h in item.hits):
            self.draft.buckets.append(
                Out(
                    Slot(item, (), owner=self._last_table(), dims=BUCKETS[key.argument], at=self.at),
                    bucket=key.argument,
                )
            )
        elif key := item.key("wh"):
            self._read_wh(item, key)
        elif item.key("unsupported"):
            self.draft.trust *= UNSUPPORTED
            self.draft.notes.append(item.text)
        elif (key := item.key("after")) and item.lower.startswith("or "):
            self._read_alternative(item, key)
        elif item.key("and", "or"):
            self.joint = "or" if item.key("or") else "and"
        else:
            self.distinct = self.distinct or item.key("distinct") is not None
            self.draft.star = self.draft.star or item.key("star") is not None
            self.draft.both = self.draft.both or item.key("both") is not None
            self.draft.cost += 0.0 if item.key("distinct", "star", "both", "either") else 0.2

    def _read_several(self) -> None:
        """``with several orders``: more than one."""
        slot, place, distinct = self._noun(self.at, "table")
        if slot is None or not slot.is_table or not self.draft.outs:
            self.draft.cost += 0.2
            return
        self.at = place
        self._drop_pending()
        self._add_test(Test(Out(slot, "count", distinct), ">", [Value("1", 1.0)]))

    def _read_share(self) -> None:
        """``percentage of orders that are shipped``: what follows the rows says which of them count."""
        slot, place, _ = self._noun(self.at, "table")
        if slot is None or not slot.is_table or self.draft.outs:
            self.draft.trust *= UNSUPPORTED
            return
        self.at, self.mode = place, "where"
        self.draft.share = True
        self.draft.outs.append(Out(slot, "count"))

    def _read_alternative(self, item: Item, key: Key) -> None:
        """``or before 2008``: another comparison of the same column."""
        self.joint = "or"
        timed = item.lower.split()[-1] in {"before", "after", "earlier", "later"}
        last = self.draft.tests[-1].left if self.draft.tests else None
        if self.pending is None and last is not None and last.slot is not None and not last.aggregate:
            self.pending = last
        self._read_compare(Key("compare", key.argument[0], "date year time" if timed else ""))

    def _read_order(self, item: Item) -> None:
        """``sorted by`` begins an order; ``sort the dogs by`` first says what is sorted."""
        self._end_clause()
        self.direction = None
        place = self._next(self.at)
        if item.lower in {"sort", "order", "arrange", "rank"} and self._stop_before(place) != "by":
            self.sorting = place < len(self.items)
        if not self.sorting:
            self.mode = "order"

    def _read_negation(self) -> None:
        if self.pending and self.pending.aggregate:
            self._drop_pending()
        self.negated = True
        self.negated_at = self.at
        self.block += 1
        if self.mode == "select" and self.draft.outs:
            self.mode = "where"

    def _read_relative(self) -> None:
        before = self._before(self.at - 1)
        opening = before is None or (before.kind == "mark" and before.text in ".?!;")
        if opening or not self.draft.outs:
            return
        if self.mode == "order" and not self.draft.orders:
            return
        if self.pending is not None and before is not None and before.kind == "link" and before.columns:
            self.mode = "where"
            return
        if before is not None and before.kind == "key" and before.key("not", "except"):
            self.mode = "where"
            return
        negated = self.negated and before is not None and before.kind == "link" and self.at - self.negated_at <= 4
        self._end_clause()
        self.negated = negated
        self.mode = "where"

    def _read_link(self, item: Item) -> None:
        place = self.at - 1
        by_value = bool(item.values) and (not item.hits or item.values[0][1] < item.hits[0].cost + 0.02)
        if by_value:
            self._read_constant(item)
            return
        slot = self._slot(
            item, place, "table" if self.negated or self._stop_before(place) in {"of", "for", "by"} else ""
        )
        if self.sorting and self._stop_before(place) == "by":
            self.sorting = False
            self.mode = "order"
        if self.mode == "order":
            self._read_order_link(slot)
        elif self._is_tested(slot):
            if self.pending is not None and item.lower in {"name", "names"} and self.mode == "where":
                return
            self._drop_pending()
            self.pending = Out(self._slot(item, place, "column"))
        elif self.mode == "select":
            self._read_select_link(slot, place)
        else:
            self._read_where_link(slot, place)


def _is_text(item: Item) -> bool:
    """Whether an item names a column of texts, and no table."""
    column = item.hits[0].column if item.kind == "link" and item.hits else None
    return column is not None and column.kind is ColumnKind.TEXT and item.hits[0].cost < UNREAD
