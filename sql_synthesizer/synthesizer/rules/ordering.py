"""The part of the grammar that sorts and ranks: sorted by, top 5, the oldest, with the most."""

from __future__ import annotations

from collections.abc import Sequence

from sql_synthesizer.model import ColumnKind
from sql_synthesizer.synthesizer.rules.conditions import ConditionReader
from sql_synthesizer.synthesizer.rules.draft import Draft, Mention, NotUnderstood, Sorting
from sql_synthesizer.synthesizer.rules.linking import Item


class OrderReader(ConditionReader):
    """Reads sort keys and ranks.

    ``_ranked`` is the direction of a rank whose key is still to come, ``_open_rank`` whether no column was asked for
    before it.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        super().__init__(items)
        self.draft = Draft()
        self.narrowing = False
        self._aggregates: list[str] = []
        self._ranked = ""
        self._open_rank = False
        self._unowned: list[Mention] = []

    def _add_mention(self, mention: Mention) -> None:
        mention.owner = self.draft.tables[-1] if self.draft.tables else None
        self.draft.select.append(mention)
        before = self.items[self.at - 2] if self.at > 1 else None
        if before is None or before is not mention.owner:
            self._unowned.append(mention)

    def _read_ordering(self) -> bool:
        item = self.take("order", "alphabetical_of", "alphabetical")
        if item is None or item.op is None:
            return False
        if item.op.kind == "alphabetical" and self.draft.orders:
            self.draft.orders[-1].descending = item.op.argument == "desc"
            return True
        if item.op.kind == "alphabetical":
            self._sort_by_selection(descending=item.op.argument == "desc")
            return True
        self._read_sort_keys(item.op.argument == "desc")
        return True

    def _read_sort(self) -> bool:
        """Sort ROWS by COLUMN: what follows ``by`` is the key."""
        if not self.take("sort"):
            return False
        if not self.at_op("order", "alphabetical", "alphabetical_of", "direction"):
            self._ranked = "asc"
        return True

    def _sort_by_selection(self, *, descending: bool) -> None:
        """Alphabetically, with no column named: by the one text that is asked for."""
        if len(self.draft.select) > 1 or (self.draft.select and self.draft.select[0].aggregate):
            raise NotUnderstood("alphabetically")
        self.draft.orders.append(Sorting(self.draft.select[0] if self.draft.select else Mention(None), descending))

    def _read_sort_keys(self, descending: bool) -> None:
        """One or more keys, each with a direction before or after it."""
        first = len(self.draft.orders)
        while (mention := self._read_key()) is not None:
            self.draft.orders.append(Sorting(mention, descending))
            after = self.at
            self._skip_fillers()
            if (direction := self.take("direction", "alphabetical")) and direction.op is not None:
                for order in self.draft.orders[first:]:
                    order.descending = direction.op.argument == "desc"
            elif self.peek(0) is not None and not self.at_op("and"):
                self.at = after
            following = self.peek(1)
            if not (self.at_op("and") and following is not None and following.kind == "name"):
                break
            self.at += 1
        if len(self.draft.orders) == first:
            raise NotUnderstood("sorted by")

    def _read_key(self) -> Mention | None:
        """A column, an aggregate of one or a count, at this point."""
        start = self.at
        self._skip_fillers()
        aggregate = self.take("aggregate", "count")
        self._skip_fillers()
        item = self.peek(0)
        if item is None or item.kind != "name":
            self.at = start
            return None
        self.at += 1
        if aggregate is None or aggregate.op is None:
            return Mention(item, owner=self.draft.tables[-1] if self.draft.tables else None)
        return Mention(item, aggregate.op.argument or "count")

    def _read_top(self) -> bool:
        item = self.take("top")
        if item is None or item.op is None:
            return False
        number = self.peek(0)
        if number is not None and number.number is not None:
            self.at += 1
        self._set_limit(number.number if number else None)
        if not self.at_op("gradable", "superlative"):
            self._ranked = item.op.argument
            self._open_rank = not self.draft.select
        return True

    def _set_limit(self, number: float | None) -> None:
        if number is not None and (number != int(number) or number < 1):
            raise NotUnderstood(str(number))
        self.draft.limit = int(number) if number else self.draft.limit or 1

    def _read_superlative(self) -> bool:
        """highest COLUMN, most ROWS, with the largest number of ROWS, highest average COLUMN; a limit may precede."""
        start = self.at
        number = self._number_before("superlative")
        item = self.take("superlative")
        if item is None or item.op is None:
            return False
        key = self._read_key()
        if key is None or key.item is None:
            self.at = start
            return False
        after = self.peek(0)
        if after is not None and after.is_table and not (key.aggregate or key.item.is_table or _is_numeric(key.item)):
            raise NotUnderstood(key.item.text)
        descending = item.op.argument == "desc"
        asked_first = not (self.draft.select or self.draft.tables or self._aggregates)
        if key.item.is_table and not key.aggregate:
            key.aggregate = "count"
        if asked_first and not key.aggregate and number is None and self.draft.limit is None:
            self._add_mention(Mention(key.item, "max" if descending else "min"))
            return True
        self._set_limit(number)
        self.draft.orders.append(Sorting(key, descending))
        self._ranked = ""
        return True

    def _read_gradable(self) -> bool:
        """The 3 oldest, latest 3, cheapest: an adjective that grades a dimension of the table after it."""
        number = self._number_before("gradable")
        item = self.take("gradable")
        if item is None or item.op is None:
            return False
        after = self.peek(0)
        if number is None and after is not None and after.number is not None:
            number = after.number
            self.at += 1
        adjective, direction = item.op.argument.split()
        named = self.peek(0)
        if number is None and self.draft.limit is None and (named is None or named.plural):
            raise NotUnderstood(item.text)
        self._set_limit(number)
        self.draft.orders.append(Sorting(Mention(None, adjective=adjective), direction == "desc"))
        self._ranked = ""
        return True

    def _number_before(self, kind: str) -> float | None:
        item, following = self.peek(0), self.peek(1)
        if item is None or item.number is None or following is None or not following.is_op(kind):
            return None
        self.at += 1
        return item.number

    def _read_most_common(self) -> bool:
        """The most common COLUMN: groups by it and sorts by how many."""
        item = self.take("common")
        if item is None or item.op is None:
            return False
        key = self._read_key()
        if key is None or key.item is None or key.aggregate or key.item.is_table:
            raise NotUnderstood(item.text)
        self._set_limit(None)
        self._add_mention(key)
        self.draft.popular.append(key.item)
        self.draft.orders.append(Sorting(Mention(None, "count"), item.op.argument == "desc"))
        return True


def _is_numeric(item: Item) -> bool:
    column = item.hits[0].column
    return column is not None and column.kind in {ColumnKind.INTEGER, ColumnKind.NUMBER}
