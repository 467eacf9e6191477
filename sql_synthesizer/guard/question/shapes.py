"""The shapes of SQL that English does not have: of fingerprints, and of text where words matter.

A row says what it catches, so that its pattern can be read by example, and what it must let pass; tests hold it to
both, and to catching something that nothing else does. A pattern is searched in linear time but for those that begin
with ``^``, which are tried once. The letters of a fingerprint are explained in ``lexer``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Texts = tuple[str, ...]
Place = Literal["text", "anywhere", "typed", "quoted", "statement", "stacked", "behind", "alone"]
"""Where the shapes of a table are searched."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A sign of SQL: ``reason`` is given when ``pattern`` is found. ``weight``: 1 is a sign, 2 unmistakable.

    ``catches``: texts that it finds, of which at least one is judged less gravely without it. ``passes``: plain English
    next to these, which the whole guard lets pass.
    """

    reason: str
    weight: int
    pattern: str
    catches: Texts
    passes: Texts


def list_shapes(rows: Mapping[tuple[str, int, Texts], Mapping[str, Texts]]) -> tuple[Shape, ...]:
    """The shapes of a table that is written as reason, weight and what must pass -> pattern -> what it catches."""
    return tuple(
        Shape(reason, weight, pattern, catches, passes)
        for (reason, weight, passes), patterns in rows.items()
        for pattern, catches in patterns.items()
    )


_OPERAND = "(?>w(?:w(?=[),B#kK]))?|[1svCZYS])"
_BEFORE = "[u(aEKfFgp{.]*"  # NOT, brackets, signs, names of calls
_STEP = rf"(?>u?[&=~iaK,BOH]++[ua~iK(E{{fFgp]*+{_OPERAND}[)k}}]*+)"  # a statement goes on: operators and an operand
_CLOSE = r"^[)\]}.]*"
_LIST = r"[1svfFgpCZYS(q]|w[,.=#B)a(]"  # how a list of columns begins

ANYWHERE = list_shapes(
    {
        ("union_select", 2, ("which union members select a delegate", "union of 3 sets and select committees")): {
            r"V[(#]*E": ("staff union all select login",),
            r"[1s)q}]U[(#]*E": ("5 union select login", "{ts 1}union select a"),
            rf"[UV][#u]*E[u(a.]*({_LIST}|wBw|$)": ("teachers' union select login, hash from staff",),
        },
        ("union_select", 1, ("the unions of 5 firms",)): {r"[1s)q#]U[(#]*$": ("-1 union", "-1#\nunion")},
        ("tautology", 2, ("status = 'open' and total = 1", "stores 4 and 5 in 2020")): {
            # numbers or strings compared by sign behind OR
            r"&[u(a]*1\)*(?:[a~][u(a]*1\)*)*=[u(a~]*[1qrvZfpg]": ("a or 1=1",),
            r"&[u(a]*s+\)*=[u(a~]*[sqrvZfpg]": ("a or 'b'='b'",),
            r"&[u(a]*[1s]\)*u?~u?[(a]*[1sqr]": ("a or 1 like 1",),
            r"&[u(a]*1u?i[1(]&?1?[#)&]": ("a or 5 in (5)",),
        },
        ("tautology", 1, ("5 or more selected", "min (price) or max (price) like in may")): {
            # a call compared behind OR
            r"&[u(a]*[fgp][1sfgp,a(]+\)+[=~][u(a]*[1sqfgp]": ("floor(1) and sin(pi())=0",),
            r"s&u+1|[1s)]&E": ("'z' or not false", "5 or select a"),
            r"^[s1]u?~[(u]*[1sq]|^s=q$": ("1 div 2", "'x'!='y"),
        },
        ("probe", 2, ("hours of sleep (average) per patient", "position (rank) = 5 and hex colours")): {
            # a call that waits, reads files or fails: behind an operator, with a value; its name where a value stands
            r"[&=~a,(;EuKB1spfg][u(a]*F": ("1 procedure analyse()",),
            r"F[1s(fFgpEZ]": ("sleep(5)",),
            r"[E;=&(]T|T[s(]": ("select pg_sleep", "exec xp_cmdshell 'dir'"),
            # a character of a value compared, a condition inside IF
            r"[&=a]\(*p[^)]*\)+[=~a]|p1=1": ("1 || substr(user,1,1) = 'a'", "if(1=1,1,0)"),
        },
        ("probe", 1, ("delays by airport", "5 - 10 chars")): {
            r"F(?!w)": ("exec(@stored_proc @param)",),
            r"[1s)]a\(*p[^)]|&p1": ("1 - ord('a')", "x and char(124) user"),
        },
        ("server_variable", 1, ("write to sales@example.com",)): {r"Y": ("@@datadir",)},
        ("server_variable", 2, ("@home or @work",)): {
            r"[&=~a,(EfFgp][YZ]": ("length(version())", "select current_user")
        },
        ("subselect", 2, ("price (we select one)", "seats (selected from the map)")): {
            # SELECT in brackets: behind an operator, with a list or a clause
            rf"[&=~a,fFgpi;u1s]\(+E[u(a]*({_LIST}|wwB|$)": ("x = ( select",),
            r"\(E[u(a]*([1svfFgpCZYS]|w,|w?wB|w\))": ("(select login from staff)",),
        },
        ("subselect", 1, ("(selected ids)",)): {r"\(E[^e)]{1,40}B": ("(select id-0 from users limit 1)",)},
        ("catalogue", 2, ("tables from our schema",)): {r"[B,Ua.(pfFg]C": ("select from mysql.user",)},
        ("catalogue", 1, ("the data dictionary",)): {r"C": ("v$session of scott", "what does dba_tab_columns hold?")},
        ("row_probe", 2, ("top 5 order by revenue", "customers having orders > 5")): {
            r"[1s)v]O[1(][1,]*(?:[#;B]|$)": ("order 12 group by 1",),
            r"^[(a]*1[)]*O[1fpFgK(E]": ("1 order by ifnull(null,userid)",),
            r"[1s)]\)*H": ("'x' having true",),
        },
        ("row_probe", 1, ("stores having 5 tills",)): {r"H\(*[1fp&u]+\)*[#=~)]": ("id having (true or 1)",)},
        ("case_probe", 2, ("in case when = 5",)): {r"K\(*K\(*[1s]=": ("(case when 1=1 then a else b end)",)},
    }
)
"""What no context needs: in the fingerprint of the text as typed, and from behind each quote."""

TYPED = list_shapes(
    {
        ("number_break", 2, ("5 or 6 of the items -- by store", "5 or more in stock", "and those > 5")): {
            # a literal, a condition behind it, and a comment for the rest
            rf"^[(a]*(?:1|s(?=[^#]*[=~iEFfgp]))\)*{_STEP}*&{_BEFORE}{_OPERAND}\)*{_STEP}*;?#": ("((1) or (1 or 1))--",),
            # a number, and a comparison behind OR
            rf"^[(a]*[1v]\)*&[u(a]*{_OPERAND}\)*(?:a[u(a]*{_OPERAND}\)*)*"
            rf"u?[=~i][ui]*{_BEFORE}(?:{_OPERAND}|q)": ("5 or total like '%'", "1 or '1'!=0"),
            # OR in front, and a comparison that is open or has an open string
            rf"^[)]*&{_BEFORE}{_OPERAND}?\)*{_STEP}*=s?q?$": ("or 'a' <",),
        },
        ("number_break", 1, ("(1) and (2)", "5 or no answers", "version 5")): {
            # a number, and a single operand or a call behind OR
            r"^a?[1v]\)*(?:&(?:[ua]+[1w]\)*;?|\(+(?:1|\([1w]\))\)*;?)$"
            r"|&[fpg])": ("1 or not 0", "1 or (1)", "1 or f(x)"),
            r"^Z[;#]*$|^p[1s][,1s]*\)$": ("version()", "char(65)"),
        },
        # a literal, few clauses and a comment as the end
        ("comment_break", 1, ("5 = my x -- why?",)): {r"^a?[1s]\)*(?=.*[OBkHU(=~&])[^#e]{0,30};?#a?$": ("42 = 0--",)},
        ("select", 1, ("select the best stores", "select 5 stores by size")): {
            # nothing but a SELECT: with a star, a list, a call, or a table and a condition
            r"^\(*E[u(]*(?:S|[w1s](?:a?k?w?,|a[1w]?B)|(?:[fFgp(Ysv]|1(?!w))(?!.*e.?e)"
            r"|[1w]\)*BwB\w*[=~i])": ("select 1", "select max(price) from products"),
        },
    }
)
"""The fingerprint of the text as typed, where a number stands or a statement."""

QUOTED = list_shapes(
    {
        ("quote_break", 2, ("the 70's and 80's -- by decade", "o'brien and d'angelo", "'70s or '80s hits")): {
            # a comparison or a call, and a comment for the rest
            rf"{_CLOSE}(?=[^#]*[&=~ipfFgE]){_STEP}+[;)]*#": ("aa'!=ascii(1)#(",),
            # a comparison, and a string that stays open
            rf"{_CLOSE}(?=.*[=~i]){_STEP}*u?[&=~ia,]+{_BEFORE}s*q$": ("a' = 'b", "a' rlike 'b"),
            # OR and a comparison up to the end, or without its end
            rf"{_CLOSE}(?=.*[=~ip])(?=.*&){_STEP}+;?$": ("' or id > 1",),
            rf"{_CLOSE}(?:&{_BEFORE}{_OPERAND}?\)*=$|{_STEP}+;)": ("x' or 0>", "' or true; a"),
        },
        ("quote_break", 1, ("dogs' -- by breed", "the '70s and '80s", "girls' and boys' 5")): {
            # operators, and a comment for the rest or a string that stays open
            rf"{_CLOSE}{_STEP}+[;)]*#": ("x'-email--",),
            rf"{_CLOSE}{_STEP}*[&ai,]+{_BEFORE}s*q$": ("'-'",),
            # a single condition up to the end
            rf"{_CLOSE}(?:&{_BEFORE}[1sv]\)*;?|u?[=~]{_BEFORE}[1svw]\)*;?)$": ("x' or true", "x' div 1"),
            rf"{_CLOSE}&(?:w(?:a[ua]*[1w])+$|[u(]*[1sv]\)*a[ua]*[rq])": ("x' or day*0", "1' or 1&\"1"),
        },
        ("comment_break", 2, ("the girls' -- and boys",)): {r"^(?:[)]+;?|;)#": ("admin') --", "1 <> '';--")},
        ("comment_break", 1, ("o'b -- x",)): {r"^[)]*[&=~iBOHUu;K,wg][^#eqr]{0,14}#a?$": ("x' for update/*",)},
        ("row_probe", 2, ("girls' order by 9am",)): {r"^[)]*(?:O[1(]|H|Ow[#;]|Bw?1(?:,1)?[#;])": ("c' order by 99",)},
    }
)
"""The fingerprint of the text from behind a quote that ended a string."""

# words that stand next to a comment where SQL has a blank
_KEY = r"(?:union|select|all|distinct|x?or|and|not|like|in|is|order|group|by|from|where|having|limit|null|sleep|drop)"
TEXT = list_shapes(
    {
        ("executable_comment", 2, ("a /* new */",)): {r"/\*m?!\s*\d{0,6}\s*\w": ("9 or {if f((/*!5000select a",)},
        ("comment_as_blank", 1, ("src/**/*.py, tests/**/*.sql: number of files", "sales -- and returns -- by day")): {
            # a comment where SQL has a blank
            rf"(?:[\d'\"`)]|\b{_KEY})/\*[^*]{{0,80}}\*/": ("root@example.com'/* comment */;",),
            rf"/\*[^*]{{0,80}}\*/(?:{_KEY}\b|['\"(])": ("-1#union ##\n#/\n/**/union#--",),
            # a condition behind a comment
            r"(?:--|#|/\*)\s*(?:and|or|where)\s+[\w.]+\s*(?:[=<>]|!=|in\s*\(|like\s|is\s)": ("x '7' -- and y = 3",),
        },
        ("character_codes", 2, ("chr (5, 6) and char limits",)): {
            # a text spelled in codes
            r"\bn?cha?r\s*\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,": ("char(97,100,109)",),
            r"\bn?cha?r\s*\(\s*\d{1,3}\s*\)\s*(?:\|\||\+|,|&)\s*n?cha?r\s*\(": ("chr(11)||chr(12)",),
        },
        ("json_operator", 2, ("json files (by size)",)): {
            r"'\s*::\s*jsonb?\b": ("'[\"a\"]'::jsonb #- '{1}'",),
            r"\bjson_\w+\s*\(\s*'[\[{]": ("json_extract('{\"a\":1}','$.a')",),
        },
        ("comment_break", 1, ("the nurses' union -- by year", "sales; -- by region", "by name desc -- top 10")): {
            r"\w['\"`]\)*;?(?:--|#|/\*)": ("user named 'admin'--' please",),
            # a quote or a semicolon, and a comment as the end
            r"['\"`][\s);]*(?:--|#|/\*)[\s+#-]*\S?$|;\s*(?:--|#)[\s-]*$": ("admin' --", "1 * 1;--"),
            # a quote, few words and a comment as the end
            r"(?<!s)['\"`][)\]}]*(?:\s[^'\"`\n]{1,40})?(?:--|#)(?!['\"])\W*$": ("abc' raise --",),
            # a clause that ends a statement, and a comment as the end
            r"\b(?:(?:limit|offset)\s+\d+(?:\s*,\s*\d+)?|asc|desc|nulls\s+(?:first|last)|only)\s*;?\s*"
            r"(?:--|#|/\*)\W*\w?$": ("name desc--", "abc' asc/*"),
        },
        ("number_break", 1, ("5 or 6", "1 or 2 bedrooms", "games that stood 1/0")): {
            # a number and a truth value behind OR
            r"^\W*\d+\)*\s*(?:or|\|\||x?or)\s+(?:not\s+)?(?:true|false)\b": ("1 or true",),
            # two numbers
            r"^\W*(\d+) x?or \1\W*$|^[01] (?:x?or|and) [01]\W*$": ("5 or 5", "1 xor 0"),
            r"^\W*\d*\s*(?:\|\||&&)\s*'?\d+\W*$": ("1 && 1",),
            # nothing but an operator and a truth value
            r"^(?:and|or|where|\|\|)\s+(?:not\s+)?(?:[01]|true|false)[^\w?]*$": ("or true--",),
            # a division by zero as an operand
            r"(?:^|[(|,=+-]|\b(?:and|or)\s)\s*1/0(?:\W*$|[)|,#;-]|\s*(?:--|=))": ("1 and 1/0",),
        },
        ("quote_break", 1, ("()", "?")): {r"^(?=.*['\"`])[\s'\"`()\\;,\[\]{}]{2,}$": ("')",)},
        ("clause_break", 1, ("5 for updates", "conflicts on duplicate keys", "names like 'a%'")): {
            # a number, and a clause that prose cannot go on with
            r"^\W*\d+\W*\s(?:for\s+(?:update|xml|json)\b|window\s+\w+\s+as|returning\s|or\s+[01]$)": ("1 for update",),
            # clauses of which no question has the words
            r"\b(?:lock\s+in\s+share\s+mode|with\s+rollup\W*$|on\s+conflict\s+(?:do\b|\()|on\s+duplicate\s+key\s+update"
            r"|tablesample\s+\w+\s*\(|fetch\s+(?:first|next)\s+(?:\d+\s+)?rows?\s+only|with\s+query\s+expansion"
            r"|in\s+boolean\s+mode)\b": ("1 on duplicate key update x", "1 in boolean mode#"),
            # every value is like %
            r"\b(?:or|and)\s+\S+\s+like\s+(?:'%+'|\"%+\")": ("orders or a.b like '%'",),
        },
        ("null_byte", 1, ("up 5 %00",)): {r"(?<!\s)%00": ("abc%00",)},
        ("tautology", 1, ("a = b", "score 5=5 points")): {
            # a word or a number compared with itself
            r"\b(?:or|and|where)\s+\(*(\w+)\s*=\s*\(*\1\b": ("or a=a",),
            r"^\W*(\w+)\W{0,3}=\W{0,3}\1\W*$": ("8310=8310",),
            r"(?<=\s)(\d+)=\1\b(?!\s*[\w.(])": ("1 group by id having 1=1",),
        },
        ("cast", 1, ("level 1::integration",)): {
            # a value with a type of PostgreSQL
            r"['\"\d)]\s?::\s?(?:int\d?|integer|text|numeric|varchar|jsonb?|regclass|bigint|bool)\b": ("-1::int",),
        },
        ("doubled_keyword", 1, ("1 selected",)): {r"\bs[elc]{0,4}select[elct]{1,5}\b": ("1 selselectect 2",)},
        ("statement", 1, ("use of shops; by year",)): {
            # a verb of SQL, few names and a semicolon
            r"^[^\w\\.!:@]*(?:use|table|vacuum|analy[sz]e|commit|rollback|select|show|describe|execute|cluster|listen"
            r"|unlisten|notify|begin|go|end|abort|checkpoint|close|fetch)\b[\w.\s\"`]*;\s*$": ("begin;", "use shop;"),
        },
    }
)
"""What only shows in the text."""

TABLES: dict[Place, tuple[Shape, ...]] = {"text": TEXT, "anywhere": ANYWHERE, "typed": TYPED, "quoted": QUOTED}
