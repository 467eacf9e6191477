"""Does a text carry SQL? Its fingerprint is compared with shapes that English does not have.

A payload works because some quoting context makes it change a statement: typed where a number stands, or after the
quote that ends a string. So the text is read once as it stands and once from behind each quote, and signs are added
up. One sign is ``suspicious``; two, or an unmistakable one, are an ``attack``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sql_synthesizer.guard.question import commands, shapes
from sql_synthesizer.guard.question.lexer import QUOTATION, build_fingerprint, replace_apostrophes
from sql_synthesizer.guard.question.shapes import Place, Shape
from sql_synthesizer.guard.question.verdict import QuestionVerdict

MAX_BREAKS = 24
"""Quotes from behind which a text is read."""
ESSAY = 15
"""Words of plain English from which on a text rather writes about SQL: it is never more than ``suspicious``."""
TALK = 5
"""As many, and a call or a statement is no more than ``suspicious``: people write both where they mean words."""

# how SQL goes on behind a string
_OPERATORS = (
    r"(?:[=<>!+\-*/%^|&~#;,:]|/\*|@|\{|(?:or|and|xor|not|is|in|like|rlike|regexp|glob|union|intersect|except|minus"
    r"|having|order|group|limit|offset|into|div|mod|between|collate|escape|sounds|similar|ilike|isnull|notnull|match"
    r"|overlaps|where|procedure|if|as|for|over|partition|qualify|lock|with|option|from)\b"
    r"|(?:or|and|like|rlike|regexp|union|in)(?=['\"(@\d!~+-]))"
)
_BREAKS = re.compile(rf"[\s)\]}}.]*(?:$|{_OPERATORS}|[\"'])")
_WORDY = {"probe", "statement"}
_ENDS = frozenset("';\"`)")
_JOINED = ("statement", "alone")
# words in quotation marks inside prose
_SAID = re.compile(r"(?<=\s)(?:\"[^\"]{1,300}\"|'[^']{1,300}')(?=$|[\s,.;:?!)])")
_PROSE = re.compile(r"\W*[^\W\d]+(?:\s+[^\W\d]+)+")
_WORD_QUOTED = re.compile(r"\s'\w{1,20}'")
_QUOTE = re.compile(r"['\"`]")
# what every text has that any shape finds, so that most questions are looked at no further
_SIGNS = re.compile(
    rf"""
    [;=@\#<>|^\\~{{] | -- | /\* | && | %00 | 1/0 | :: | ^\W+$ | [\w)]\( | union | \b(?:s[elc]{{0,4}})?select
    # a clause in front, or behind a quote
    | ^\W*(?:and|or|xor|not|like|between|in|asc|desc|where)\b | ['"`][\s)\]}}]*(?:$|{_OPERATORS})
    # words of SQL alone, and names of catalogues and of a server's functions
    | \b(?:having|sleep|waitfor|benchmark|infile|outfile|dumpfile|procedure|exec|execute|declare|xor|case|like|isnull
    |notnull|partition)\b | rollup | conflict | duplicate | tablesample | _schema | _master | \bm?sys[\w.] | [vx]\$
    | \b(?:pg|all|user|dba|cdb|sqlite|session|innodb|pragma)_ | mysql\. | system\. | [spx]+_\w | current_user
    # a number and a clause, a literal and an operator
    | ^\W*\d+\W{{0,2}}\s?(?:is|where|asc|desc|limit|for|window|returning|lock|fetch|with|on|div|mod)\b
    | [\d)]\W{{0,8}}(?:and|or|xor)\b | \b(?:or|and)\s?[\d'(!~+-]
    # a verb or a clause, and its object
    | \b(?:order|group)\s+by\W*(?:\d|\w+\W) | ^shutdown
    | \b(?:drop|truncate|alter|create|insert|update|delete|grant|revoke|shutdown|copy|merge|upsert|refresh|deny|undrop
    |replace|call|kill|attach|pragma|handler|load|rename|comment|show|explain|vacuum|flush|lock|restore)\s+\w
    """,
    re.VERBOSE,
)


class FragmentJudge:
    """Compares readings of a text with tables of shapes."""

    def __init__(self, tables: Mapping[Place, tuple[Shape, ...]]) -> None:
        self._rows = {
            place: [(shape.reason, shape.weight, re.compile(shape.pattern)) for shape in shapes]
            for place, shapes in tables.items()
            if place not in _JOINED
        }
        self._statement = _join_patterns(r"\b", tables["statement"])
        self._alone = _join_patterns(r"\W*?", tables["alone"])

    def judge(self, reading: str) -> QuestionVerdict | None:
        """What the SQL signs of a reading (see ``normal.text_readings``) amount to; None when it has none."""
        alone = self._alone.match(reading.rstrip("; \n")) is not None
        if not alone and not _SIGNS.search(reading):
            return None
        signs: dict[str, int] = {}
        whole = build_fingerprint(replace_apostrophes(reading))
        for reason, weight in self._find_signs(reading, whole, alone):
            signs[reason] = max(signs.get(reason, 0), weight)
            if weight == 2:
                break
        if not signs:
            return None
        words = whole.count("e")
        certain = sum(signs.values()) >= 2 and words < (TALK if signs.keys() <= _WORDY else ESSAY)
        certain = certain and not self._is_only_quoted(reading)
        reason = max(signs, key=lambda name: signs[name])
        return QuestionVerdict("fragment", "sql_injection", "attack" if certain else "suspicious", reason)

    def _is_only_quoted(self, reading: str) -> bool:
        """Whether a text without what stands in its quotation marks is prose without a sign."""
        bare = _SAID.sub(" ", reading)
        return bare != reading and _PROSE.match(bare) is not None and self.judge(bare) is None

    def _find_signs(self, reading: str, whole: str, alone: bool) -> Iterator[tuple[str, int]]:
        yield from self._search("text", reading)
        unquoted = QUOTATION.sub(_blank_quotation, reading)
        if match := self._statement.search(unquoted):
            yield "statement", 2 if unquoted[: match.start()].rstrip()[-1:] in _ENDS else 1
        if alone:
            yield "statement", 1
        if ";" in reading:
            yield from self._search("stacked", unquoted)
        yield from self._search("anywhere", whole)
        yield from self._search("typed", whole)
        plain = replace_apostrophes(reading)
        for start in _find_quote_ends(reading):
            breaks = _BREAKS.match(reading, start)
            if breaks or plain[start - 1] == reading[start - 1]:
                tail = build_fingerprint(reading, start)
                yield from self._search("anywhere", tail)
                if breaks:
                    yield from self._search("quoted", tail)
                    yield from self._search("behind", reading[start:])

    def _search(self, place: Place, text: str) -> Iterator[tuple[str, int]]:
        for reason, weight, pattern in self._rows[place]:
            if pattern.search(text):
                yield reason, weight


def _join_patterns(before: str, shapes: tuple[Shape, ...]) -> re.Pattern[str]:
    """A table of one reason as one pattern, which is faster than one a row; of no rows it finds nothing."""
    return re.compile(f"{before}(?:{'|'.join(shape.pattern for shape in shapes) or '(?!)'})")


def _blank_quotation(quotation: re.Match[str]) -> str:
    """Quotation marks without what they quote, unless that is the whole text."""
    text = quotation[0]
    return text if text == quotation.string else f"{text[0]}{' ' * (len(text) - 2)}{text[-1]}"


def _find_quote_ends(text: str) -> Iterator[int]:
    """Where a text goes on behind a quote that is not one of a pair of quotation marks."""
    edges: set[int] = set()
    for match in QUOTATION.finditer(text):
        edges |= {match.start(), match.end() - 1}
        for inner in _WORD_QUOTED.finditer(text, match.start() + 1, match.end() - 1):
            edges |= {inner.start() + 1, inner.end() - 1}
    found = 0
    for match in _QUOTE.finditer(text):
        if match.start() not in edges:
            yield match.end()
            found += 1
            if found >= MAX_BREAKS:
                return


TABLES = {**shapes.TABLES, **commands.TABLES}
"""Every shape, by where it is searched."""
judge_fragment = FragmentJudge(TABLES).judge
"""The judgement by every shape."""
