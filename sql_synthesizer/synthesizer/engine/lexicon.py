"""General English: phrases that stand for an operation, adjectives that grade a dimension, words without meaning."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Key:
    """An operation that a phrase stands for; ``dims`` are words of the columns that an adjective grades."""

    kind: str
    argument: str = ""
    dims: str = ""


STOPS = frozenset(
    """a an the of for any our your this these those is are was were be been being am do does did doing we i you us me
    my please can could will would shall should may might must want know to from in on at as it into within among
    there here out up ever also just then so too very only some such has have had having get gets got their his her
    its they them he she him who whom that what which whose when where with by both either and or s whether how
    exist exists existing along respectively respective corresponding correspond associated current currently
    all if than else about would given each one ones""".split()
)
"""Words that a reading may pass over at no cost."""

FILLERS = frozenset(
    """result results information info detail details data value values record records entry entries database table
    list lists different various possible overall whole related certain particular specific someone something kind
    sort make made use used using come came belong belongs take takes taken hold held live lives living locate
    located happen happened occur occurred named called name full total number present shown wants listed tell
    wish like distinct total amount time times year years old day days people person thing things""".split()
)
"""Words that a reading may pass over cheaply."""

VERBS = frozenset(
    """show list find return display answer retrieve select fetch provide report compute calculate give tell get
    name what how identify state determine output describe see""".split()
)

_LINE = re.compile(r"(?P<kind>\w+)(?: (?P<argument>[^\[\]:]+?))?(?: \[(?P<dims>[^\]]*)\])?: (?P<phrases>.*)")


def _read_phrases() -> dict[tuple[str, ...], list[Key]]:
    found: dict[tuple[str, ...], list[Key]] = {}
    text = files(__package__).joinpath("phrases.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if match := None if line.startswith("#") else _LINE.fullmatch(line):
            key = Key(match["kind"], match["argument"] or "", match["dims"] or "")
            for phrase in match["phrases"].split(" | "):
                found.setdefault(tuple(phrase.split()), []).append(key)
    return found


PHRASES = _read_phrases()
"""The words of a phrase -> what it can stand for."""
ROLES: tuple[tuple[frozenset[str], frozenset[str]], ...] = (
    (
        frozenset("from depart departs departing departed departure leave leaves leaving left source origin".split()),
        frozenset("source src from origin depart departure start dep".split()),
    ),
    (
        frozenset(
            "to arrive arrives arriving arrived arrival land lands landing destination into toward reach".split()
        ),
        frozenset("destination dest dst to arrive arrival end arr target".split()),
    ),
)
"""Words of a question that tell which of two ends is meant, and words of the columns that hold it."""
UNITS = {
    "millisecond": 0.001, "second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0,
    "milliseconds": 0.001, "seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0, "min": 60.0, "mins": 60.0,
}  # fmt: skip
"""Units of time, in seconds."""
LONGEST_PHRASE = max(map(len, PHRASES))
STOPS = STOPS - {phrase[0] for phrase in PHRASES if len(phrase) == 1}
