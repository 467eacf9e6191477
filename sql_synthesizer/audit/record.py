"""One audit record: from an event to a bounded line of JSON."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.redact import MASK, digest, mask, names_secret, redact_sql
from sql_synthesizer.telemetry import Event

TEXT_LIMIT = 4_000
"""Characters of one string."""
DETAILS_LIMIT = 32_768
"""Bytes of all details together, as JSON."""
ITEMS_LIMIT = 64
"""Entries of one mapping or list."""
DEPTH_LIMIT = 3
NAME_LIMIT = 256
"""Characters of an identifier."""

_SQL_NAMES = ("sql", "statement")
_INT64 = 1 << 63
_PLAIN = (bool, float, type(None))
_COLLECTIONS = (dict, list, tuple, set, frozenset)


class Encoder:
    """Turns events into record bodies; ``hashed`` records question text as a keyed hash instead of masked.

    ``key`` hashes what may not stand in clear; it may be replaced by a newer one at any time.
    """

    def __init__(self, key: bytes, *, hashed: bool) -> None:
        self.key = key
        self._hashed = hashed

    def body(self, event: Event) -> tuple[bytes, bytes]:
        """The record as a JSON object, without its place in the file, and the text that can be erased."""
        fields, text = self._fields(event)
        try:
            encoded = orjson.dumps(fields)
        except orjson.JSONEncodeError:  # a lone surrogate, which UTF-8 cannot hold
            fields = _encodable(fields)
            encoded = orjson.dumps(fields)
        if len(encoded) > DETAILS_LIMIT:
            encoded = orjson.dumps(fields | {"details": _fitted(fields["details"])})
        return encoded, text

    def _fields(self, event: Event) -> tuple[dict[str, Any], bytes]:
        trace, details = event.trace, dict(event.details)
        details.pop("timings_ms", None)  # how long each stage took is no matter of the record
        details.pop("statement", None)  # what was asked for; ``sql`` is what ran
        given = details.pop("given_severity", None)
        question_id = details.pop("question_id", None) or trace.question_id
        count = event.count
        clean, text = self._details(details)
        fields = {
            "time": rfc3339(event.time_ns),
            "event_type": event.type.name,
            "severity": event.type.severity,
            "trace_id": trace.trace_id,
            "span_id": event.span_id,
            "question_id": str(question_id)[:NAME_LIMIT],
            "actor": trace.actor[:NAME_LIMIT],
            "role": trace.role[:NAME_LIMIT],
            "address": trace.address[:NAME_LIMIT],
            "count": int(count) if count == int(count) else count,
            "details": clean,
        }
        if event.type.owasp:
            fields["owasp"] = event.type.owasp
        if given is not None and given != event.type.severity:
            fields["given_severity"] = str(given)[:NAME_LIMIT]
        return fields, text

    def _details(self, details: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The details as they may stand in the record, and the question's text apart, which can be erased."""
        dialect = str(details.get("database_type", ""))
        question = details.get("question")
        plain = isinstance(question, str)
        if isinstance(question, str) and (details.get("source") == "analyst" or question == details.get("sql")):
            details["question"], plain = redact_sql(question, dialect, self.key), False
        elif isinstance(question, str) and self._hashed:
            details["question"], plain = f"#{digest(question, self.key)}", False
        clean = self._mapping(details, dialect, 0)
        if not plain or "question" not in clean:
            return clean, b""
        clean["question"], text = chain.apart(_encodable(clean["question"]), self.key)
        return clean, text

    def _mapping(self, details: dict[Any, Any], dialect: str, depth: int) -> dict[str, Any]:
        clean: dict[str, Any] = {}
        for name, value in details.items():
            if len(clean) == ITEMS_LIMIT:
                clean["…"] = f"[cut {len(details) - ITEMS_LIMIT} entries]"
                break
            text = _told(name)[:NAME_LIMIT]
            clean[text] = self._value(text, value, dialect, depth)
        return clean

    def _value(self, name: str, value: Any, dialect: str, depth: int) -> Any:
        if isinstance(value, str):
            if name in _SQL_NAMES:
                return _cut(redact_sql(str(value), dialect, self.key))
            return MASK if names_secret(name) else _cut(mask(value[: 2 * TEXT_LIMIT]), len(value))
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, int):
            return value if -_INT64 <= value < _INT64 else str(value)[:NAME_LIMIT]
        if isinstance(value, _COLLECTIONS):
            return self._collection(name, value, dialect, depth + 1)
        return self._value(name, _told(value), dialect, depth)

    def _collection(self, name: str, value: Any, dialect: str, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            return f"[cut {len(value)} entries]"
        if isinstance(value, dict):
            return self._mapping(value, dialect, depth)
        clean = [self._value(name, item, dialect, depth) for item, _ in zip(value, range(ITEMS_LIMIT), strict=False)]
        if len(value) > ITEMS_LIMIT:
            clean.append(f"[cut {len(value) - ITEMS_LIMIT} entries]")
        return clean


def placed(writer: bytes, sequence: int, body: bytes) -> bytes:
    """A body with its place in the record, ready to be sealed."""
    return b'{"writer":"%b","sequence":%d,%b' % (writer, sequence, body[1:])


def rfc3339(time_ns: int) -> str:
    """A time in UTC with microseconds, as RFC 3339 writes it; such texts sort by time."""
    return f"{_second(time_ns // 1_000_000_000)}.{time_ns % 1_000_000_000 // 1000:06d}Z"


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _cut(text: str, length: int = 0) -> str:
    length = max(length, len(text))
    return text if length <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}… [cut {length - TEXT_LIMIT} characters]"


def _told(value: object) -> str:
    """An object's text; one that cannot tell it is named by its type."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a record is worth more than one value
        return f"[{type(value).__name__}]"


def _fitted(details: dict[str, Any]) -> dict[str, Any]:
    """``details`` with the largest entries taken out until the rest fits."""
    excess = len(orjson.dumps(details)) - DETAILS_LIMIT
    sizes = {name: len(orjson.dumps(value)) for name, value in details.items()}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        details[name] = f"[cut {sizes[name]} bytes]"
        excess -= sizes[name] - len(details[name]) - 2
    return details


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(name): _encodable(item) for name, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
