"""What may not stand in the audit record in clear: the literals of SQL."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from sqlglot import Dialect, TokenType
from sqlglot.errors import SqlglotError

from sql_synthesizer.model.dialects import DIALECTS

LITERAL_BYTES = 8
SQL_LIMIT = 200_000
"""Characters beyond which SQL is recorded as one hash."""

_LITERALS = frozenset(t for t in TokenType if t.name.endswith("STRING") and "LINE" not in t.name) | {
    TokenType.NUMBER,
    TokenType.HINT,
}


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
