"""Readings of a typed text: as it looks, and as decoders and comment strippers on the way would hand it on."""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from itertools import islice
from urllib.parse import unquote, unquote_plus

ROUNDS = 3
"""Encodings inside encodings that are undone."""
MAX_CHARS = 20_000
"""Characters of a reading that are looked at; decoding and compatibility forms can make a text longer."""

MAX_VALUES = 8
"""Parameters of a URL, form or JSON object that are read each on its own."""

# soft hyphens, blanks without width, marks of direction, variation selectors
_INVISIBLE = re.compile(r"[\u00ad\u034f\u061c\u115f\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]")
_LINE = re.compile(r"\r\n?|[\u2028\u2029\x85]")
_BLANK = re.compile(r"[^\S\n]+|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffd]+")  # blanks of all kinds, control characters
_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"\w+")
# escapes of URLs, HTML and programs
_ENCODED = re.compile(
    r"(?i)%(?:u[0-9a-f]{4}|[0-9a-f]{2})|&#?\w{2,8};|&#x?[0-9a-f]+|\\(?:u[0-9a-f]{4}|x[0-9a-f]{2}|[01][0-7]{2})"
)
_CODE_POINT = re.compile(r"(?i)(?:%u|\\u)([0-9a-f]{4})|\\x([0-9a-f]{2})|\\([01][0-7]{2})")  # %u0027, \x27, \047
_OVERLONG = re.compile(r"(?i)%(?:c0|e0%80)%([ab][0-9a-f])")
_HEX = re.compile(r"(?i)(?:0x|x')?((?:[0-9a-f]{2}[\s:]?){6,})'?")  # a text in hex, with blanks or colons between
_BASE64 = re.compile(r"[\w+/-]{8,}={0,2}", re.ASCII)
_PERCENTED = re.compile(r"(?i)(?:%[a-z]){4}")
_DOUBLED = re.compile(r"''(?=\w)")
_MIME = re.compile(r"(?i)=\?[\w-]{1,20}\?([bq])\?([^?\s]*)\?=")  # =?utf-8?q?...?=
_QUOTED_PRINTABLE = re.compile(r"(?i)=([0-9a-f]{2})")
_UTF7 = re.compile(r"\+A[A-Za-z0-9/]{2,200}-")
_PLUS = re.compile(r"(?i)\b(?:union|select|order|group|by|and|or|all|from|where|having)\+")  # + for a blank of SQL
_ESCAPED_QUOTE = re.compile(r"\\+(?=['\"])")
# a word in hex, or in base64 with a capital and a digit
_PACKED = re.compile(
    r"\b0x((?:[0-9a-f]{2}){4,})\b|\bunhex\s*\(\s*['\"]?((?:[0-9a-f]{2}){4,})"
    r"|\b(?=\w{0,40}\d)(?=\w{0,40}[A-Z])([A-Za-z0-9+/]{16,}={0,2})(?![\w=])"
)
_PROTOCOL = re.compile(r"(?i)\s+HTTP/\d(?:\.\d)?\s*$")
# the names of parameters of a URL, a form or a JSON object, and their values
_QUERY = re.compile(r"[?&][\w.\[\]%-]{1,40}=|^\s*[A-Za-z_][\w.\[\]-]{0,40}=(?!=)|[{,]\s*\"[\w.-]{1,40}\"\s*:\s*\"")
_VALUE = re.compile(
    r"(?:^\s*|[?&]\s*)[\w.\[\]%-]{1,40}=([^&]+)|[{,]\s*\"[\w.-]{1,40}\"\s*:\s*\"((?:[^\"\\]|\\.){1,2000})"
)
_EXECUTED = re.compile(r"(?i)/\*m?!\d{0,6}")
_COMMENT = re.compile(r"/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/|$)")  # closed or not
_GLUED = re.compile(r"(?<=\w)/\*[^*]{0,100}\*/(?=\w)")
_LINE_COMMENT = re.compile(r"(?:--|#)[^\n]*\n")
_MARKS = {"'": "‘’‚‛′´ʹʻʼʽˈ՚׳", '"': "“”„‟″ʺ״", "-": "‐‑‒–—―−", "/": "∕⁄", "*": "∗⁎"}
_PUNCTUATION = str.maketrans({sign: plain for plain, signs in _MARKS.items() for sign in signs})
_CAPITALS = str.maketrans("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕКМНОРСТУХІЈЅ", "ABEZHIKMNOPTYXABEKMHOPCTYXIJS")
_LETTERS = str.maketrans("аеорсухіјѕԁһмтквοαειυνρτκıſƒɡ", "aeopcyxijsdhmtkboaeiuvptkisfg")


