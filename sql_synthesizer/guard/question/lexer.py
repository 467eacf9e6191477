"""A tolerant lexer that writes each token of a text as one letter, so that SQL shows as a fingerprint.

| letter | token | letter | token |
| --- | --- | --- | --- |
| ``1`` | number, NULL, TRUE, FALSE | ``E`` | SELECT |
| ``s`` | closed string | ``U`` | UNION, INTERSECT, EXCEPT, MINUS |
| ``q`` | string without an end (``r``: of other quotes) | ``V`` | the same with ALL or DISTINCT |
| ``w`` | identifier or unknown word | ``B`` | clause: FROM, WHERE, LIMIT, INTO, ... |
| ``e`` | word that English has and SQL has not | ``O`` | ORDER BY, GROUP BY, PARTITION BY |
| ``v`` | variable: @x | ``H`` | HAVING |
| ``Y`` | server variable: @@x | ``K`` | CASE, WHEN, THEN, ELSE, AS |
| ``Z`` | who or where am I: version(), current_user | ``k`` | END, ASC, NOTNULL |
| ``C`` | system catalogue | ``F`` | call of a function that waits, reads files, leaves, or fails on purpose |
| ``T`` | name of such a function | ``p`` | call of a function that takes text apart or chooses |
| ``&`` | AND, OR, XOR | ``f`` | call of another function |
| ``=`` | comparison by sign | ``g`` | call of an unknown function |
| ``~`` | comparison by word or by one dialect's sign | ``a`` | arithmetic |
| ``i`` | IN, BETWEEN | ``u`` | NOT, DISTINCT, ANY, ... |
| ``S`` | star after SELECT | ``#`` | comment |

Punctuation stands for itself; the letter of a call stands for its opening parenthesis too, and a known function
without arguments is ``1``.
"""

from __future__ import annotations

import re

from sql_synthesizer.guard.question.words import CALLS, CATALOGUES, DANGEROUS, KINDS, TELLING

MAX_TOKENS = 2_000
"""Tokens of a text that are read."""

