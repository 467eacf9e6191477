"""The keyed hash chain: each line carries a MAC of itself and of the line before it.

A line is ``{...,"mac":"<32 hex digits>"}``, sometimes with a text after the MAC. Without the key no line can be
changed, added, left out or moved unseen; the text after the MAC can be erased, for the chain covers its hash only.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Any

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
_SPOKEN_FOR = frozenset(("mac", "text"))


@dataclass(frozen=True, slots=True)
class ChainLine:
    """One parsed line: ``sealed`` is what the MAC covers, ``fields`` everything that it says."""

    sealed: bytes
    mac: bytes
    fields: dict[str, Any]

    def continues(self, before: bytes, key: bytes) -> bool:
        """Whether this line follows the line whose MAC is ``before``, sealed with ``key``."""
        return hmac.compare_digest(self.mac, line_mac(before, self.sealed, key))

    def text_fits(self, key: bytes) -> bool:
        """Whether the text beside the MAC, if it was not erased, is the one that the line was sealed with."""
        text, details = self.fields.get("text"), self.fields.get("details")
        if text is None:
            return True  # there never was one, or it was erased, which the manifest tells
        return isinstance(details, dict) and details.get("question") == text_commitment(text[0], text[1], key)


def line_mac(before: bytes, sealed: bytes, key: bytes) -> bytes:
    """The MAC of a line after another: BLAKE2b in its keyed mode (RFC 7693)."""
    return hashlib.blake2b(before + sealed, key=key, digest_size=MAC_BYTES).digest()


def seal_line(before: bytes, body: bytes, key: bytes, text: bytes = b"") -> tuple[bytes, bytes]:
    """The line of a JSON object ``body``, with its newline, and the line's MAC."""
    sealed = body[:-1]
    own = line_mac(before, sealed, key)
    return b'%b,"mac":"%b"%b}\n' % (sealed, own.hex().encode(), text), own


def parse_line(line: bytes) -> ChainLine | None:
    """The parts of a line; None when it is no line of a chain.

    Only a text may follow the MAC, in the one form that ``detach_text`` and ``erase_line_text`` write,
    since nothing there is sealed.
    """
    # Quotes inside of strings are escaped, so the last mark is the real one.
    at = line.rfind(_MARK)
    try:
        fields = orjson.loads(line[:at] + b"}")
        own = bytes.fromhex(line[at + len(_MARK) : at + _TAIL].decode())
        text = _parse_text(line[at + _TAIL :])
    except (orjson.JSONDecodeError, UnicodeDecodeError, TypeError, ValueError):
        return None
    if at < 0 or len(own) != MAC_BYTES or not isinstance(fields, dict) or not _SPOKEN_FOR.isdisjoint(fields):
        return None
    return ChainLine(line[:at], own, fields | {"mac": own.hex()} | text)


def _parse_text(rest: bytes) -> dict[str, Any]:
    """What follows the MAC. Raises ValueError when it is neither nothing, nor a text, nor an erased one."""
    if rest == b'"}\n':
        return {}
    if not rest.startswith(b'"' + _TEXT) or not rest.endswith(b"}\n"):
        raise ValueError(rest)
    text = orjson.loads(rest[len(_TEXT) + 1 : -2])
    if text is not None:
        salt, question = text
        if not (isinstance(text, list) and isinstance(question, str) and _SALT.fullmatch(salt)):
            raise ValueError(text)
    return {"text": text}


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


def restore_text(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields with the text put where it was taken from."""
    if "text" in fields:
        text = fields.pop("text")
        fields["details"]["question"] = text[1] if text else ERASED
    return fields
