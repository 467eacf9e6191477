"""The keyed hash chain: each line carries a MAC of itself and of the line before it.

A line is ``{...,"mac":"<32 hex digits>"}``, sometimes with a text behind the MAC. Without the key no line can be
changed, added, left out or moved unseen. What people typed may have to be erased later, which must not break the chain:
so the text of a question stands behind the MAC, in an unsealed place, and the sealed part has only a salted hash of it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import NamedTuple

import orjson

MAC_BYTES = 16
"""128 bits: nobody without the key guesses one, and every line carries one."""
ORIGIN = bytes(MAC_BYTES)
"""What stands for the MAC before the first line of all."""
ERASED = "[erased]"

_MARK = b',"mac":"'
_TEXT = b',"text":'
_TAIL = len(_MARK) + 2 * MAC_BYTES
_SALT = re.compile(r"[0-9a-f]{16}")
_RESERVED = frozenset(("mac", "text"))


class Position(NamedTuple):
    """The last record of a writer so far: its number and its MAC."""

    sequence: int
    mac: bytes


@dataclass(slots=True)
class ChainLine:
    """One parsed line: ``sealed`` is what the MAC covers, ``fields`` what that says.

    ``text``, behind the MAC, is the salt of a hash and a question; None where there is none, or it was ``erased``.
    """

    sealed: bytes
    mac: bytes
    fields: dict[str, object]
    text: tuple[str, str] | None = None
    erased: bool = False

    def continues(self, before: bytes, key: bytes) -> bool:
        """Whether this line follows the line whose MAC is ``before``, sealed with ``key``."""
        return hmac.compare_digest(self.mac, line_mac(before, self.sealed, key))

    def text_fits(self, key: bytes) -> bool:
        """Whether the text behind the MAC, unless it was erased, is the one that the line was sealed with."""
        if self.text is None:
            return True  # there never was one, or it was erased: the manifest says which
        details = self.fields.get("details")
        return isinstance(details, dict) and details.get("question") == text_commitment(*self.text, key)

    def full_fields(self) -> dict[str, object]:
        """All that the line says, with the text where it was taken from. Raises TypeError where it has no place."""
        fields = self.fields | {"mac": self.mac.hex()}
        if self.text or self.erased:
            if not isinstance(details := fields.get("details"), dict):
                raise TypeError(details)
            fields["details"] = details | {"question": self.text[1] if self.text else ERASED}
        return fields


def line_mac(before: bytes, sealed: bytes, key: bytes) -> bytes:
    """The MAC of a line after another: BLAKE2b in its keyed mode (RFC 7693)."""
    return hashlib.blake2b(before + sealed, key=key, digest_size=MAC_BYTES).digest()


def seal_line(before: bytes, body: bytes, key: bytes, text: bytes = b"") -> tuple[bytes, bytes]:
    """The line of a JSON object ``body``, with its newline, and the line's MAC."""
    sealed = body[:-1]
    own = line_mac(before, sealed, key)
    return b'%b,"mac":"%b"%b}\n' % (sealed, own.hex().encode(), text), own


def parse_line(line: bytes) -> ChainLine | None:
    """The parts of a line; None when it is no line of a chain."""
    # Quotes inside of strings are escaped, so the last mark is the real one.
    at = line.rfind(_MARK)
    try:
        fields = orjson.loads(line[:at] + b"}")
        own = bytes.fromhex(line[at + len(_MARK) : at + _TAIL].decode())
        text, erased = _parse_text(line[at + _TAIL :])
    except (orjson.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError):
        return None
    if at < 0 or len(own) != MAC_BYTES or not isinstance(fields, dict) or not _RESERVED.isdisjoint(fields):
        return None
    return ChainLine(line[:at], own, fields, text, erased)


def _parse_text(rest: bytes) -> tuple[tuple[str, str] | None, bool]:
    """The text behind a MAC, and whether it was erased. Raises ValueError when anything else stands there."""
    # Nothing here is sealed: were any other form taken, something could be added to a line unseen.
    if rest == b'"}\n':
        return None, False
    if not rest.startswith(b'"' + _TEXT) or not rest.endswith(b"}\n"):
        raise ValueError(rest)
    text = orjson.loads(rest[len(_TEXT) + 1 : -2])
    if text is None:
        return None, True
    salt, question = text
    # The salt's length is fixed, or the border between it and the question could be moved under the same hash.
    if not (isinstance(text, list) and isinstance(question, str) and _SALT.fullmatch(salt)):
        raise ValueError(text)
    return (salt, question), False


def detach_text(question: str, key: bytes) -> tuple[str, bytes]:
    """What stands in the sealed part for a text that can be erased, and what stands behind the MAC."""
    salt = os.urandom(8).hex()
    return text_commitment(salt, question, key), _TEXT + orjson.dumps([salt, question])


def text_commitment(salt: str, question: str, key: bytes) -> str:
    """A hash that the text can be checked against while it is there, and cannot be guessed from once it is erased."""
    data = f"{salt}{question}".encode()
    return "#" + hashlib.blake2b(data, key=key, digest_size=MAC_BYTES).hexdigest()


def erase_line_text(line: bytes) -> bytes:
    """The line, as long as before, without the text behind its MAC."""
    end = line.rfind(_MARK) + _TAIL + 1
    gap = len(line) - end - len(_TEXT) - len(b"null}\n")
    return line[:end] + _TEXT + b"null" + b" " * gap + b"}\n" if gap >= 0 else line
