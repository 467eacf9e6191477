"""Whatever is typed, the question guard ends, says the same again, and is not fooled by how a payload is written."""

from __future__ import annotations

from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from sql_synthesizer.guard.question import fragment, judge_text
from sql_synthesizer.guard.question.lexer import MAX_TOKENS, build_fingerprint, replace_apostrophes
from sql_synthesizer.guard.question.normal import MAX_CHARS, text_readings

PIECES = st.sampled_from(
    "' \" ` ( ) ; -- # /* */ /*! = < > <> + - * / % | || && , . @ @@ and or not like in is null between union select "
    "from where order by group having limit into sleep( ascii( substr( version() case when then end 0x41 1 2.5 1e3 "
    "a b 'c' the of customers information_schema drop table %27 &#39; \\u0027 \n".split(" ")
)
SOUP = st.lists(PIECES, max_size=40).map(" ".join) | st.lists(PIECES, max_size=40).map("".join)
NUMBERS = st.integers(0, 99_999)
WORDS = st.from_regex(r"[a-z]{3,8}", fullmatch=True).filter(lambda word: build_fingerprint(word) == "w")
QUOTES = st.sampled_from(["'", '"'])
CLOSING = st.sampled_from(["", ")", "))"])
COMMENT = st.sampled_from(["-- ", "--", "#", "-- -", "--+"])


@st.composite
def payloads(draw: st.DrawFn) -> str:
    """An injection in some context: a value, what ends it, what follows, and what makes the rest harmless."""
    number, quoted, word = draw(NUMBERS), draw(QUOTES), draw(WORDS)
    start = draw(st.sampled_from([f"{number}", f"{word}{quoted}{draw(CLOSING)}"]))
    table = draw(WORDS)
    middle = draw(
        st.sampled_from(
            [
                f"or {number}={number}",
                f"and {quoted}{word}{quoted}={quoted}{word}{quoted}",
                f"union select {number},{word} from {table}",
                f"union all select null,{word}",
                f"and (select count(*) from {table})>{number}",
                f"and sleep({number})",
                f"and ascii(substring((select {word} from {table}),1,1))>{number}",
                f"; drop table {table}",
                f"or {word} like {quoted}%{quoted}",
            ]
        )
    )
    return f"{start} {middle} {draw(COMMENT)}"


def flagged(text: str) -> bool:
    return any(fragment.judge_fragment(reading) for reading in text_readings(text))


@given(SOUP | st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_every_text_is_judged_and_alike(text: str) -> None:
    verdicts = judge_text(text)
    assert verdicts == judge_text(text)
    assert len({verdict.layer for verdict in verdicts}) == len(verdicts)
    for reading in text_readings(text):
        assert len(reading) <= MAX_CHARS
        assert len(replace_apostrophes(reading)) == len(reading)
        assert len(build_fingerprint(reading)) <= MAX_TOKENS


@given(payloads(), st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_payloads_are_found_however_they_are_written(payload: str, seed: int) -> None:
    mixed = "".join(letter.upper() if seed >> n % 32 & 1 else letter for n, letter in enumerate(payload))
    for written in (payload, mixed, quote(payload), quote(quote(payload)), payload.replace(" ", "/**/")):
        assert flagged(written), written
    assert flagged(payload.replace(" ", "\n")) or "#" in payload or "--" in payload
    assert flagged(f"show the orders of customer {payload}")


@given(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), st.sampled_from("?.,!"))
@settings(max_examples=200, deadline=None)
def test_plain_words_pass(text: str, stop: str) -> None:
    assert not flagged(f"{text}{stop}")
