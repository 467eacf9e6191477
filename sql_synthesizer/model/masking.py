"""Secrets that people type: masked before a text leaves the service, and before it is kept or logged."""

from __future__ import annotations

import re
from functools import lru_cache

from sql_synthesizer.model import MASK

SHORT = 64
"""Characters of a text that is likely to come again, such as a label."""

_NAMES = r"(?:passw(?:or)?d|pwd|passphrase|passcode|secret|token|api[ _-]?key|authorization|credential)"
_QUOTED = r"\"[^\"]{1,512}\"?|'[^']{1,512}'?"
_NAME_ANCHORS = ("passw", "pwd", "passphrase", "passcode", "secret", "token", "key", "authorization", "credential")

_Kinds = tuple[tuple[tuple[str, ...], re.Pattern[str]], ...]


def _compile_kinds(*kinds: tuple[tuple[str, ...], str]) -> _Kinds:
    return tuple((anchors, re.compile(pattern, re.IGNORECASE)) for anchors, pattern in kinds)


_SHAPED = _compile_kinds(
    # Up to the last @, as a password may contain one; the user's name may be empty.
    (("://",), r"(://[^\s:/@\"']{0,64}:)\S{1,256}(?=@)"),
    (("bearer", "basic"), r"(\b(?:bearer|basic)\s{1,3})[A-Za-z0-9._~+/=-]{8,}"),  # the characters of RFC 6750
    (("sk-", "sk_", "pk-", "pk_", "rk-", "rk_"), r"()\b[spr]k[-_](?=[A-Za-z_-]{0,64}\d)[A-Za-z0-9_-]{12,}"),
    (("sqs_",), r"()\bsqs_[A-Za-z0-9]{1,64}_[A-Za-z0-9_-]{4,}"),
    (
        ("gh", "github_pat_", "glpat-", "xox", "hf_"),
        r"()\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|hf_)[A-Za-z0-9_-]{10,}",
    ),
    (("akia", "asia", "aiza"), r"()\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35})"),
    (("eyj",), r"()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}"),
    (
        ("-----begin",),
        r"()-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[\s\S]{0,8000}?(?:-----END [A-Z ]{0,32}KEY-----|\Z)",
    ),
    # Social security numbers: no area 000, 666 or 9xx, no group 00, no serial 0000.
    (("-",), r"()(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])"),
    (("ssn", "social security"), r"(\b(?:ssn|social security(?: number)?)\s{0,3}(?:is|=|:)?\s{0,3})\d{9}\b"),
)
"""Secrets that are known by what they look like: lower-case texts, one of which every secret of a kind contains, and
the kind; group 1 is what stays."""

_NAMED = rf"\b[\w-]{{0,64}}?{_NAMES}[\w-]{{0,32}}"
_NO_WORD = r"(?=\S{0,64}(?:\d|[!@#$%^*+~]\w))(?=\S{0,64}[A-Za-z])"
"""What no word looks like: it holds a letter, and a digit or a sign before a letter."""

_IN_SQL = _compile_kinds((_NAME_ANCHORS, rf"({_NAMED}[\"`\]]?\s{{0,3}}=\s{{0,3}})'[^']{{1,512}}'"))
"""Secrets in a statement that are known by the column: only what is a text, as ``token_count = 5`` is none."""

_ASSIGNED = rf"(?:{_QUOTED}|(?:(?:bearer|basic)\s{{1,3}})?[^\s\"',;&]{{1,512}})"
_SPOKEN = rf"(?:{_QUOTED}|{_NO_WORD}[^\s\"',;&?]{{5,512}})"
_IS = r"\s{1,3}(?:(?:is|was)\s{1,3})?"
_IN_TEXT = _compile_kinds(
    (_NAME_ANCHORS, rf"({_NAMED}[\"']?\s{{0,3}}[=:]\s{{0,3}}){_ASSIGNED}"),
    (_NAME_ANCHORS, rf"(\b{_NAMES}\b{_IS}){_SPOKEN}"),
    (("passw", "pwd", "passcode"), rf"(\b(?:password|pwd|passcode){_IS})\d{{4,64}}\b"),
)
"""Secrets in other texts that are known by the name before them; the name alone is harmless."""

_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|api_?key|authorization|cookie|credential|(?:^|_)token$", re.IGNORECASE
)


def mask_secrets(text: str) -> str:
    """``text`` with known kinds of secrets replaced by ``***``.

    These are API keys, tokens, passwords, private keys, card numbers and social security numbers.
    """
    return _mask_short(text) if len(text) <= SHORT else _mask_text(text)


def mask_statement(sql: str) -> str:
    """As ``mask_secrets``, for SQL: a value is known by the name before it only where it is a text."""
    return _replace_secrets(sql, _SHAPED + _IN_SQL)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a value stored under this name is a secret whatever it looks like."""
    return _SECRET_NAME.search(name) is not None


def _mask_text(text: str) -> str:
    return _replace_secrets(text, _IN_TEXT + _SHAPED)


_mask_short = lru_cache(maxsize=2048)(_mask_text)


def _replace_secrets(text: str, kinds: _Kinds) -> str:
    folded = text.lower()
    for anchors, kind in kinds:
        if any(anchor in folded for anchor in anchors):
            text = kind.sub(rf"\1{MASK}", text)
    return _CARD.sub(_mask_card, text)


def _mask_card(found: re.Match[str]) -> str:
    return MASK if _has_check_digit(found[0]) else found[0]


def _has_check_digit(text: str) -> bool:
    """Whether the digits end in the check digit of ISO/IEC 7812-1."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
