"""The grammar: reads a question's items from left to right into a draft, and accounts for every one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sql_synthesizer.synthesizer.rules.binding import DATED
from sql_synthesizer.synthesizer.rules.draft import Draft, Having, Mention, NotUnderstood
from sql_synthesizer.synthesizer.rules.linking import Item
from sql_synthesizer.synthesizer.rules.names import EXACT
from sql_synthesizer.synthesizer.rules.ordering import OrderReader
from sql_synthesizer.synthesizer.rules.vocabulary import LOCATIVES, RELATIVES

_UNANSWERED = frozenset({"where", "when", "why", "how"})
_RESTART = frozenset(
    {"show", "list", "find", "give", "return", "display", "tell", "what", "their", "its", "his", "her"}
)


class Reader(OrderReader):
    """Reads one question. ``narrowing`` is set where a bare column would be a condition, not a wish."""

    def __init__(self, items: Sequence[Item]) -> None:
        super().__init__(items)
        self._pending_distinct = False
        self._within = False
        self._conjoined = False
        self._rules: tuple[Callable[[], bool], ...] = (
            self._read_everything,
            self._read_top,
            self._read_sort,
            self._read_ordering,
            self._read_bucket,
            self._read_grouping,
            self._read_most_common,
            self._read_superlative,
            self._read_gradable,
            self._read_count,
            self._read_aggregate,
            self._read_distinct,
            self._read_absence,
            self.read_condition,
            self._read_limit,
            self._read_mention,
            self._read_conjunction,
            self._read_filler,
        )

    def read(self) -> Draft:
        """The draft of the whole question. Raises NotUnderstood when an item has no role in it."""
        if self.items and self.items[0].text in _UNANSWERED:
            raise NotUnderstood(self.items[0].text)
        while self.at < len(self.items):
            if not any(rule() for rule in self._rules):
                raise NotUnderstood(self.items[self.at].text)
        if self._aggregates or self._ranked or self._pending_distinct:
            raise NotUnderstood(self._aggregates[0] if self._aggregates else self._ranked or "different")
        return self.draft

    # --- what is asked for ------------------------------------------------------------------

    def _read_everything(self) -> bool:
        if not self.take("everything"):
            return False
        self.draft.everything = True
        return True

    def _read_count(self) -> bool:
        if not self.take("count"):
            return False
        self._aggregates.append("count")
        self.narrowing = False
        return True

    def _read_aggregate(self) -> bool:
        item = self.take("aggregate")
        if item is None or item.op is None:
            return False
        if self._aggregates == ["count"]:
            raise NotUnderstood(item.text)
        self._aggregates.append(item.op.argument)
        self.narrowing = False
        return True

    def _read_distinct(self) -> bool:
        if not self.take("distinct"):
            return False
        self._pending_distinct = True
        return True

    def _read_mention(self) -> bool:
        item = self.item()
        if item.kind != "name":
            return False
        if self.at and self._is_name_suffix(item):
            self.at += 1
            return True
        if self._aggregates:
            return self._read_aggregated_item(item)
        if item.is_table and not self._pending_distinct:
            self.at += 1
            self._add_table(item)
            return True
        if self.narrowing:
            return False
        if self._within and self.draft.select:
            raise NotUnderstood(item.text)
        self.at += 1
        self._conjoined = False
        self._add_mention(Mention(item, distinct=self._pending_distinct))
        self.draft.distinct |= self._pending_distinct
        self._pending_distinct = False
        return True

    def _is_name_suffix(self, item: Item) -> bool:
        """The country name, where country itself is the column."""
        last = self.items[self.at - 1]
        return item.text.casefold() in {"name", "names"} and last.kind == "name" and not last.is_table

    def _read_aggregated_item(self, item: Item) -> bool:
        """The thing that the aggregates before it are of."""
        self.at += 1
        distinct, self._pending_distinct = self._pending_distinct, False
        for aggregate in self._aggregates:
            self._add_mention(Mention(item, aggregate, distinct))
        self._conjoined = False
        self._aggregates = []
        if item.is_table:
            self._add_table(item)
        return True

    def _add_table(self, item: Item) -> None:
        self._within = False
        if self._conjoined and self.draft.tables and not self.narrowing:
            raise NotUnderstood(item.text)
        if self.narrowing and self.draft.conditions and any(item.hits == known.hits for known in self.draft.tables):
            raise NotUnderstood(item.text)
        for mention in self._unowned:
            mention.owner = item
        self._unowned = []
        self.draft.tables.append(item)

    def _read_limit(self) -> bool:
        """A number before what is listed: show 5 customers."""
        item = self.item()
        following = self.peek(1)
        if item.number is None or following is None or following.kind != "name" or not following.is_table:
            return False
        if self.narrowing:
            self.draft.having.append(Having(following, "=", item.number))
            self.at += 2
            return True
        if self.draft.limit is not None or self.draft.tables or item.number != int(item.number) or item.number < 1:
            return False
        self.draft.limit = int(item.number)
        self.at += 1
        return True

    # --- groups -----------------------------------------------------------------------------

    def _read_bucket(self) -> bool:
        item = self.take("bucket")
        if item is None or item.op is None:
            return False
        self.draft.bucket = item.op.argument
        return True

    def _read_grouping(self) -> bool:
        if self.at_op("group"):
            self.at += 1
            self._skip_fillers()
            if self.take("distinct") is None and self.peek(0) is None:
                raise NotUnderstood("each")
            return self._read_group_keys()
        if self.item().text != "by" or not (following := self._after_fillers(1)):
            return False
        if self._ranked:
            self.at += 1
            self._read_sort_keys(self._ranked == "desc")
            self.draft.show_measure = self._open_rank
            self._ranked = ""
            return True
        key, after = self.peek(1), self.peek(2)
        if key is not None and key.kind == "name" and any(m.aggregate for m in self.draft.select):
            if after is not None and after.kind == "value":
                return False
            self.at += 1
            return self._read_group_keys()
        if following.is_table and self.draft.orders and self.draft.limit is not None:
            raise NotUnderstood(f"by {following.text}")
        if following.kind == "name" and any(o.mention.adjective for o in self.draft.orders):
            return self._read_dimension()
        return False

    def _read_dimension(self) -> bool:
        """cheapest ... by COLUMN: names the dimension that the adjective grades."""
        self.at += 1
        key = self._read_key()
        if key is None:
            raise NotUnderstood("by")
        dated = key.item is not None and any(hit.column and hit.column.kind in DATED for hit in key.item.hits)
        if dated and self.draft.orders[-1].mention.adjective != "late":
            raise NotUnderstood("by")
        self.draft.orders[-1].mention = key
        return True

    def _read_group_keys(self) -> bool:
        item = self.peek(0)
        if item is None or item.kind != "name":
            raise NotUnderstood("each")
        self.at += 1
        self.draft.groups.append(item)
        while self.at_op("and"):
            following = self._after_fillers(1)
            if following is None or following.kind != "name" or following.hits[0].quality < EXACT:
                break
            self.at += 1
            self._skip_fillers()
            if any(m.aggregate for m in self.draft.select):
                self.draft.groups.append(self.item())
                self.at += 1
        self.narrowing = False
        return True

    # --- the rest ---------------------------------------------------------------------------

    def _read_absence(self) -> bool:
        """Without ROWS, with no COLUMN."""
        start = self.at
        if not self.take("none"):
            return False
        self._skip_fillers()
        item = self.peek(0)
        if item is None or item.kind != "name":
            self.at = start
            return False
        self.at += 1
        following = self.peek(0)
        if following is not None and following.kind in {"value", "number"}:
            raise NotUnderstood(item.text)
        self.narrowing = True
        if item.is_table:
            self.draft.absent.append(item)
        else:
            self.add_condition(item, "null")
        return True

    def _read_conjunction(self) -> bool:
        if not self.take("and"):
            return False
        self._within = False
        self._conjoined = not self.narrowing
        return True

    def _read_filler(self) -> bool:
        item = self.item()
        following = self.peek(1)
        linking = item.is_op("contain") and following is not None and following.kind == "name"
        if item.kind != "filler" and not item.is_op("of") and not linking:
            return False
        self.at += 1
        self.narrowing |= linking
        self._within |= item.is_op("of") and item.text in {"of", "for"}
        if item.text in _RESTART or item.text.startswith(("'", "’")):
            self.narrowing = False
        elif item.text in RELATIVES | LOCATIVES and (self.draft.select or self.draft.tables):
            self.narrowing = True
        return True
