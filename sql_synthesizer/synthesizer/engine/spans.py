"""A question as a row of items: operations, links, numbers, and words that mean nothing, at the least cost in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sql_synthesizer.model import ColumnKind, ValueMatch
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.engine.lexicon import FILLERS, LONGEST_PHRASE, PHRASES, STOPS, VERBS, Key
from sql_synthesizer.synthesizer.engine.linking import Hit, Names, stems_of
from sql_synthesizer.synthesizer.engine.naming import is_flag
from sql_synthesizer.synthesizer.engine.places import CODES, DEMONYMS
from sql_synthesizer.synthesizer.engine.words import Token, fold_text

LONGEST_NAME = 6
LONGEST_VALUE = 7
STEP, KEYWORD, FILLER, UNKNOWN = 0.05, 0.1, 0.25, 1.0
HITS = 10
LOOSEST = 0.8
YES = ("1", "y", "yes", "t", "true")
FIRM = frozenset({"unsupported", "agg", "super", "count", "and", "or", "not", "each"})
"""Operations that a single word stands for even where a name is spelled so."""


@dataclass(frozen=True, slots=True)
class Item:
    """One stretch of a question; ``kind`` is key, link, number, text, mark, stop, verb or word."""

    kind: str
    tokens: tuple[Token, ...]
    start: int
    keys: tuple[Key, ...] = ()
    hits: tuple[Hit, ...] = ()
    values: tuple[tuple[ValueMatch, float], ...] = ()
    number: float | None = None
    cost: float = 0.0

    @property
    def text(self) -> str:
        """The words as they stand in the question."""
        return " ".join(token.text for token in self.tokens)

    @property
    def lower(self) -> str:
        """The words without case."""
        return " ".join(token.lower for token in self.tokens)

    def key(self, *kinds: str) -> Key | None:
        """The first operation of one of these kinds that it can stand for."""
        return next((key for key in self.keys if key.kind in kinds), None)

    @property
    def tables(self) -> list[Hit]:
        """The tables that it can mean."""
        return [hit for hit in self.hits if hit.column is None]

    @property
    def columns(self) -> list[Hit]:
        """The columns that it can mean."""
        return [hit for hit in self.hits if hit.column is not None]


@dataclass
class Spans:
    """Finds the cheapest row of items for the tokens of a question."""

    context: Context
    names: Names
    tokens: Sequence[Token]

    def items(self) -> list[Item]:
        """The items that cover the whole question."""
        self.tokens = [part for token in self.tokens for part in self._parts(token)]
        count = len(self.tokens)
        best: list[tuple[float, Item | None, int]] = [(0.0, None, -1), *[(1e9, None, -1) for _ in range(count)]]
        for start in range(count):
            base = best[start][0]
            for item in self._options(start):
                end = start + len(item.tokens)
                if base + item.cost < best[end][0] - 1e-9:
                    best[end] = (base + item.cost, item, start)
        found: list[Item] = []
        place = count
        while place > 0:
            _, chosen, place = best[place]
            if chosen is not None:
                found.append(chosen)
        return found[::-1]

    def _parts(self, token: Token) -> list[Token]:
        """A first and a last name that are quoted as one are two values."""
        words = token.text.split()
        if token.kind != "quote" or len(words) != 2 or self.context.values.find(token.text):
            return [token]
        first, last = ({(m.table, m.column) for m in self.context.values.find(word)} for word in words)
        if not any(a[0] == b[0] and a != b for a in first for b in last):
            return [token]
        return [Token("quote", word, fold_text(word), fold_text(word), token.start, token.end) for word in words]

    def _options(self, start: int) -> list[Item]:
        token = self.tokens[start]
        one = (token,)
        if token.kind == "mark":
            return [Item("mark", one, start)]
        if token.kind == "possessive":
            return [Item("stop", one, start)]
        if token.kind == "quote":
            return [Item("text", one, start, values=self._values(start, 1), number=token.number, cost=0.02)]
        options = [self._plain(start)]
        firm = False
        for length in range(1, LONGEST_PHRASE + 1):
            words = self.tokens[start : start + length]
            if len(words) == length and (keys := PHRASES.get(tuple(t.lower for t in words))):
                name = self._link(start, 1) if length == 1 else None
                hits = name.hits if name is not None else ()
                firm = firm or (length == 1 and keys[0].kind in FIRM)
                options.append(
                    Item(
                        "key", tuple(words), start, tuple(keys), hits, number=token.number, cost=KEYWORD - 0.01 * length
                    )
                )
        for length in range(2 if firm else 1, LONGEST_VALUE + 1):
            item = self._link(start, length)
            if item:
                options.append(item)
        return options

    def _plain(self, start: int) -> Item:
        token = self.tokens[start]
        one = (token,)
        if token.number is not None and token.kind in {"number", "date", "word"}:
            return Item("number", one, start, values=self._values(start, 1), number=token.number, cost=0.02)
        if token.kind in {"number", "date"}:
            return Item("number", one, start, values=self._values(start, 1), cost=0.02)
        if token.lower in STOPS or token.kind == "symbol":
            return Item("stop", one, start)
        if token.lower in VERBS:
            return Item("verb", one, start, cost=0.0 if self._opens(start) else 0.35)
        cost = FILLER if token.lower in FILLERS or token.stem in FILLERS else UNKNOWN
        if token.capital and start > 0:
            cost += 0.2
        return Item("word", one, start, cost=cost)

    def _opens(self, start: int) -> bool:
        """Whether a verb here would begin a command."""
        if (
            start == 0
            or self.tokens[start - 1].text in {".", "?", "!", ";"}
            or self.tokens[start - 1].lower in {"please", "then"}
        ):
            return True
        plain = self.tokens[start].lower not in {"name", "count", "state", "rank", "order", "sort", "report"}
        return plain and self.tokens[start - 1].lower in {",", "and"}

    def _link(self, start: int, length: int) -> Item | None:
        words = tuple(self.tokens[start : start + length])
        if len(words) < length or any(t.kind in {"mark", "quote", "date", "symbol"} for t in words):
            return None
        edge = words[0].lower in STOPS or words[-1].lower in STOPS
        values = self._values(start, length)
        hits: list[Hit] = []
        stems = stems_of(words)
        participle = length > 1 and words[-1].lower.endswith(("ed", "ing"))
        if length <= LONGEST_NAME and stems and not edge and not all(t.kind == "number" for t in words):
            raw = "".join(t.lower for t in words if t.kind != "possessive")
            joint = next((i for i, t in enumerate(words) if t.lower in {"of", "in", "for"}), 0)
            initials = "".join(t.lower[0] for t in words) if length > 2 else ""
            found = self.names.lookup(stems, raw, joint, initials)
            hits = [hit for hit in found if hit.cost <= LOOSEST and not (participle and 0 < hit.cost < 0.1)][:HITS]
            if joint and any(t.lower in {"in", "for"} for t in words):
                hits = [Hit(hit.table, hit.column, hit.cost + 0.2) for hit in hits]
        values = values or self._flagged(hits)
        if not hits and not values:
            return None
        if length == 1 and words[0].kind == "number":
            return None
        verb = length == 1 and words[0].lower in VERBS and self._opens(start)
        cost = min([hit.cost for hit in hits] + [cost for _, cost in values]) + STEP + (0.5 if verb else 0.0)
        return Item("link", words, start, hits=tuple(hits), values=values, cost=cost)

    def _flagged(self, hits: list[Hit]) -> tuple[tuple[ValueMatch, float], ...]:
        """What says yes in a column of yes and no that is named: abandoned dogs."""
        best = hits[0] if hits else None
        if best is None or best.column is None or best.cost > 0.1 or not is_flag(best.column):
            return ()
        place = (best.table.name, best.column.name)
        if best.column.kind is ColumnKind.TEXT:
            stored = [m for word in YES for m in self.context.values.find(word) if (m.table, m.column) == place]
            return tuple((match, best.cost) for match in stored[:1])
        return ((ValueMatch(*place, "1"), best.cost),)

    def _values(self, start: int, length: int) -> tuple[tuple[ValueMatch, float], ...]:
        words = self.tokens[start : start + length]
        lowers = [t.lower for t in words]
        if all(word in STOPS for word in lowers) or any(t.kind == "mark" for t in words):
            return ()
        text = words[0].text if words[0].kind == "quote" else self.context.question[words[0].start : words[-1].end]
        if words[0].kind == "quote":
            cost = 0.0
        else:
            capitals = sum(t.capital or t.kind == "number" for t in words) / length
            cost = (0.1 if length > 1 else 0.2) + 0.25 * (1 - capitals)
            if lowers[0] in STOPS and not words[0].capital:
                cost += 0.3
            if length == 1 and (lowers[0] in FILLERS or lowers[0] in VERBS or (lowers[0],) in PHRASES):
                cost += 0.5
        for variant, extra in _variants(text):
            found = self.context.values.find(variant)
            if variant.casefold() in {"m", "f"} and text.casefold() != variant.casefold():
                found = [m for m in found if any(word in m.column.casefold() for word in ("sex", "gender"))]
            if found:
                return tuple((match, cost + extra) for match in found)
        return ()


def _variants(text: str) -> list[tuple[str, float]]:
    found = [(text, 0.0)]
    found += [(code, 0.1) for code in CODES.get(text.casefold(), ())]
    found += [(place, 0.15) for place in DEMONYMS.get(text.casefold(), ())]
    if len(text) > 3:
        found.append((text[:-1], 0.1) if text.endswith("s") else (text + "s", 0.1))
        if text.endswith("ies"):
            found.append((text[:-3] + "y", 0.1))
        if text.endswith("es"):
            found.append((text[:-2], 0.1))
    return found
