"""The part of the grammar that narrows: comparisons, values, dates, text patterns, unknowns and their negation."""

from __future__ import annotations

from collections.abc import Sequence

from sql_synthesizer.model import ColumnKind
from sql_synthesizer.synthesizer.rules.draft import Condition, Draft, Having, Mention, NotUnderstood, Sorting
from sql_synthesizer.synthesizer.rules.linking import Item

_COPULAS = frozenset({"is", "are", "was", "were", "be", "been", "the", "a", "an", "that", "which", "has", "have", "as"})
_ANY_GAP = _COPULAS | {"of", "in", "on", "at", "from", "for", "with", "by", "to"}


class Cursor:
    """A place in the items of a question."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        self.at = 0

    def item(self) -> Item:
        """The item here."""
        return self.items[self.at]

    def peek(self, ahead: int) -> Item | None:
        """The item ``ahead`` of here, or None past the end."""
        return self.items[self.at + ahead] if self.at + ahead < len(self.items) else None

    def at_op(self, *kinds: str) -> bool:
        """Whether an operation of one of these kinds stands here."""
        item = self.peek(0)
        return item is not None and item.is_op(*kinds)

    def take(self, *kinds: str) -> Item | None:
        """The operation that stands here, passed over, or None."""
        if not self.at_op(*kinds):
            return None
        self.at += 1
        return self.items[self.at - 1]

    def _skip_words(self, words: frozenset[str]) -> None:
        while (item := self.peek(0)) is not None and item.text.casefold() in words:
            self.at += 1

    def _skip_fillers(self) -> None:
        while (item := self.peek(0)) is not None and (item.kind == "filler" or item.is_op("of")):
            self.at += 1

    def _after_fillers(self, ahead: int) -> Item | None:
        while (item := self.peek(ahead)) is not None and (item.kind == "filler" or item.is_op("of")):
            ahead += 1
        return item


class ConditionReader(Cursor):
    """Reads conditions into ``draft``."""

    draft: Draft
    narrowing: bool
    _joined_by_and: bool = False
    _alternative: bool = False

    def read_condition(self) -> bool:
        """Reads one condition here, whatever its form; False (and no move) when there is none."""
        start = self.at
        if self.draft.conditions and self.take("or"):
            self._alternative = True
            self._skip_words(_ANY_GAP)
        follow = self.at
        for rule in (
            self._read_named_value,
            self._read_flag,
            self._read_subject_first,
            self._read_pattern,
            self._read_comparison,
            self._read_value,
            self._read_date,
        ):
            if rule():
                return True
            self.at = follow
        self.at, self._alternative = start, False
        return False

    def add_condition(
        self, subject: Item | None, operator: str, values: list[Item] | None = None, *, negated: bool = False
    ) -> Condition:
        """Notes a condition; an ``or`` before it joins it to the one before."""
        condition = Condition(subject, operator, values or [], negated, joined_by_and=self._joined_by_and)
        if self.draft.absent:
            raise NotUnderstood(subject.text if subject else condition.values[0].text)
        condition.owner = self.draft.tables[-1] if self.draft.tables else None
        before = reversed(self.items[: self.at])
        condition.near = next((item for item in before if item.kind == "name" and item.is_table), None)
        condition.alternative, self._alternative = self._alternative, False
        self._joined_by_and = False
        self.draft.conditions.append(condition)
        self.narrowing = self.has_narrowing_subject()
        return condition

    # --- forms ------------------------------------------------------------------------------

    def _read_subject_first(self) -> bool:
        """COLUMN is over 5, COLUMN contains X, COLUMN is unknown, COLUMN X."""
        subject = self.item()
        if subject.kind != "name" or all(hit.column is None for hit in subject.hits):
            return False
        self.at += 1
        self._skip_words(_COPULAS)
        negated = False
        if null := self.take("null", "not_null"):
            return bool(self.add_condition(subject, "null", negated=null.is_op("not_null")))
        if not self.at_op("compare"):
            negated = self.take("not") is not None
        self._skip_words(_COPULAS)
        if self.at_op("superlative") and self._read_superlative_predicate(subject):
            return True
        return self._read_predicate(subject, negated=negated)

    def _read_superlative_predicate(self, subject: Item) -> bool:
        """COLUMN is the highest, with nothing after it."""
        following = self.peek(1)
        op = self.item().op
        if op is None or not (following is None or following.is_op("and")):
            return False
        self.at += 1
        self.draft.limit = self.draft.limit or 1
        self.draft.orders.append(Sorting(Mention(subject), op.argument == "desc"))
        return True

    def _read_flag(self) -> bool:
        """active ROWS, ROWS that are not active: a yes-or-no column as an adjective."""
        negated = self.take("not") is not None
        item = self.peek(0)
        if (
            item is None
            or item.kind != "name"
            or all(h.column is None or h.column.kind is not ColumnKind.BOOLEAN for h in item.hits)
        ):
            return False
        if not (self.narrowing or self._is_table_ahead(1)):
            return False
        self.at += 1
        return bool(self.add_condition(item, "true", negated=negated))

    def _read_predicate(self, subject: Item, *, negated: bool) -> bool:
        """What is said of a column that was just named."""
        following = self.peek(1)
        if self.at_op("of") and following is not None and following.is_op("compare", "between"):
            self.at += 1
        if self._read_subject_comparison(subject, negated=negated) or self._read_subject_pattern(
            subject, negated=negated
        ):
            return True
        self._skip_words(_ANY_GAP if self.narrowing else _COPULAS)
        values = self._read_value_list(subject)
        if values:
            return bool(self.add_condition(subject, "=", values, negated=negated))
        item = self.peek(0)
        if item is None:
            return False
        if item.number is not None and not self._is_table_ahead(1):
            self.at += 1
            if more := self.take("or_more"):
                if self._is_table_ahead(0):
                    return False
                return bool(self.add_condition(subject, more.op.argument if more.op else "=", [item], negated=negated))
            return bool(self.add_condition(subject, "=", self._read_alternatives(item), negated=negated))
        if item.span is not None and item.kind == "date":
            self.at += 1
            return bool(self.add_condition(subject, "span", [item], negated=negated))
        if item.quoted and not any(item.matches):
            self.at += 1
            return bool(self.add_condition(subject, "=", self._read_alternatives(item), negated=negated))
        return False

    def _read_alternatives(self, first: Item) -> list[Item]:
        """``first`` and what follows it after ``or``."""
        values = [first]
        while self.at_op("or"):
            following = self.peek(1)
            if following is None or (following.number is None and not following.quoted):
                break
            values.append(following)
            self.at += 2
        return values

    def _read_subject_comparison(self, subject: Item | None, *, negated: bool = False) -> bool:
        """A comparison with a number or a date, or a range, whose column is ``subject``."""
        start = self.at
        if self.take("between"):
            return self._read_range(subject, negated=negated)
        op = self.take("compare", "before", "after", "since", "until", "compare_adjective")
        if op is None or op.op is None:
            return False
        named = self.peek(0)
        if (
            subject is None
            and named is not None
            and named.kind == "name"
            and (value := self.peek(1))
            and value.number is not None
        ):
            self.at += 1
            subject = named
        value = self._read_constant()
        following = self.peek(0)
        if value is None or (subject is not None and following is not None and following.kind == "name"):
            self.at = start
            return False
        if op.op.kind == "compare":
            self.add_condition(subject, op.op.argument, [value], negated=negated)
        elif op.op.kind == "compare_adjective":
            adjective, operator = op.op.argument.split()
            self.add_condition(subject, operator, [value], negated=negated).adjective = adjective
        else:
            self.add_condition(subject, op.op.kind, [value], negated=negated)
        return True

    def _read_constant(self) -> Item | None:
        self._skip_words(frozenset({"the", "a", "an", "year", "of"}))
        item = self.peek(0)
        if item is None or (item.number is None and item.span is None):
            return None
        self.at += 1
        return item

    def _read_range(self, subject: Item | None, *, negated: bool) -> bool:
        low = self._read_constant()
        joined = self.take("and") or (self.peek(0) is not None and self.item().text in {"to", "-"})
        if joined is True:
            self.at += 1
        high = self._read_constant() if joined else None
        if low is None or high is None:
            raise NotUnderstood("between")
        self.add_condition(subject, "between", [low, high], negated=negated)
        return True

    def _read_subject_pattern(self, subject: Item | None, *, negated: bool = False) -> bool:
        """Contains, starts with, ends with."""
        op = self.take("contain", "start", "end")
        if op is None or op.op is None:
            return False
        self._skip_words(frozenset({"the", "word", "letter", "substring", "string", "phrase"}))
        item = self.peek(0)
        if item is None or item.kind in {"name", "op"} or (item.kind == "filler" and len(item.text) > 1):
            return False
        self.at += 1
        self.add_condition(subject, op.op.kind, [item], negated=negated)
        return True

    def _read_pattern(self) -> bool:
        """Containing X, of the name of the rows."""
        return self.has_narrowing_subject() and self._read_subject_pattern(None)

    def has_narrowing_subject(self) -> bool:
        """Whether there is something that a condition without a subject can be about."""
        return bool(self.draft.tables or self.draft.select)

    def _read_named_value(self) -> bool:
        if not self.take("named"):
            return False
        item = self.peek(0)
        if item is None or item.kind == "filler":
            return False
        self.at += 1
        self.add_condition(None, "named", [item])
        return True

    def _read_comparison(self) -> bool:
        """Over 5 COLUMN, more than 5 ROWS, 5 or more ROWS, before 2020."""
        start = self.at
        if (item := self.peek(0)) and item.number is not None and (more := self.peek(1)) and more.is_op("or_more"):
            self.at += 2
            self.add_condition(None, more.op.argument if more.op else ">=", [item])
        elif not self._read_subject_comparison(None):
            self.at = start
            return False
        condition = self.draft.conditions[-1]
        self._skip_words(frozenset({"of"}))
        self._attach_subject(condition)
        return True

    def _attach_subject(self, condition: Condition) -> None:
        """Gives a comparison the column, or the rows to count, that follow it."""
        item = self.peek(0)
        if condition.adjective:
            self._skip_words(frozenset({"years", "year", "old"})) if condition.adjective == "old" else None
            return
        if (
            item is None
            or item.kind != "name"
            or any(value.span and value.number is None for value in condition.values)
        ):
            return
        self.at += 1
        if item.is_table:
            if condition.operator not in {">", "<", ">=", "<=", "=", "!="}:
                raise NotUnderstood(condition.operator)
            self.draft.conditions.remove(condition)
            self.draft.having.append(Having(item, condition.operator, condition.values[0].number or 0.0))
        else:
            condition.subject = item

    def _is_table_ahead(self, ahead: int) -> bool:
        following = self.peek(ahead)
        return following is not None and following.kind == "name" and following.is_table

    def _read_value(self) -> bool:
        """X, not X, X or Y, X COLUMN."""
        negated = self.take("not") is not None
        self._skip_words(_ANY_GAP)
        values = self._read_value_list(None)
        if not values:
            return False
        condition = self.add_condition(None, "=", values, negated=negated)
        if (as_word := self.peek(0)) is not None and as_word.text == "as":
            self._skip_words(frozenset({"as", "their", "its", "his", "her", "the", "a", "an"}))
        following = self.peek(0)
        if following is not None and following.kind == "name" and self._has_value(following, values[0]):
            self.at += 1
            condition.subject = following
        return True

    def _read_value_list(self, subject: Item | None) -> list[Item]:
        """Values in a row that can stand in one column (``subject`` if given): X, Y or Z."""
        values: list[Item] = []
        while (item := self.peek(0)) is not None and item.kind == "value" and item.matches:
            if subject is not None and not self._has_value(subject, item):
                break
            if values and not _has_shared_column(values[0], item):
                break
            values.append(item)
            self.at += 1
            following = self.peek(1)
            if not self.at_op("or", "and") or following is None or following.kind != "value":
                break
            if not _has_shared_column(item, following):
                break
            self._joined_by_and |= self.at_op("and") and self.item().text != ","
            self.at += 1
        return values

    @staticmethod
    def _has_value(subject: Item, value: Item) -> bool:
        places = {(match.table, match.column) for match in value.matches}
        return any((hit.table.name, hit.column.name) in places for hit in subject.hits if hit.column is not None)

    def _read_date(self) -> bool:
        """In 2025, in March 2025, last month."""
        start = self.at
        self._skip_words(frozenset({"in", "on", "during", "of", "from", "the", "year", "for"}))
        moved = self.at > start
        item = self.peek(0)
        if (
            item is None
            or item.span is None
            or (item.kind == "number" and not moved and not self._alternative)
            or self._is_table_ahead(1)
        ):
            return False
        self.at += 1
        self.add_condition(None, "span", [item])
        return True


def _has_shared_column(one: Item, other: Item) -> bool:
    places = {(match.table, match.column) for match in one.matches}
    return any((match.table, match.column) in places for match in other.matches)
