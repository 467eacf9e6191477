"""Words: a question as tokens that keep their place, and the forms under which words are compared."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from sql_synthesizer.synthesizer.rules.text import MAX_NUMBER, singular_form

MAX_TOKENS = 90

_TOKEN = re.compile(
    r"""
      (?P<quote>"[^"]{1,200}"|``[^`']{1,200}(?:''|``)|`[^`']{1,200}[`']|“[^”]{1,200}”|‘[^’]{1,200}’|(?<![\w])'[^']{1,200}'(?!\w))
    | (?P<date>\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2})?)?(?!\d))
    | (?P<number>[$€£]?-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[kKmM](?!\w))?%?(?![\w]))
    | (?P<word>[^\W_](?:[\w&/\-]|['’](?!s\b)(?=\w)|\.(?=\w))*)
    | (?P<possessive>['’]s\b|(?<=s)['’](?!\w))
    | (?P<symbol><=|>=|!=|<>|[<>=])
    | (?P<mark>[,;:()?.!])
    """,
    re.VERBOSE,
)
_UNITS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMERALS = {word: float(number) for number, word in enumerate(_UNITS)} | {"dozen": 12.0, "twenty": 20.0}
_SUFFIX = {"k": 1e3, "m": 1e6}
_ENDINGS = (
    ("ization", "ize"),
    ("isation", "ise"),
    ("iness", "y"),
    ("ments", ""),
    ("ment", ""),
    ("ness", ""),
    ("ings", ""),
    ("ing", ""),
    ("ied", "y"),
    ("ed", ""),
    ("ers", "er"),
    ("ly", ""),
)


_PHONES = frozenset({"phone", "telephone", "fax", "cell", "mobile"})
"""Words after which number says nothing more."""


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a question; ``kind`` is word, number, quote, date, possessive, symbol or mark."""

    kind: str
    text: str
    lower: str
    stem: str
    start: int
    end: int
    number: float | None = None

    @property
    def capital(self) -> bool:
        """Whether it is written with a capital letter."""
        return self.text[:1].isupper()


def split_question(question: str) -> tuple[Token, ...]:
    """The tokens of a question, at most 90 of them; signs of no role are left out."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(question[:2000]):
        token = _make_token(match.lastgroup or "word", match.group(), *match.span())
        if token.lower in {"number", "numbers"} and tokens and tokens[-1].lower in _PHONES:
            continue
        tokens.append(token)
        if len(tokens) == MAX_TOKENS:
            break
    return tuple(tokens)


def _make_token(kind: str, text: str, start: int, end: int) -> Token:
    if kind == "quote":
        inner = text.strip("\"'`“”‘’").strip()
        return Token(kind, inner, fold_text(inner), fold_text(inner), start, end, _read_number(inner))
    if kind == "number":
        return Token(kind, text, text, text, start, end, _read_number(text))
    lower = fold_text(text)
    return Token(kind, text, lower, stem_word(lower), start, end, _NUMERALS.get(lower) if kind == "word" else None)


def _read_number(text: str) -> float | None:
    digits = text.lstrip("$€£").rstrip("%").replace(",", "").casefold()
    factor = _SUFFIX.get(digits[-1:], 1.0)
    try:
        number = float(digits[:-1] if factor != 1 else digits) * factor
    except ValueError:
        return None
    return number if abs(number) <= MAX_NUMBER else None


@lru_cache(maxsize=8192)
def fold_text(text: str) -> str:
    """Without case and accents."""
    if text.isascii():
        return text.casefold()
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in plain if not unicodedata.combining(sign))


@lru_cache(maxsize=16384)
def stem_word(word: str) -> str:
    """A crude stem that joins the forms of a word: customers, customer; hired, hiring, hires."""
    root = singular_form(word)
    for ending, other in _ENDINGS:
        if root.endswith(ending) and len(root) - len(ending) >= 3:
            root = root[: -len(ending)] + other
            break
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lse":
        root = root[:-1]
    return root[:-1] if root.endswith("e") and len(root) > 3 else root