def text_readings(text: str) -> tuple[str, ...]:
    """The lower-case text in every distinct reading, the plain one first; lines stay lines, other blanks are one space.

    A reading is at most ``MAX_CHARS`` long, and there are fewer than twenty.
    """
    plain = _normalize_text(text)
    found = [plain]
    cased = text
    for _ in range(ROUNDS):
        decoded = _decode_layer(cased)
        if decoded == cased:
            break
        cased = decoded
        found.append(_normalize_text(decoded))
    for reading in {found[0]: None, found[-1]: None}:
        if "/*" in reading:
            opened = _EXECUTED.sub(" ", reading)
            found.append(_BLANK.sub(" ", _COMMENT.sub(" ", opened).replace("*/", " ")))
            found.append(_BLANK.sub(" ", _GLUED.sub("", reading).replace("*/", " ")))
        if "\n" in reading and _LINE_COMMENT.search(reading):
            found.append(_LINE_COMMENT.sub(" ", _COMMENT.sub(" ", reading)))
    if _DOUBLED.search(found[-1]):
        found.append(found[-1].replace("''", "'"))
    if _QUERY.search(text):
        found += [_normalize_text(value) for value in _parameter_values(text)]
    return tuple(dict.fromkeys(found))


def _parameter_values(text: str) -> Iterator[str]:
    """The values of the parameters of a URL or form, or of a JSON object, decoded, at most ``MAX_VALUES``."""
    for value in islice(_VALUE.finditer(_PROTOCOL.sub("", text)), MAX_VALUES):
        yield _decode_layer(unquote_plus(value[1] or value[2]))


def as_single_line(reading: str) -> str:
    """The reading on one line, as prose is read."""
    return _SPACE.sub(" ", reading).strip()


def _normalize_text(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text.translate(_PUNCTUATION))[:MAX_CHARS])
        text = _WORD.sub(_replace_lookalikes, text)
    return _BLANK.sub(" ", _LINE.sub("\n", text[:MAX_CHARS])).strip().lower()


def _replace_lookalikes(word: re.Match[str]) -> str:
    """A word of Latin letters with lookalikes among them in Latin letters alone."""
    text = word[0]
    mixed = not text.isascii() and any("a" <= letter <= "z" for letter in text.lower())
    return text.translate(_CAPITALS).lower().translate(_LETTERS) if mixed else text


def _decode_layer(text: str) -> str:
    """The text with one layer of encoding undone."""
    whole = text.strip()
    if (packed := _HEX.fullmatch(whole)) and (read := _printable_text(_bytes_of_hex(packed[1]))):
        return read
    if len(whole) % 4 != 1 and _BASE64.fullmatch(whole) and (read := _printable_text(_bytes_of_base64(whole))):
        return read
    if _PERCENTED.search(text):
        return text.replace("%", "")
    if "=?" in text:
        text = _MIME.sub(_decode_mime_word, text)
    if "+" in text:
        text = _UTF7.sub(lambda code: code[0].encode().decode("utf-7", "replace"), text)
        if " " not in text or _PLUS.search(text):
            text = text.replace("+", " ")
    if _ESCAPED_QUOTE.search(text):
        text = _ESCAPED_QUOTE.sub("", text)
    text = _PACKED.sub(_decode_packed, text)
    if _ENCODED.search(text):
        text = _CODE_POINT.sub(_decode_character, text)
        text = unquote(_OVERLONG.sub(lambda code: f"%{int(code[1], 16) - 128:02x}", text))
        return html.unescape(text)[:MAX_CHARS]
    return text


def _decode_packed(packed: re.Match[str]) -> str:
    """Text in place of hex or base64 inside a text, if it is text with a sign or a blank in it."""
    if packed[3]:
        raw = _bytes_of_base64(packed[3]) if len(packed[3].rstrip("=")) % 4 != 1 else b""
    else:
        raw = _bytes_of_hex(packed[1] or packed[2])
    read = _printable_text(raw)
    return packed[0] if not read or read.isalnum() else f" {read} "


def _decode_mime_word(word: re.Match[str]) -> str:
    """An encoded word of RFC 2047 as its text."""
    if word[1] in "bB":
        return _bytes_of_base64(word[2]).decode("utf-8", "replace") if len(word[2].rstrip("=")) % 4 != 1 else word[0]
    return _QUOTED_PRINTABLE.sub(lambda code: chr(int(code[1], 16)), word[2].replace("_", " "))


def _decode_character(code: re.Match[str]) -> str:
    return chr(int(code[3], 8) if code[3] else int(code[1] or code[2], 16))


def _bytes_of_hex(text: str) -> bytes:
    digits = re.sub(r"[\s:]", "", text)
    return bytes.fromhex(digits) if len(digits) % 2 == 0 else b""


def _bytes_of_base64(text: str) -> bytes:
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        return b""


def _printable_text(raw: bytes) -> str:
    """The bytes as text when they are nothing but printable ASCII, else nothing."""
    read = raw.decode("ascii", "ignore")
    return read if len(read) == len(raw) and read.replace("\n", "").replace("\t", "").isprintable() else ""
