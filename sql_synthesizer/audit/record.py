"""One audit record: from an event to a bounded line of JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypedDict, TypeGuard

import orjson

from sql_synthesizer.audit import chain
from sql_synthesizer.audit.redact import keyed_hash, redact_sql
from sql_synthesizer.model import MASK
from sql_synthesizer.model.masking import is_secret_name, mask_secrets
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


class Record(TypedDict, total=False):
    """A record: an event, and its place in the chain.

    Whoever can write to the files can put anything into them: of what is read only ``time`` and ``sequence`` are sure.
    """

    writer: str
    sequence: int
    time: str
    event_type: str
    severity: str
    given_severity: str
    owasp: str
    trace_id: str
    span_id: str
    question_id: str
    actor: str
    role: str
    address: str
    count: float
    details: dict[str, object]
    mac: str


def is_record(fields: object) -> TypeGuard[Record]:
    """Whether the fields of a line have what puts a record in its order: a time, and a number."""
    return isinstance(fields, dict) and isinstance(fields.get("time"), str) and isinstance(fields.get("sequence"), int)


class Encoder:
    """Turns events into record bodies; ``hashed`` records question text as a keyed hash instead of masked.

    ``key`` hashes what may not stand in clear; it may be replaced by a newer one at any time.
    """

    def __init__(self, key: bytes, *, hashed: bool) -> None:
        self.key = key
        self._hashed = hashed

    def body(self, event: Event) -> tuple[bytes, bytes]:
        """The record as a JSON object, without its place in the file, and the text that can be erased."""
        fields, text = self._event_fields(event)
        try:
            encoded = orjson.dumps(fields)
        except orjson.JSONEncodeError:  # a lone surrogate, which UTF-8 cannot hold
            fields = _to_encodable(fields)
            encoded = orjson.dumps(fields)
        if len(encoded) > DETAILS_LIMIT:
            fields["details"] = _shrink_details(fields["details"])
            encoded = orjson.dumps(fields)
        return encoded, text

    def _event_fields(self, event: Event) -> tuple[Record, bytes]:
        trace, details = event.trace, dict(event.details)
        details.pop("timings_ms", None)  # how long each stage took is no matter of the record
        details.pop("statement", None)  # what was asked for; ``sql`` is what ran
        given = details.pop("given_severity", None)
        question_id = details.pop("question_id", None) or trace.question_id
        count = event.count
        clean, text = self._clean_details(details)
        fields: Record = {
            "time": format_rfc3339(event.time_ns),
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

    def _clean_details(self, details: dict[str, object]) -> tuple[dict[str, object], bytes]:
        """The details as they may stand in the record, and the question's text apart, which can be erased."""
        dialect = str(details.get("database_type", ""))
        question = details.get("question")
        plain = isinstance(question, str)
        if isinstance(question, str) and (details.get("source") == "analyst" or question == details.get("sql")):
            details["question"], plain = redact_sql(question, dialect, self.key), False
        elif isinstance(question, str) and self._hashed:
            details["question"], plain = f"#{keyed_hash(question, self.key)}", False
        clean = self._clean_mapping(details, dialect, 0)
        if not plain or "question" not in clean:
            return clean, b""
        clean["question"], text = chain.detach_text(_to_encodable(clean["question"]), self.key)
        return clean, text

    def _clean_mapping(self, details: Mapping[Any, object], dialect: str, depth: int) -> dict[str, object]:
        clean: dict[str, object] = {}
        for name, value in details.items():
            if len(clean) == ITEMS_LIMIT:
                clean["…"] = f"[cut {len(details) - ITEMS_LIMIT} entries]"
                break
            text = _object_text(name)[:NAME_LIMIT]
            clean[text] = self._clean_value(text, value, dialect, depth)
        return clean

    def _clean_value(self, name: str, value: Any, dialect: str, depth: int) -> Any:
        if isinstance(value, str):
            if name in _SQL_NAMES:
                return _truncate_text(redact_sql(str(value), dialect, self.key))
            return MASK if is_secret_name(name) else _truncate_text(mask_secrets(value[: 2 * TEXT_LIMIT]), len(value))
        if isinstance(value, _PLAIN):
            return value
        if isinstance(value, int):
            return value if -_INT64 <= value < _INT64 else str(value)[:NAME_LIMIT]
        if isinstance(value, _COLLECTIONS):
            return self._clean_collection(name, value, dialect, depth + 1)
        return self._clean_value(name, _object_text(value), dialect, depth)

    def _clean_collection(self, name: str, value: Any, dialect: str, depth: int) -> Any:
        if depth > DEPTH_LIMIT:
            return f"[cut {len(value)} entries]"
        if isinstance(value, dict):
            return self._clean_mapping(value, dialect, depth)
        clean = [
            self._clean_value(name, item, dialect, depth) for item, _ in zip(value, range(ITEMS_LIMIT), strict=False)
        ]
        if len(value) > ITEMS_LIMIT:
            clean.append(f"[cut {len(value) - ITEMS_LIMIT} entries]")
        return clean


def add_position(writer: bytes, sequence: int, body: bytes) -> bytes:
    """A body with its place in the record, ready to be sealed."""
    return b'{"writer":"%b","sequence":%d,%b' % (writer, sequence, body[1:])


def format_rfc3339(time_ns: int) -> str:
    """A time in UTC with microseconds, as RFC 3339 writes it; such texts sort by time."""
    return f"{_format_seconds(time_ns // 1_000_000_000)}.{time_ns % 1_000_000_000 // 1000:06d}Z"


@lru_cache(maxsize=4)
def _format_seconds(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _truncate_text(text: str, length: int = 0) -> str:
    length = max(length, len(text))
    return text if length <= TEXT_LIMIT else f"{text[:TEXT_LIMIT]}… [cut {length - TEXT_LIMIT} characters]"


def _object_text(value: object) -> str:
    """An object's text; one that raises instead is named by its type."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a record is worth more than one value
        return f"[{type(value).__name__}]"


def _shrink_details(details: dict[str, object]) -> dict[str, object]:
    """``details`` with the largest entries taken out until the rest fits."""
    excess = len(orjson.dumps(details)) - DETAILS_LIMIT
    sizes = {name: len(orjson.dumps(value)) for name, value in details.items()}
    for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if excess <= 0:
            break
        details[name] = note = f"[cut {sizes[name]} bytes]"
        excess -= sizes[name] - len(note) - 2
    return details


def _to_encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_to_encodable(name): _to_encodable(item) for name, item in value.items()}
    return [_to_encodable(item) for item in value] if isinstance(value, list) else value
