"""Words: splitting a question into tokens, splitting names into words, and folding inflection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_TOKENS = 80
MAX_NUMBER = 2.0**53 - 1
"""Beyond it a float is not every whole number: another one than was asked for would be compared."""

_TOKEN = re.compile(
    r"""
      (?P<quote>"[^"]{1,200}"|``[^`']{1,200}(?:''|``)|`[^`]{1,200}`|“[^”]{1,200}”|‘[^’]{1,200}’|(?<![\w])'[^']{1,200}'(?!\w))
    | (?P<date>\d{4}-\d{2}-\d{2}(?!\d))
    | (?P<number>[$€£]?-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[kKmM](?!\w))?(?![\w]))
    | (?P<possessive>['’]s\b|(?<=s)['’](?!\w))
    | (?P<word>[^\W_](?:[\w&/\-]|['’](?!s\b)(?=\w)|\.(?=\w))*)
    | (?P<symbol><=|>=|!=|<>|[<>=])
    | (?P<mark>[,;:()%])
    """,
    re.VERBOSE,
)
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
_MODIFIED = re.compile(r"(.+?)( (?:of|in|at|for) .+)")
_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "mice": "mouse",
    "feet": "foot",
    "teeth": "tooth",
    "criteria": "criterion",
    "indices": "index",
    "movies": "movie",
    "series": "series",
    "species": "species",
    "status": "status",
    "lives": "life",
    "wives": "wife",
    "caches": "cache",
    "ids": "id",
}
_PLURALS = {one: many for many, one in _IRREGULAR.items() if one != "status"} | {
    word: word for word in ("staff", "equipment", "information", "data", "furniture", "feedback")
}
_COUNTING = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMERALS = {word: float(number) for number, word in enumerate(_COUNTING)} | {"dozen": 12.0, "hundred": 100.0}
_SUFFIX = {"k": 1e3, "m": 1e6}


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a question; ``kind`` is word, number, quote, date, possessive, symbol or mark."""

    kind: str
    text: str
    lower: str
    root: str
    start: int
    end: int
    number: float | None = None


def tokenize_question(question: str) -> tuple[Token, ...] | None:
    """The tokens of a question; None for one too long, or with too large a number or a sign of no role."""
    tokens: list[Token] = []
    rest = 0
    for match in _TOKEN.finditer(question):
        if question[rest : match.start()].strip(" \t\n\r.?!'’-"):
            return None
        rest = match.end()
        tokens.append(_make_token(match.lastgroup or "word", match.group(), *match.span()))
    if question[rest:].strip(" \t\n\r.?!'’-") or len(tokens) > MAX_TOKENS:
        return None
    if any(abs(token.number or 0.0) > MAX_NUMBER for token in tokens):
        return None
    return tuple(tokens)


def _make_token(kind: str, text: str, start: int, end: int) -> Token:
    if kind == "quote":
        inner = text.strip("\"'`“”‘’").strip()
        return Token(kind, inner, inner.casefold(), inner.casefold(), start, end)
    if kind == "number":
        return Token(kind, text, text, text, start, end, _parse_number(text))
    lower = text.casefold()
    return Token(kind, text, lower, singular_form(lower), start, end, _NUMERALS.get(lower) if kind == "word" else None)


def _parse_number(text: str) -> float:
    digits = text.lstrip("$€£").replace(",", "").casefold()
    factor = _SUFFIX.get(digits[-1], 1.0)
    return float(digits[:-1] if factor != 1 else digits) * factor


@lru_cache(maxsize=8192)
def singular_form(word: str) -> str:
    """The singular of an English noun, or the word itself: customers -> customer, categories -> category."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) <= 3 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes", "uses")) and len(word) > 4:
        return word[:-2] if not word.endswith(("houses", "causes", "clauses")) else word[:-1]
    return word[:-1]


def plural_form(noun: str) -> str:
    """The plural of an English noun or phrase: order item -> order items, date of birth -> dates of birth."""
    if modified := _MODIFIED.match(noun):
        return plural_form(modified[1]) + modified[2]
    head, _, word = noun.rpartition(" ")
    if word in _PLURALS:
        word = _PLURALS[word]
    elif word.endswith("y") and not word.endswith(("ay", "ey", "oy", "uy")):
        word = word[:-1] + "ies"
    elif singular_form(word) == word:
        word += "es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s"
    return f"{head} {word}".strip()


@lru_cache(maxsize=8192)
def word_stem(word: str) -> str:
    """A crude stem that joins a verb's forms: hired, hiring, hires -> hir."""
    root = singular_form(word)
    for suffix in ("ing", "ed"):
        if root.endswith(suffix) and len(root) - len(suffix) >= 3:
            root = root[: -len(suffix)]
            break
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "ls":
        root = root[:-1]
    return root[:-1] if root.endswith("e") and len(root) > 3 else root


@lru_cache(maxsize=8192)
def split_name(name: str) -> tuple[str, ...]:
    """The words of a snake_case or CamelCase name, lower case, in the singular; of signs alone the whole is one."""
    words = _find_words(name) or [name.casefold() or "_"]
    return tuple(expanded for word in words for expanded in _ABBREVIATIONS.get(word, (singular_form(word),)))


def readable_name(name: str) -> str:
    """A schema name as lower-case words, for people to read."""
    return " ".join(_find_words(name)) or name


def _find_words(name: str) -> list[str]:
    """By a letter's case in any alphabet; what has none counts as small."""
    shape = "".join("A" if s.isupper() else "a" if s.isalpha() else "0" if s.isalnum() else "_" for s in name)
    return [name[slice(*match.span())].casefold() for match in _CAMEL.finditer(shape)]


_ABBREVIATIONS = {
    "fname": ("first", "name"),
    "lname": ("last", "name"),
    "firstname": ("first", "name"),
    "lastname": ("last", "name"),
    "num": ("number",),
    "no": ("number",),
    "nbr": ("number",),
    "qty": ("quantity",),
    "amt": ("amount",),
    "avg": ("average",),
    "pct": ("percent",),
}
