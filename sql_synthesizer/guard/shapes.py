"""The shapes of SQL that English does not have: of fingerprints, and of text where words matter.

Weight 2 is unmistakable, weight 1 is a sign. A shape is searched in linear time but for those that begin with ``^``,
which are tried once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_OPERAND = "(?>w(?:w(?=[),B#kK]))?|[1svCZYS])"
_BEFORE = "[u(aEKfFgp{]*"
_STEP = rf"(?>u?[&=~iaK,BOH]++[ua~iK(E{{fFgp]*+{_OPERAND}[)k}}]*+)"
_CLOSE = r"^[)\]}]*"
_LIST = r"[1svfFgpCZYS(q]|w[,.=#B)a(]"


@dataclass(frozen=True, slots=True)
class Shape:
    """``reason`` is told when ``pattern`` is found."""

    reason: str
    weight: int
    pattern: re.Pattern[str]


def _shapes(*rows: tuple[str, int, str]) -> tuple[Shape, ...]:
    return tuple(Shape(reason, weight, re.compile(pattern)) for reason, weight, pattern in rows)


ANYWHERE = _shapes(
    ("union_select", 2, rf"V[(#]*E|[UV]\(+E|[1s)q]U[(#]*E|[UV][#u]*E[u(a.]*({_LIST}|wBw|$)|U#+E"),
    ("union_select", 1, r"[1s)q#]U[(#]*$|^a?1#+.*U[#(]*$|[1s)]V"),
    ("tautology", 2, r"&[u(a]*1\)*(?:[a~][u(a]*1\)*)*=[u(a~]*[1qrvZfpg]|&[u(a]*s\)*=[u(a~]*[sqrvZfpg]"),
    ("tautology", 2, r"&[u(a]*[1s]\)*u?~u?[(a]*[1sqr]|&[u(a]*1u?i[1(]&?1?[#)&]|[1s]\)*=[(a]*[1s]\)*&[ua]*#"),
    ("tautology", 1, r"&[u(a]*[fgp][1sfgp,a(]+\)+[=~][u(a]*[1sqfgp]|&\(+[1s]\)+[#&]|^[s1]u?~[(u]*[1sq]|^s=q$|[1s)]&E"),
    ("probe", 2, r"[&=~a,(;EuKB1spfg][u(a]*F|F(?:[1s(]|[fFgpE]|Z)|F.*#|[E;=&(]T|T[s(]"),
    ("probe", 2, r"p[u(]*[pFZYE]|[fg][u(]*[ZY]|p[fg][u(]*[ZYE]|[&=a]\(*p[^)]*\)+[=~a]|p1=1"),
    ("probe", 1, r"F(?!w)|^[1s]a\(*[pf]|[1s)]a\(*p[^)]|&p1"),
    ("server_variable", 1, r"Y"),
    ("server_variable", 2, r"[&=~a,(EfFgp][YZ]|[YZ][)]*[=~]"),
    ("subselect", 2, rf"[&=~a,fFgpi;u1s]\(+E[u(a]*({_LIST}|wwB|$)|\(E[u(a]*([1svfFgpCZYS]|w,|w?wB|w\))"),
    ("subselect", 1, r"\(E[^e)]{1,40}B"),
    ("catalogue", 2, r"[B,Ua.(pfFg]C|C[B#]"),
    ("catalogue", 1, r"C"),
    ("row_probe", 2, r"[1s)v]O[1(][1,]*(?:#|$|;|B)|^[(a]*1[)]*O[1fpFgK(E]|O1[1,]*#|[1s)]\)*H"),
    ("row_probe", 2, r"H[(u]*(?:1[&=~]|1\)*(?:#|$)|s=|w=1)"),
    ("row_probe", 1, r"H\(*[1fp]\)*(?:$|#|[&=~)])|^w?O1[1,]*$"),
    ("case_probe", 2, r"[(&=,E]\(*K\(*K[u(]*[1fFpgs(w]|K\(*K\(*[1s]="),
)
"""What no context needs."""

WHOLE = _shapes(
    ("number_break", 2, rf"^[(a]*[1s]\)*{_STEP}*&{_BEFORE}{_OPERAND}\)*{_STEP}*;?#"),
    (
        "number_break",
        2,
        rf"^[(a]*[1v]\)*&[u(a]*{_OPERAND}\)*(?:a[u(a]*{_OPERAND}\)*)*u?[=~i][ui]*{_BEFORE}(?:{_OPERAND}|q)",
    ),
    ("number_break", 1, r"^a?[1v]\)*(?:&[ua]+[1w]\)*;?|&\(+(?:1|\([1w]\))\)*;?|&p.*)$"),
    ("number_break", 2, rf"^[)]*&{_BEFORE}{_OPERAND}?\)*(?:{_STEP})*=s?q?$"),
    ("number_break", 1, rf"^\)*&[u(a]*{_OPERAND}\)*u?[=~][u(a]*[1sZq]|^\)*&[u(a]*1\)*;?#"),
    ("comment_break", 1, r"^a?[1w]\)*;#"),
    ("select", 1, r"^\(*E[u(]*(?:S|[w1s](?:a?k?w?,|a[1w]?B)|[fFgp(Y1sv]|[1w]\)*BwB\w*[=~i])"),
)
"""The text typed where a number stands, or as a statement."""

TAIL = _shapes(
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
    ("union_select", 2, r"^[)]*[#]?[UV][(#]*(?:E|q)"),
    ("row_probe", 2, r"^[)]*(?:O[1(]|H|Ow[#;]|Bw?1(?:,1)?[#;])"),
)
"""The text behind a quote that ended a string."""

_NAME = r"[`\"\[]?\w[`\"\[\w.\]]*"
_STOP = r"(?:;|--|\#)"
_THING = r"(?:table|database|schema|view|user|function|procedure|index|trigger|role|login|column)"
_STATEMENT = (
    rf"drop\s+{_THING}\s+(?:if\s+exists\s+)?{_NAME}\s*(?:{_STOP}|\)|cascade|,|on\s+\w+\s*(?:{_STOP}|$))|drop\s+{_NAME}\s*;?\s*--"
    rf"|delete\s+(?:\w+\s+){{0,2}}?from\s+{_NAME}\s*(?:{_STOP}|where\s+(?:\S+\s*(?:[=<>]|like|in\b|is\b|between)|\d))"
    rf"|truncate\s+(?:table\s+)?{_NAME}\s*{_STOP}"
    rf"|(?:insert\s+(?:\w+\s+)?|replace\s+)into\s+{_NAME}\s*(?:\([^)]*\)\s*)?"
    r"(?:values?\s*\(|select\b|exec\b|set\s+\w+\s*=|default\s+values)"
    rf"|merge\s+into\s+\w+\s+(?:as\s+)?(?:\w+\s+)?using\b|update\s+{_NAME}\s+(?:\w+\s+)?set\s+{_NAME}\s*="
    rf"|alter\s+(?:table|database|user|role|login|system|session)\s+{_NAME}\s+(?:add|drop|modify|change|set|rename|alter"
    r"|with|identified|engine|convert|character|default|owner|enable|disable)\b"
    r"|create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+)?(?:table|view|index)\s+(?:if\s+not\s+exists\s+)?"
    rf"{_NAME}\s*(?:\(|as\s+select|on\s+\w+\s*\()"
    r"|create\s+(?:or\s+replace\s+)?(?:function|procedure|trigger)\s+[\w.]+\s*(?:\(|as\b|before|after|returns)"
    r"|create\s+(?:user|login|role|database|schema|extension)\s+['\"`]?[\w@.]+(?:\s+name)?['\"`]?\s*"
    rf"(?:{_STOP}|with\s+(?:password|login)|identified|for\s+login|password\b|@|superuser)"
    r"|grant\s+(?:all(?:\s+privileges)?|select|insert|update|delete|execute|dba|connect|\w+\s*,\s*\w+)\s+"
    r"(?:on\s+[\w.*`\"]+\s+)?to\s+\S+"
    r"|revoke\s+(?:(?:all(?:\s+privileges)?|select|insert|update|delete)\s+(?:on\s+(?:\w+\s+)?\S+\s+)?from|\w+\s+on\s+\S+\s+from)\s"
    r"|exec(?:ute)?\s*\(?\s*(?:immediate\b|@|\(|n?'|[\w.]*\b(?:xp|sp)_\w+|master\b|[\w.]+\s+@|as\s+(?:login|user)\b)"
    r"|declare\s+(?:@\w+|\w+\s+(?:as\s+)?(?:n?varchar|char|int|table|cursor|bit|datetime|number)\b)"
    r"|copy\s+\(?[\w.]+\s+(?:\([^)]*\)\s*)?(?:from|to)\s+(?:program\b|')|copy\s*\([^)]*\)\s*to\b"
    r"|load\s+(?:data|xml)\s+(?:local\s+)?infile|bulk\s+insert\s+\w+\s+from|backup\s+(?:database|log)\s+\w+\s+to"
    r"|restore\s+database\s+\w+\s+from|attach\s+database\s+['\"]|into\s+(?:out|dump)file\s*(?:['\"(@0\\/]|\w+\s*\(|$)"
    r"|waitfor\s+(?:delay|time)\b|shutdown\s+with\s+nowait|reconfigure\s*;|procedure\s+analyse|set\s+password\s+for\b"
    r"|set\s+(?:@\w+|global\s+\w+|session\s+\w+)\s*:?=|prepare\s+\w+\s+from\s+['@0]|handler\s+\w+\s+(?:open|read)\b"
    r"|use\s+\w+\s*;\s*\w|call\s+[\w.]+\(|do\s+\$|pragma\s+\w+|rename\s+table\s+\w+\s+to\b|kill\s+\d+\s*(?:;|--|$)"
    r"|comment\s+on\s+(?:table|column)\s+[\w.]+\s+is\b|desc(?:ribe)?\s+\w+\s*(?:;|--)|show\s+(?:grants\s+for|create\s+table)\b"
    r"|show\s+(?:databases|tables|grants|variables|processlist)\s*(?:;|--)"
    r"|explain\s+(?:analy[sz]e\s+)?(?:select|update|delete|insert)\b|vacuum\s+into\b|flush\s+(?:privileges|tables|hosts)\b"
    r"|lock\s+tables?\s+\w+\s+(?:write|read|in)\b|into\s+@\w|if\s*\(?\s*\d+\s*=|while\s+\d+\s*=|begin\s+(?:declare|exec|waitfor|shutdown|drop\s+table)\b"
)
_BARE = (
    rf"drop\s+{_THING}\s+(?:if\s+exists\s+)?{_NAME}|truncate\s+table\s+{_NAME}|delete\s+from\s+{_NAME}|shutdown"
    r"|rename\s+\w+\s+to\s+\w+|show\s+(?:databases|grants|processlist)|create\s+user\s+\w+\s+identified\b.*"
)
STATEMENT = re.compile(rf"\b(?:{_STATEMENT})|^\W*(?:{_BARE})\s*;?$")
"""A statement that writes, runs or reads what a question cannot mean; the barest only as the whole text."""
STACKED = re.compile(
    r";\s*(?:(?:drop|desc|describe|truncate|delete|insert|update|create|alter|exec(?:ute)?|call|print|select|shutdown|grant"
    r"|reset|flush|purge|analy[sz]e|vacuum|kill|declare|begin|commit|rollback|waitfor|replace|handler|reconfigure|use|do)\b"
    r"(?:\s*(?:$|--|\#|\(|@|'\S|\*|;)|\s+[\w.]+\s*(?:;|--|\#|\())"
    r"|(?:drop|truncate|create|alter|delete|insert|select|declare|if|begin|while)\b\s*"
    r"(?:table|database|view|index|schema|procedure|into|user|function|declare|exists|\(|\d|\w+\s*=|\w+\s*,\s*\w|(?:\w+\s+)?from\s+\w+\s*(?:;|--|$)))"
)
"""A second statement behind a semicolon."""
STACKED_TAIL = re.compile(
    r"[)\s]*;\s*(?:select|drop|delete|insert|update|create|alter|exec|execute|print|declare|shutdown|truncate|waitfor|grant"
    r"|begin|if|while|call|goto)\b"
)
"""The same behind a quote that ended a string."""
TEXTUAL = _shapes(
    ("executable_comment", 2, r"/\*m?!\s*\d{0,6}\s*\w"),
    ("comment_as_blank", 1, r"\w/\*[^*]{0,80}\*/\w|/\*\*/"),
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
    ("tautology", 1, r"\b(?:or|and)\s+\(*(\w+)\s*=\s*\(*\1\b"),
    ("in_boolean_mode", 1, r"\bin boolean mode\b|\bmatch\s*\(?\s*\w+\s*\)?\s*against\b"),
)
"""What only shows in the text."""
