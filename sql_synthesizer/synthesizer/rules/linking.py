"""From tokens to items: which stretches of a question are operations, schema names, values, numbers or dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sql_synthesizer.model import ValueMatch
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.rules.dates import Span, is_year, read_date, year_span
from sql_synthesizer.synthesizer.rules.names import LINKING, LONGEST_NAME, SHORTENED, Hit, Names
from sql_synthesizer.synthesizer.rules.text import Token
from sql_synthesizer.synthesizer.rules.vocabulary import (
    FILLERS,
    IMPERATIVES,
    LOCATIVES,
    LONGEST_PHRASE,
    PHRASES,
    RELATIONS,
    SOFT_FILLERS,
    Op,
)

LONGEST_VALUE = 6
_CLAUSE = frozenset({"and", "then", "please", ",", "you", "to", "also", "just", "me"})
_UNSEARCHED = frozenset({"possessive", "symbol", "mark", "quote"})


@dataclass(frozen=True, slots=True)
class Item:
    """A stretch of the question; ``kind`` is op, name, value, number, date, filler or word (not understood)."""

    kind: str
    text: str
    op: Op | None = None
    hits: tuple[Hit, ...] = ()
    matches: tuple[ValueMatch, ...] = ()
    number: float | None = None
    span: Span | None = None
    quoted: bool = False
    plural: bool = False

    def is_op(self, *kinds: str) -> bool:
        """Whether this is an operation of one of these kinds."""
        return self.op is not None and self.op.kind in kinds

    @property
    def is_table(self) -> bool:
        """Whether this is a name that means a table at least as surely as a column."""
        columns = [hit.quality for hit in self.hits if hit.column is not None]
        return max((hit.quality for hit in self.hits if hit.column is None), default=0.0) >= max(columns, default=0.01)


class Linker:
    """Links one question; each stretch is taken as the longest thing it can be."""

    def __init__(self, context: Context, names: Names, tokens: Sequence[Token]) -> None:
        self._context = context
        self._names = names
        self._tokens = tokens
        self._found: dict[str, tuple[ValueMatch, ...]] = {}

    def items(self) -> list[Item]:
        """The items of the question, left to right."""
        items: list[Item] = []
        at = 0
        while at < len(self._tokens):
            at, item = self._read_item(at)
            items.append(item)
        return items

    def _read_item(self, at: int) -> tuple[int, Item]:
        token = self._tokens[at]
        if at == 0 and token.lower == "name":
            return 1, Item("filler", token.lower)
        if token.lower in IMPERATIVES and (at == 0 or self._tokens[at - 1].lower in _CLAUSE):
            return at + 1, Item("filler", token.lower)
        dated = read_date(self._tokens, at, self._context.today)
        if token.kind == "quote":
            return at + 1, self._quoted_item(token, dated)
        if dated and (token.lower not in FILLERS or dated[0] > at + 1):
            return dated[0], Item("date", self._text_between(at, dated[0]), span=dated[1])
        candidates = [c for c in (self._find_phrase(at), self._find_name(at), self._find_value(at)) if c is not None]
        if candidates:
            _, _, end, item = max(candidates, key=lambda c: (c[0], c[1]))
            return end, item
        if token.number is not None:
            span = year_span(int(token.text)) if is_year(token) else None
            return at + 1, Item("number", token.text, number=token.number, span=span)
        known = token.lower in FILLERS | SOFT_FILLERS | LOCATIVES | RELATIONS
        kind = "filler" if known or (token.kind in {"possessive", "mark"} and token.text != "%") else "word"
        return at + 1, Item(kind, token.lower)

    def _quoted_item(self, token: Token, dated: tuple[int, Span] | None) -> Item:
        span = dated[1] if dated else None
        return Item("value", token.text, matches=self._find_matches(token.text), span=span, quoted=True)

    def _find_phrase(self, at: int) -> tuple[int, int, int, Item] | None:
        for size in range(min(LONGEST_PHRASE, len(self._tokens) - at), 0, -1):
            op = PHRASES.get(tuple(t.lower for t in self._tokens[at : at + size]))
            if op is not None:
                return size, 3, at + size, Item("op", self._text_between(at, at + size), op=op)
        return None

    def _find_name(self, at: int) -> tuple[int, int, int, Item] | None:
        for size in range(min(LONGEST_NAME, len(self._tokens) - at), 0, -1):
            tokens = self._tokens[at : at + size]
            ends = {tokens[0].lower, tokens[-1].lower}
            if any(t.kind != "word" for t in tokens) or ends & LINKING or (size == 1 and ends & FILLERS):
                continue
            hits = self._names.lookup(
                tuple(part for t in tokens for part in t.root.replace("-", " ").split() if part not in LINKING)
            )
            if hits:
                item = Item(
                    "name", self._text_between(at, at + size), hits=hits, plural=tokens[-1].root != tokens[-1].lower
                )
                return size, 2 if hits[0].quality >= SHORTENED else 0, at + size, item
        return None

    def _find_value(self, at: int) -> tuple[int, int, int, Item] | None:
        for size in range(min(LONGEST_VALUE, len(self._tokens) - at), 0, -1):
            tokens = self._tokens[at : at + size]
            if any(t.kind in _UNSEARCHED for t in tokens) or not self._can_be_value(tokens):
                continue
            text = self._text_between(at, at + size)
            if matches := self._find_matches(text):
                return size, 1, at + size, Item("value", text, matches=matches)
        return None

    @staticmethod
    def _can_be_value(tokens: Sequence[Token]) -> bool:
        if len(tokens) == 1:
            return tokens[0].kind == "word" and tokens[0].lower not in FILLERS and len(tokens[0].text) > 1
        return any(t.kind == "word" and t.lower not in FILLERS for t in tokens) and tokens[-1].lower not in {
            "and",
            "or",
        }

    def _find_matches(self, text: str) -> tuple[ValueMatch, ...]:
        key = text.casefold()
        if key not in self._found:
            self._found[key] = tuple(self._context.values.find(text))
        return self._found[key]

    def _text_between(self, start: int, end: int) -> str:
        return self._context.question[self._tokens[start].start : self._tokens[end - 1].end]
