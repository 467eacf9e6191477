"""Does a text carry SQL? Its fingerprint is compared with shapes that English does not have.

A payload works because some quoting context makes it change a statement: typed where a number stands, or after the
quote that ends a string. So the text is read once as it stands and once from behind each quote, and signs are added
up. One sign is ``suspicious``; two, or an unmistakable one, are an ``attack``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sql_synthesizer.guard.question import commands, shapes
from sql_synthesizer.guard.question.lexer import QUOTATION, build_fingerprint, replace_apostrophes
from sql_synthesizer.guard.question.verdict import QuestionVerdict

MAX_BREAKS = 24
"""Quotes from behind which a text is read."""
ESSAY = 15
"""Words of plain English from which on a text rather writes about SQL: it is never more than ``suspicious``."""
TALK = 5
"""As many, and a call or a statement is no more than ``suspicious``: people write both where they mean words."""

_OPERATORS = (
    r"(?:[=<>!+\-*/%^|&~#;,:]|/\*|@|\{|(?:or|and|xor|not|is|in|like|rlike|regexp|glob|union|intersect|except|minus"
    r"|having|order\s+by|group\s+by|limit|offset|into|div|mod|between|collate|escape|sounds|similar|ilike"
    r"|isnull|notnull"
    r"|match|overlaps|where|procedure|if|as|for|over|partition|qualify|lock|with|option|from|order"
    r"|group)\b|(?:or|and|like|rlike|regexp|union|in)(?=['\"(@\d!~+-]))"
)
_BREAKS = re.compile(rf"[\s)\]}}.]*(?:$|{_OPERATORS}|[\"'])")
_WORDY = {"probe", "statement"}
_ENDS = frozenset("';\"`)")
_SAID = re.compile(r"(?<=\s)(?:\"[^\"]{1,300}\"|'[^']{1,300}')(?=$|[\s,.;:?!)])")
_PROSE = re.compile(r"\W*[^\W\d]+(?:\s+[^\W\d]+)+")
_WORD_QUOTED = re.compile(r"\s'\w{1,20}'")
_QUOTE = re.compile(r"['\"`]")
_SIGNS = re.compile(
    r"[;=@#<>|^\\~{]|--|/\*|&&|%00|%16|1/0|[\w)]\(|\(\s*select|^\W*(?:and|or|xor|not|like|between|in)\b"
    r"|\b(?:union|select|having|sleep|waitfor|benchmark|infile|outfile|dumpfile|procedure|exec|execute"
    r"|declare|xor|case"
    r"|like|isnull|notnull|partition)\b|rollup|conflict|duplicate|tablesample|_schema|_master|\bsys[\w.]|pg_|sqlite_|\b(?:all|user|dba|cdb)_"
    r"|mysql\.|system\.|[spx]+_\w|current_user"
    r"|[vx]\$|mon\$|rdb\$|\bmsys|session_|role_|innodb_|account_usage|__tables__|pragma_|::"
    r"|^\W*\d+\W{0,2}\s?(?:is|where|asc|desc|limit|for|window|returning|lock|fetch|with|on|div|mod)\b|^\W*\d+\W(?:true|false)"
    r"|\n\s*go\b|^\W+$|^\W*(?:asc|desc|where)\b|union|selselect|oorr|anandd|from\s+dual"
    r"|\d\s*(?:and|or|xor)\b"
    r"|\b(?:order|group)\s+by\W*(?:\d|\w+\W)|\b(?:drop|truncate|alter|create|insert|update|delete|grant"
    r"|revoke|shutdown"
    r"|copy|merge|upsert|refresh|deny|undrop|disable|flashback|export|replace|call|kill|bulk|attach|pragma"
    r"|handler|backup|load|rename|comment|show|explain|vacuum|flush|lock)\s+\w|^shutdown"
    rf"|[\d)]\W{{0,8}}(?:and|or)\b|\b(?:or|and)\s?[\d'(!~+-]|['\"`][\s)\]}}]*(?:$|{_OPERATORS})"
)


def judge_fragment(reading: str) -> QuestionVerdict | None:
    """What the SQL signs of a reading (see ``normal.text_readings``) amount to; None when it has none."""
    if not _SIGNS.search(reading) and not commands.BARE.match(reading):
        return None
    signs: dict[str, int] = {}
    whole = build_fingerprint(replace_apostrophes(reading))
    for reason, weight in _find_signs(reading, whole):
        signs[reason] = max(signs.get(reason, 0), weight)
        if weight == 2:
            break
    if not signs:
        return None
    words = whole.count("e")
    certain = sum(signs.values()) >= 2 and words < (TALK if signs.keys() <= _WORDY else ESSAY)
    certain = certain and not _is_only_quoted(reading)
    reason = max(signs, key=lambda name: signs[name])
    return QuestionVerdict("fragment", "sql_injection", "attack" if certain else "suspicious", reason)


def _is_only_quoted(reading: str) -> bool:
    """Whether a text without what stands in its quotation marks is prose without a sign."""
    bare = _SAID.sub(" ", reading)
    return bare != reading and _PROSE.match(bare) is not None and judge_fragment(bare) is None


def _find_signs(reading: str, whole: str) -> Iterator[tuple[str, int]]:
    for shape in shapes.TEXTUAL:
        if shape.pattern.search(reading):
            yield shape.reason, shape.weight
    unquoted = QUOTATION.sub(_blank_quotation, reading)
    if match := commands.STATEMENT.search(unquoted):
        yield "statement", 2 if unquoted[: match.start()].rstrip()[-1:] in _ENDS else 1
    if commands.BARE.match(reading):
        yield "statement", 1
    if ";" in reading and commands.STACKED.search(unquoted):
        yield "stacked", 2
    yield from _match_shapes(shapes.ANYWHERE, whole)
    yield from _match_shapes(shapes.WHOLE, whole)
    plain = replace_apostrophes(reading)
    for start in _find_quote_ends(reading):
        breaks = _BREAKS.match(reading, start)
        if breaks or plain[start - 1] == reading[start - 1]:
            tail = build_fingerprint(reading, start)
            yield from _match_shapes(shapes.ANYWHERE, tail)
            if breaks:
                yield from _match_shapes(shapes.TAIL, tail)
                if commands.STACKED_TAIL.match(reading, start):
                    yield "stacked", 2


def _blank_quotation(quotation: re.Match[str]) -> str:
    """Quotation marks without what they quote, unless that is the whole text."""
    text = quotation[0]
    return text if text == quotation.string else f"{text[0]}{' ' * (len(text) - 2)}{text[-1]}"


def _match_shapes(table: tuple[shapes.Shape, ...], kinds: str) -> Iterator[tuple[str, int]]:
    for shape in table:
        if shape.pattern.search(kinds):
            yield shape.reason, shape.weight


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