# words that begin with a letter and end as prose does, or a single sign, name or number
QUOTATION = re.compile(
    r"""(?:(?:^|(?<=[\s(:=,]))(?:'(?=[^\W_])[^'"`]{1,200}(?<=[\w.!?%);])'"""
    r"""|"(?=[^\W_])(?:[^'"`]|(?<=\w)'(?=\w)|(?<=\s)'\w{1,20}'(?=["\s.,?])){1,200}(?<=[\w.!?%);'])")"""
    r"""|(?<=\s)(?P<sign>['"])(?:[$#&@.%]?[\w.>*&+%-]{1,30}|[\d*/, -]{2,40})(?P=sign))(?=$|[\s,.;:?!)=|<>+])"""
)
"""Words in quotation marks, as opposed to a quote that opens or ends a string of the statement around the text."""
# what is quoted, or an apostrophe inside or behind a word (O'Brien, teachers') or before a decade ('80s)
_APOSTROPHE = re.compile(rf"{QUOTATION.pattern}|(?<=[^\W\d])'(?=[^\W\d]|[\s,.?!:]|$)|(?<![^\s(])'(?=\d\ds?\b)")
# words that servers read right behind a number
_GLUED = (
    r"union|intersect\b|except\b|minus\b|asc\b|desc\b|group\s+by\b|into\b|is\b|like\b|and\b|or\b|xor\b"
    r"|select|from\b|having|order\b|limit|where"
)
# a named group for each kind of token
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+|/\*[^*]*(?:\*(?!/)[^*]*)*\*/)
    |(?P<number>(?:0x[0-9a-f]*(?![g-tv-z_])|\d+(?:\.(?!\d+\.\d)\d*)?(?:e[+-]?\d+|\.?e(?=[a-z(\s.]))?
        |\.\d+(?:e[+-]?\d+)?|\\n(?!\w(?<!u)))(?:[df]?(?={_GLUED})|(?!\w)))
    |(?P<comment>--|\#(?![->])|/\*|;?%00)
    |(?P<string>(?:\b(?:[nxbe]|u&|_[a-z]\w*)\s?(?='))?
        (?:'(?:[^'\\]|\\.|'')*(?P<single>'|)|"(?:[^"\\]|\\.|"")*(?P<double>"|)|`[^`]*(?P<back>`|)))
    |(?P<variable>@@?(?:[\w.$]+|`\w*`|'\w*'|"\w*")?)
    |(?P<pair>(?:order|group|partition)\s+by\b|union\s*\(*\s*(?:all|distinct(?:row)?)\b
        |sounds\s+like\b|similar\s+to\b|is\s+(?:not\s+)?distinct\s+from\b)
    |(?P<word>[^\W\d][\w$]*(?:\s*\.\s?\.?\s*[`"\[]?[^\W\d][\w$*]*[`"\]]?)*(?:\[\w*\])?|\d\w*|\[\w+\](?:\.\[\w+\])*)
    |(?P<operator><=>|!==|===|->>|\#>>|\#>|\#-|->|<@|@>|!~\*?|~\*|~~|::|:=|&&|\|\||<<|>>|<=|>=|<>|!=|==|\^=|!<|!>
        |[=<>+\-*/%^|&!~])
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_CALL = re.compile(r"(\s*)\((\s*\))?")
_BEFORE_CALL = frozenset("&=~aiu,(;EBpfFgK")
_PAIRS = {"o": "O", "g": "O", "p": "O", "u": "V", "s": "~", "i": "~"}
_FIXED = {"number": "1", "comment": "#"}


def replace_apostrophes(text: str) -> str:
    """The text, as long as before, with a letter for each apostrophe, so that a quote left over is a quote."""
    return _APOSTROPHE.sub(lambda match: match[0] if match[0] != "'" else "\u02bc", text) if "'" in text else text


def build_fingerprint(text: str, start: int = 0) -> str:
    """The kinds of the text's tokens from ``start`` on, at most ``MAX_TOKENS``.

    When ``start`` lies behind a quote, an open string is ``q`` only if it is of the same quotes.
    """
    quote = text[start - 1] if start else ""
    kinds: list[str] = []
    skip = start
    for match in _TOKEN.finditer(text, start):
        if match.start() < skip or match.lastgroup == "space":
            continue
        kind, skip = _classify_token(match, text, kinds[-1] if kinds else "")
        kinds.append("r" if kind == "q" and quote not in match[0][:3] else kind)
        if len(kinds) >= MAX_TOKENS:
            break
    return "".join(kinds)


def _classify_token(match: re.Match[str], text: str, before: str) -> tuple[str, int]:
    """The token's letter after a token of kind ``before``, and where the next token may begin."""
    group, written, end = match.lastgroup or "", match[0], match.end()
    if group == "word":
        return _classify_word("".join(written.split()), text, end, before)
    if group in _FIXED:
        return _FIXED[group], end
    if group == "pair":
        return _PAIRS[written[0]], end
    if group == "string":
        closed = match["single"] or match["double"] or match["back"]
        if written[0] == "`" and closed and text[end : end + 1] == "(":
            return _classify_word(written[1:-1], text, end, before)
        return ("w" if written[0] == "`" else "s") if closed else "q", end
    if group == "variable":
        return "Y" if written.startswith("@@") and len(written) > 2 else "v", end
    if written == "*" and before and before in "Eu(,pfFg":
        return "S" if before in "Eu" else "w", end
    if written == "?" and before and before in "&=~ua":
        return "1", end
    return KINDS.get(written, written if written in "(),;{}[].:" else "x"), end


def _classify_word(name: str, text: str, end: int, before: str) -> tuple[str, int]:
    kind = KINDS.get(name)
    call = _CALL.match(text, end) if kind is None or name in CALLS else None
    if call:
        known = "F" if DANGEROUS.match(name) else CALLS.get(name.rpartition(".")[2])
        near = "_" in name or before in _BEFORE_CALL or not before
        if not call[1] or (known and near) or before in {"&", "=", "~"}:
            if call[2]:
                return known if known and known in "ZF" else "1" if known else "w", call.end()
            return known if known and known != "Z" else "g", call.end()
    if before and before in "UV" and name in {"values", "table"}:
        return "E", end
    if kind is not None:
        return kind, end
    if CATALOGUES.match(name) or KINDS.get(name.partition(".")[0].strip('[]`"')) == "C":
        return "C", end
    return "T" if TELLING.match(name) else "w", end
