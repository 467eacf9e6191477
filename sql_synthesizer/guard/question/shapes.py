"""The shapes of SQL that English does not have: of fingerprints, and of text where words matter.

Weight 2 is unmistakable, weight 1 is a sign. A shape is searched in linear time but for those that begin with ``^``,
which are tried once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPERAND = "(?>w(?:w(?=[),B#kK]))?|[1svCZYS])"
_BEFORE = "[u(aEKfFgp{.]*"
_STEP = rf"(?>u?[&=~iaK,BOH]++[ua~iK(E{{fFgp]*+{_OPERAND}[)k}}]*+)"
_CLOSE = r"^[)\]}.]*"
_LIST = r"[1svfFgpCZYS(q]|w[,.=#B)a(]"


@dataclass(frozen=True, slots=True)
class Shape:
    """``reason`` is told when ``pattern`` is found."""

    reason: str
    weight: int
    pattern: re.Pattern[str]


def _compile_shapes(*rows: tuple[str, int, str]) -> tuple[Shape, ...]:
    return tuple(Shape(reason, weight, re.compile(pattern)) for reason, weight, pattern in rows)


ANYWHERE = _compile_shapes(
    ("union_select", 2, rf"V[(#]*E|[UV]\(+E|[1s)q]U[(#]*E|[UV][#u]*E[u(a.]*({_LIST}|wBw|$)|U#+E"),
    ("union_select", 1, r"[1s)q#]U[(#]*$|^a?1#+.*U[#(]*$|[1s)]V"),
    ("tautology", 2, r"&[u(a]*1\)*(?:[a~][u(a]*1\)*)*=[u(a~]*[1qrvZfpg]|&[u(a]*s+\)*=[u(a~]*[sqrvZfpg]"),
    ("tautology", 2, r"&[u(a]*[1s]\)*u?~u?[(a]*[1sqr]|&[u(a]*1u?i[1(]&?1?[#)&]|[1s]\)*=[(a]*[1s]\)*&[ua]*#"),
    (
        "tautology",
        1,
        r"&[u(a]*[fgp][1sfgp,a(]+\)+[=~][u(a]*[1sqfgp]|&\(+[1s]\)+[#&]|^[s1]u?~[(u]*[1sq]|^s=q$|[1s)]&E|s&u+1",
    ),
    ("probe", 2, r"[&=~a,(;EuKB1spfg][u(a]*F|F(?:[1s(]|[fFgpE]|Z)|F.*#|[E;=&(]T|T[s(]"),
    ("probe", 2, r"p[u(]*[pFZYE]|[fg][u(]*[ZY]|p[fg][u(]*[ZYE]|[&=a]\(*p[^)]*\)+[=~a]|p1=1"),
    ("probe", 1, r"F(?!w)|#T|gE[u(a]*1|^[1s]a\(*[pf]|[1s)]a\(*p[^)]|&p1"),
    ("server_variable", 1, r"Y"),
    ("server_variable", 2, r"[&=~a,(EfFgp][YZ]|[YZ][)]*[=~]"),
    ("subselect", 2, rf"[&=~a,fFgpi;u1s]\(+E[u(a]*({_LIST}|wwB|$)|\(E[u(a]*([1svfFgpCZYS]|w,|w?wB|w\))"),
    ("subselect", 1, r"\(E[^e)]{1,40}B"),
    ("catalogue", 2, r"[B,Ua.(pfFg]C|C[B#]"),
    ("catalogue", 1, r"C"),
    ("row_probe", 2, r"[1s)v]O[1(][1,]*(?:#|$|;|B)|^[(a]*1[)]*O[1fpFgK(E]|(?:^|[1s)q])O1[1,]*#|[1s)]\)*H"),
    ("row_probe", 2, r"H[(u]*(?:1[=~]|1&[u(]*1[=~]|1\)*#)|(?:^|[1s)q])H[(u]*(?:1\)*$|s=|w=1)"),
    ("row_probe", 1, r"H\(*[1fp]\)*(?:#|[=~)])|H\([1&u]+\)|O1[1,]*$|O1[1,]*k?;?#a?$|O[1w][1w,]*k?[;]?#a?$"),
    ("case_probe", 2, r"[(&=,E]\(*K\(*K[u(]*[1fFpgs(w]|K\(*K\(*[1s]="),
)
"""What no context needs."""

WHOLE = _compile_shapes(
    ("number_break", 2, rf"^[(a]*(?:1|s(?=[^#]*[=~iEFfgp]))\)*{_STEP}*&{_BEFORE}{_OPERAND}\)*{_STEP}*;?#"),
    ("number_break", 1, rf"^[(a]*s\)*{_STEP}*&{_BEFORE}{_OPERAND}\)*{_STEP}*;?#a?$"),
    (
        "number_break",
        2,
        rf"^[(a]*[1v]\)*&[u(a]*{_OPERAND}\)*(?:a[u(a]*{_OPERAND}\)*)*u?[=~i][ui]*{_BEFORE}(?:{_OPERAND}|q)",
    ),
    ("number_break", 1, r"^a?[1v]\)*(?:&[ua]+[1w]\)*;?|&\(+(?:1|\([1w]\))\)*;?|&p.*)$"),
    ("number_break", 2, rf"^[)]*&{_BEFORE}{_OPERAND}?\)*(?:{_STEP})*=s?q?$"),
    ("number_break", 1, rf"^\)*&[u(a]*{_OPERAND}\)*u?[=~][u(a]*[1sZq]|^\)*&[u(a]*1\)*;?#"),
    (
        "number_break",
        1,
        (
            r"^a?[1v]\)+&[u(]*u[u(]*[1sw]|^a?[1v]\)*&[fpg]|^Z[;#]*$|^p[1s][,1s]*\)$|^1~u1$|^a?1&\(*u+\(*1$|^Ta?w"
            r"|^T$"
        ),
    ),
    ("number_break", 1, r"^a?1\)*&[u(]*[1s]\)*a[u(a]*[1s]\)*[#;]*$|^1&~\(|^1&[u(]*[1s]u[1s]|^1&u?\(+[1s],[1s]\)|^1&s$"),
    ("number_break", 1, r"^1,w=[1s]"),
    ("comment_break", 1, r"^a?[1w]\)*;#|^a?[1s]\)*(?=.*[OBkHU(=~&])[^#e]{0,30};?#a?$"),
    ("select", 1, r"^\(*E[u(]*(?:S|[w1s](?:a?k?w?,|a[1w]?B)|(?:[fFgp(Ysv]|1(?!w))(?!.*e.?e)|[1w]\)*BwB\w*[=~i])"),
)
"""The text typed where a number stands, or as a statement."""

TAIL = _compile_shapes(
    ("quote_break", 2, rf"{_CLOSE}(?=[^#]*[&=~ipfFgE]){_STEP}+[;)]*#"),
    ("quote_break", 1, rf"{_CLOSE}{_STEP}+[;)]*#"),
    ("quote_break", 2, rf"{_CLOSE}(?=.*[=~i]){_STEP}*u?[&=~ia,]+{_BEFORE}s*q$"),
    ("quote_break", 1, rf"{_CLOSE}{_STEP}*[&ai,]+{_BEFORE}s*q$"),
    ("quote_break", 2, rf"{_CLOSE}(?=.*[=~ip])(?=.*&){_STEP}+;?$"),
    (
        "quote_break",
        1,
        rf"{_CLOSE}&{_BEFORE}[1sv]\)*;?$|{_CLOSE}u?[=~]{_BEFORE}[1svw]\)*;?$|{_CLOSE}&w(?:a[ua]*[1w])+$",
    ),
    ("quote_break", 2, rf"{_CLOSE}&{_BEFORE}{_OPERAND}?\)*=$|{_CLOSE}{_STEP}+;"),
    ("comment_break", 2, r"^[)]+;?#|^;#$"),
    ("comment_break", 1, r"^[)]*[&=~iBOHUu;K,wg][^#eqr]{0,14}#a?$"),
    ("quote_break", 1, rf"{_CLOSE}&{_BEFORE}{_OPERAND}=a?[(]*[1rsq]|{_CLOSE}&[u(]*[1sv]\)*a[ua]*[rq]"),
    ("union_select", 2, r"^[)]*[#]?[UV][(#]*(?:E(?!ww)|q)"),
    ("row_probe", 2, r"^[)]*(?:O[1(]|H|Ow[#;]|Bw?1(?:,1)?[#;])"),
)
"""The text behind a quote that ended a string."""

_KEY = (
    r"(?:union|select|all|distinct|or|and|xor|not|like|in|is|order|group|by|from|where|having|limit|null"
    r"|sleep|between|drop)"
)
TEXTUAL = _compile_shapes(
    ("executable_comment", 2, r"/\*m?!\s*\d{0,6}\s*\w"),
    (
        "comment_as_blank",
        1,
        (
            rf"(?:[\d'\"`)]|\b{_KEY})/\*[^*]{{0,80}}\*/|/\*[^*]{{0,80}}\*/(?:{_KEY}\b|['\"(])"
            rf"|[a-z]/\*[^*/]{{1,80}}\*/[a-z]"
        ),
    ),
    ("comment_as_blank", 1, r"(?:--|#|/\*)\s*(?:and|or|where)\s+[\w.]+\s*(?:[=<>]|!=|in\s*\(|like\s|is\s)"),
    ("character_codes", 2, r"\bn?cha?r\s*\(\s*\d{1,3}\s*(?:,\s*\d{1,3}\s*,|\)\s*(?:\|\||\+|,|&)\s*n?cha?r\s*\()"),
    ("number_forms", 2, r"\b\d+\.e[ (.,]+\w*\(|\{\s*\w+\s+[\w'(/]+[^}]{0,40}\}?\s*union|\bor\s+\{\s*if\b"),
    ("json_operator", 2, r"'\s*::\s*jsonb?\b|'\s*(?:<@|@>|#>>?|->>?)\s*'|\bjson_\w+\s*\(\s*'[\[{]"),
    (
        "comment_break",
        1,
        r"\w['\"`]\)*;?(?:--|#|/\*)|['\"`][\s);]*(?:--|#|/\*)[\s+#-]*\S?$|^\W{0,8}['\"`]\s?\)*;?\s?--|^\w+'\s--\w",
    ),
    ("comment_break", 1, r"^[^'\"]*[^\W\d_s]'\)*\s?;?\s?(?:--|#)(?!\w)[^'\"]*$"),
    ("number_break", 1, r"^\W*\d+\)*\s*(?:or|\|\||x?or)\s+(?:not\s+)?(?:true|false)\b|^\W*(\d+) x?or \1\W*$"),
    ("number_break", 1, r"^\W*\d*\s*(?:\|\||&&)\s*'?\d+\W*$"),
    (
        "number_break",
        1,
        r"^\W*([01]|\d{3,}) (?:and|or) \1\W*$|^[01] (?:x?or|and) [01]\W*$|^\d+[-+*/^|]+(?:true|false)$",
    ),
    ("number_break", 1, r"^\d+\W{0,3}\b(?:or|and|\|\|)\s+(\d+)\W.{0,2}(?:--|#|/\*)|^(\d+)\)* or \2\s+rem\b"),
    ("number_break", 1, r"(?:^|[(|,=+-]|\b(?:and|or)\s)\s*1/0(?:\W*$|[)|,#;-]|\s*(?:--|=))"),
    ("number_break", 1, r"^(?:and|or|where|\|\|)\s+(?:not\s+)?(?:[01]|true|false)[^\w?]*$"),
    (
        "comment_break",
        1,
        r"^-?\d+\)*;?(?:--|/\*)(?:\W|$)|^-?\d+['\")]*;?#\W*$|^-?\d+\s(?:--|#)\s*\w?$|^-?\d+['\"`]+\)*;$",
    ),
    ("comment_break", 1, r"^(?:asc|desc)\b\W*(?:--|#|/\*|;)|^[^\w*]*(?:--|#|/\*)\s?\w?\W*$"),
    (
        "comment_break",
        1,
        (
            r"\b(?:(?:limit|offset)\s+\d+(?:\s*,\s*\d+)?|asc|desc|nulls\s+(?:first|last)|only)\s*;?\s*(?:--|#"
            r"|/\*)\W*\w?$"
        ),
    ),
    ("quote_break", 1, r"^(?=.*['\"`])[\s'\"`()\\;,\[\]{}]{2,}$|^['\"`]\W*(?:or|and|xor)?\W*=\W*(?:or)?\W*$"),
    (
        "quote_break",
        1,
        (
            r"^['\"`]\W*(?:or|and|xor)\b\W*$|^['\"]\W{0,3}(?:or|xor|and)\W{0,3}[a-z]\w*\(.{0,40}\)+\W{0,3}(?:or"
            r"|xor|and)?['\"]$"
        ),
    ),
    (
        "clause_break",
        1,
        r"^\W*\d+\W*\s(?:for\s+update|window\s+\w+\s+as|returning\s|for\s+(?:xml|json)\b|or\s+[01]$)",
    ),
    (
        "clause_break",
        1,
        (
            r"\b(?:lock\s+in\s+share\s+mode|with\s+rollup\W*$|on\s+conflict\s+(?:do\b|\()|on\s+duplicate\s+key\s+update|tablesample\s+\w+\s*\("
            r"|fetch\s+(?:first|next)\s+(?:\d+\s+)?rows?\s+only|with\s+query\s+expansion)\b|\b(?:or|and)\s+\S+\s+like\s+(?:'%+'|\"%+\")|\blike\s+'%+'\W*$"
        ),
    ),
    (
        "comment_break",
        1,
        r"(?<!s)['\"`][)\]}]*(?:\s[^'\"`\n]{1,40})?(?:--|#)(?!['\"])\W*$|;\s*(?:--|#)[\s-]*$|^\w+(?<!s)['\"]\)*;$",
    ),
    ("null_byte", 1, r"(?<!\s)%00|%16|\\x00|\\u0000|&#x?0+;"),
    ("tautology", 1, r"\b(?:or|and|where)\s+\(*(\w+)\s*=\s*\(*\1\b|^\W*(\w+)\W{0,3}=\W{0,3}\2\W*$|^[01]\s?=\s?[01]$"),
    ("tautology", 1, r"^(?:or|and)\s+(\w)\s?=\s?\w\W*$|^(?:or|and)\s+\w+\s?=\s?\w+\s?(?:--|#)"),
    (
        "server_call",
        1,
        (
            r"(?:print|tell|show|give|return|select|what\s+is|output|display|get|reveal|run)\s+(?:me\s+)?(?:the\s+)?"
            r"(?:version|user|database|current_user|session_user|system_user|sqlite_version|db_name|suser_name)\(\s*\)"
        ),
    ),
    (
        "cast",
        1,
        (
            r"['\"\d)]\s?::\s?(?:int\d?|integer|text|numeric|varchar|jsonb?|regclass|bigint|float\d?|bool\w*"
            r"|tsquery)\b"
        ),
    ),
    (
        "outside",
        1,
        (
            r"\b(?:url|file|s3|hdfs|remote|mysql|jdbc|odbc|postgresql)\s*\(\s*['\"]|\bopenrowset\s*\(\s*bulk\b"
            r"|\bfrom\s+dual\b"
        ),
    ),
    ("row_probe", 2, r"\border\s+by\s+\d+(?:\s*,\s*\d+)*\)*;?(?:--|#)"),
    (
        "clause_break",
        1,
        r"\blimit\s+\d+(?:\s*,\s*\d+)?(?:--|#)|(?<![(\d])\b\d+\)+\s+(?:or|and)\s+(?:not\s+)?\((?:true|\d|\w+=)",
    ),
    ("braces", 1, r"\{\s*(?:`\w+`\s*\w|\w+\s*[`'\"(])[^{}]{0,30}\}"),
    (
        "stacked",
        1,
        (
            r"\n\s*go\s*(?:\n|$)|\d['\")]*;(?:select|truncate|drop|delete|insert|update|exec|commit|shutdown"
            r"|vacuum|call|set)\b"
        ),
    ),
    ("tautology", 1, r"(?<=\s)(\d+)=\1\b(?!\s*[\w.(])|(['\"])(\w+)\2\s*=\s*\2\3\b"),
    (
        "doubled_keyword",
        1,
        (
            r"\b(?:u|un|uni|unio)union(?:nion|ion|on|n)\b|\b(?:s|se|sel|sele|selec)select(?:elect|lect|ect|ct|t)\b"
            r"|\b(?:oorr|aandnd|anandd)\b"
        ),
    ),
    ("in_boolean_mode", 1, r"\bin boolean mode\b|\bmatch\s*\(?\s*\w+\s*\)?\s*against\b"),
)
"""What only shows in the text."""
