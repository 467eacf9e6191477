"""What may not stand in the audit record in clear: secrets in texts, literals in SQL."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

from sqlglot import Dialect, TokenType
from sqlglot.errors import SqlglotError

from sql_synthesizer.model.dialects import DIALECTS

MASK = "***"
SHORT = 64
"""Characters of a text that is likely to come again, such as a label."""
LITERAL_BYTES = 8
SQL_LIMIT = 200_000
"""Characters beyond which SQL is recorded as one hash."""

_LITERALS = frozenset(t for t in TokenType if t.name.endswith("STRING") and "LINE" not in t.name) | {
    TokenType.NUMBER,
    TokenType.HINT,
}

_SECRETS = tuple(
    (anchors, re.compile(pattern, re.IGNORECASE))
    for anchors, pattern in (
        (
            ("=", ":"),
            (
                r"(\b[\w-]{0,64}?(?:passw(?:or)?d|pwd|passphrase|secret|token|api[_-]?key|authorization)"
                r"[\w-]{0,32}[\"']?\s{0,3}[=:]\s{0,3})"
                r"(?:\"[^\"]{1,512}\"?|'[^']{1,512}'?|(?:(?:bearer|basic)\s{1,3})?[^\s\"',;&]{1,512})"
            ),
        ),
        (("://",), r"(://[^\s/:@]{0,64}:)[^\s/]{1,256}(?=@)"),
        (("bearer", "basic"), r"(\b(?:bearer|basic)\s{1,3})[A-Za-z0-9._~+/=-]{8,}"),
        (("sk-", "sk_", "pk-", "pk_", "rk-", "rk_"), r"()\b[spr]k[-_][A-Za-z0-9_-]{16,}"),
        (("sqs_",), r"()\bsqs_[A-Za-z0-9]{1,64}_[A-Za-z0-9_-]{20,}"),
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
    )
)
"""Lower-case texts, one of which every secret of a kind contains, and the kind; group 1 is what stays."""
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-])")
_SECRET_NAME = re.compile(
    r"passw|passphrase|secret|api_?key|authorization|cookie|credential|(?:^|_)token$", re.IGNORECASE
)


def mask_secrets(text: str) -> str:
    """``text`` with known kinds of secrets (API keys, tokens, passwords, card numbers) replaced by ``***``."""
    return _short_masked(text) if len(text) <= SHORT else _replace_secrets(text)


def _replace_secrets(text: str) -> str:
    folded = text.lower()
    for anchors, kind in _SECRETS:
        for anchor in anchors:
            if anchor in folded:
                text = kind.sub(rf"\1{MASK}", text)
                break
    return _CARD.sub(_mask_card, text)


_short_masked = lru_cache(maxsize=2048)(_replace_secrets)


@lru_cache(maxsize=1024)
def is_secret_name(name: str) -> bool:
    """Whether a value stored under this name is a secret whatever it looks like."""
    return _SECRET_NAME.search(name) is not None


def keyed_hash(text: str, key: bytes, size: int = 16) -> str:
    """Keyed hash of ``text`` in hexadecimal: equal texts can be matched, none can be guessed without the key."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=key, digest_size=size).hexdigest()


def value_hashes(value: str, key: bytes) -> tuple[str, str]:
    """How a value stands in the record: as a literal of a statement, and as the text of a question that is hashed."""
    return f"#{keyed_hash(value, key, LITERAL_BYTES)}", f"#{keyed_hash(value, key)}"


@lru_cache(maxsize=256)
def redact_sql(sql: str, dialect: str, key: bytes) -> str:
    """``sql`` with every literal replaced by a keyed hash, without comments.

    ``dialect`` is a ``Schema.dialect``; where it is unknown, quoted names are hashed too, since some databases read
    them as strings. Text that has no tokens of the dialect is replaced as a whole.
    """
    known = DIALECTS.get(dialect)
    if len(sql) > SQL_LIMIT:
        return f"#{keyed_hash(sql, key)}"
    try:
        tokens = Dialect.get_or_raise(known.sqlglot if known else "").tokenize(sql)
    except (SqlglotError, ValueError, RecursionError):
        return f"#{keyed_hash(sql, key)}"
    hidden = _LITERALS if known else _LITERALS | {TokenType.IDENTIFIER}
    parts: list[str] = []
    position, number = 0, False
    for token in tokens:
        if token.start > position and parts:
            parts.append(" ")
        number = token.token_type is TokenType.NUMBER or (number and token.start == position)
        # Such a word is a text where no column has that name.
        doubtful = known and known.quotes_text and token.token_type is TokenType.IDENTIFIER and sql[token.start] == '"'
        literal = number or doubtful or token.token_type in hidden
        text = sql[token.start : token.end + 1]
        parts.append(f"#{keyed_hash(token.text if literal else text, key, LITERAL_BYTES)}" if literal else text)
        position = token.end + 1
    return "".join(parts)


def _mask_card(found: re.Match[str]) -> str:
    return MASK if _has_check_digit(found[0]) else found[0]


def _has_check_digit(text: str) -> bool:
    """Whether the digits end in the check digit of ISO/IEC 7812-1."""
    digits = [int(c) for c in reversed(text) if c.isdigit()]
    doubled = (d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
