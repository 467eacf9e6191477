"""How a typed text is read: as decoders would hand it on, and as a fingerprint of its tokens."""

from __future__ import annotations

import pytest

from sql_synthesizer.guard.question.lexer import build_fingerprint
from sql_synthesizer.guard.question.normal import MAX_CHARS, text_readings
from sql_synthesizer.guard.question.words import CALLS, KINDS


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("How  many\tusers", ("how many users",)),
        ("a%2527b", ("a%2527b", "a%27b", "a'b")),
        ("IPHONE+4+CASE", ("iphone+4+case", "iphone 4 case")),
        ("un/*x*/ion", ("un/*x*/ion", "un ion", "union")),
    ],
)
def test_readings(text: str, read: tuple[str, ...]) -> None:
    assert text_readings(text) == read


def test_readings_are_bounded() -> None:
    assert all(len(reading) <= MAX_CHARS for reading in text_readings("\ufdfa" * 20_000))


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("1 or 1=1", "1&1=1"),
        ("x union all select null, version() from a where b like 'c'--", "wVE1,ZBwBw~s#"),
        ("sleep(5) and sleep (deep)", "F1)&F w)".replace(" ", "")),
        ("hours of sleep (average)", "wew(w)"),
        ("a.b + @c * @@d", "wavaY"),
        ("'it''s' 'open", "sq"),
        ("order by 1e3, 0x1f", "O1,1"),
        ("n'x' is not null", "s~u1"),
    ],
)
def test_fingerprints(text: str, kinds: str) -> None:
    assert build_fingerprint(text) == kinds


def test_an_open_string_counts_only_in_its_own_quotes() -> None:
    assert [build_fingerprint(text, 2) for text in ("a' or 'b", "a' or \"b")] == ["&q", "&r"]


def test_words_have_one_letter_each() -> None:
    assert {len(kind) for kind in (*KINDS.values(), *CALLS.values())} == {1}
