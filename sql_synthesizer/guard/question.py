"""Is a typed question an attack? A first filter that looks at shapes; the boundary is the statement guard."""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_plus

from sql_synthesizer.errors import InvalidRequest, QuestionEmpty, QuestionRefused, QuestionTooLong

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_ENCODED = re.compile(r"%[0-9a-f]{2}|&#?\w{2,8};", re.IGNORECASE)
_EXECUTABLE_COMMENT = re.compile(r"/\*!\d*|\*/")
_COMMENT = re.compile(r"/\*.*?(\*/|$)", re.DOTALL)
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class _Rule:
    """``words``: one of these has to occur in the lower-case text before the pattern is tried."""

    name: str
    words: tuple[str, ...]
    pattern: re.Pattern[str]


def _rule(name: str, words: str, pattern: str) -> _Rule:
    return _Rule(name, tuple(words.split()), re.compile(pattern, re.VERBOSE))


_SQL = (
    _rule(
        "union_select",
        "union",
        r"\bunion\b[\s(]*(all\b|distinct\b)?[\s(]*select\b[\s(]*"
        r"([\w@'\"*.`]+\s*(,|\(|--|\#|$)|.{0,300}?\bfrom\b|\d|null|@)",
    ),
    _rule(
        "tautology",
        "or and || && xor",
        r"(['\"`)%]\s*(or|and|xor|\|\||&&)\s*(not\s+)?[('\"\s]*(\w+)['\")\s]*(=|<|>|!=|\b(like|is|regexp)\b)\s*['\"(]*\w+\s*(['\"(]|--|\#|/\*|$))"
        r"|(\b(or|and|xor)\s+\(*(?P<q>['\"]?)(?P<n>\d+)(?P=q)\s*=\s*\(*(?P=q)(?P=n)(\D|$))",
    ),
    _rule(
        "stacked",
        ";",
        r";\s*(drop\s+(table|database|view|user|schema|index|function)\s+(if\s+exists\s+)?\w+(?![\w\"])|delete\s+from|truncate\s+(table\s+)?\w+\s*(;|--|$)"
        r"|insert\s+into|update\s+\w+\s+set\b|alter\s+(table|user|database)|create\s+(table|user|database|function)"
        r"|exec(ute)?[\s(]+(xp_|sp_|master|immediate|@|\()|declare\s+[@\#]|shutdown\s*(;|--|$|with)|waitfor\s+delay"
        r"|select\s+(\w+\s*\(|@@|\*|.{1,300}?\bfrom\b)|grant\s+\w+.{0,100}?\bto\b|copy\s+\w+\s+(from|to)\b|load\s+xml\b|set\s+@)",
    ),
    _rule("comment_after_quote", "-- # /*", r"\w['\"][\s)]*(--[\s-]*|\#\s*|/\*\s*|;\s*--.*)$"),
    _rule(
        "time_delay",
        "sleep( sleep waitfor benchmark receive_message",
        r"\b(pg_)?sleep\s*\(\s*\(?['\"]?\d|\bpg_sleep\b|\bwaitfor\s+(delay|time)\s*['\"]|\bbenchmark\s*\(\s*\d{3,}|receive_message\s*\(",
    ),
    _rule(
        "probe_function",
        "( @@",
        r"\b(extractvalue|updatexml|load_file|xp_cmdshell|xp_dirtree|json_keys|make_set|utl_http\.request|utl_inaddr\.\w+"
        r"|ctxsys\.\w+|dbms_\w+\.\w+|randomblob|xmltype|procedure\s+analyse|char_length|hex)\s*\(\s*(\(|0x|select|concat|\d)"
        r"|\b(ascii|ord|substr|substring|mid|length|concat|concat_ws|group_concat|char|chr)\s*\(+\s*(\(|select\b|version\(|user\(|database\(|0x)"
        r"|\b(chr|char)\(\d+\)\s*(\|\||\+)|\b(select|and|or|=|,)\s*\(*@@\w+|\(\s*select\b.{1,300}?(\bfrom\b|\)\s*(=|>|<|and|or|--|\|\|))",
    ),
    _rule(
        "file_access",
        "outfile dumpfile xp_cmdshell load_file",
        r"\binto\s+(out|dump)file\b|\bxp_cmdshell\b\s*['\"(]|\bload_file\s*\(",
    ),
    _rule(
        "row_probe",
        "order group having",
        r"(^|[\d'\")])\s*(order|group)\s+by\s+\d+\s*(--|\#|$|/\*)|\bhaving\s+['\"(]*\d+['\")]*\s*[=<>]\s*['\"(]*\d",
    ),
    _rule(
        "written_statement",
        "table from into set database",
        r"\bdrop\s+(table|database)\s+(if\s+exists\s+)?\w+\s*(;|--)|^\s*(drop|truncate|alter)\s+(table|database)\s+`?\w+`?\s*(;|$|add\b|change\b)"
        r"|\bdelete\s+from\s+\w+\s+where\s+\S+\s*=|\bupdate\s+\w+\s+set\s+\w+\s*=\s*|\binsert\s+into\s+\w+\s*(\([^)]*\)\s*)?values\s*\(",
    ),
    _rule(
        "schema_probe",
        "information_schema sysobjects sqlite_master pg_catalog pg_shadow",
        r"\b(from|join|into)\s+[`\"(]*(information_schema|sysobjects|sqlite_master|pg_catalog|pg_shadow)\b",
    ),
)
_STEERING = (
    _rule(
        "override",
        "ignore disregard forget override bypass",
        r"\b(ignore|disregard|forget|override|bypass)\b\s+(\w+\s+){0,4}?(previous|prior|above|earlier|preceding|initial|original|your|these|system|safety)\s+"
        r"(\w+\s+){0,3}?(instructions?|rules?|prompts?|guidelines?|directions?|restrictions?|directives?|orders\.)(?!\s+(per|by|of|for|on|from|in)\b)",
    ),
    _rule(
        "role_play",
        "jailbreak jailbroken dan act pretend mode anything roleplay",
        r"\b(you\s+are\s+now\s+(dan|an?\s+(unrestricted|unfiltered|evil|different|admin\w*|sql)|in\s+(developer|debug|admin|god)\s+mode)|do\s+anything\s+now"
        r"|(act|behave|respond|roleplay)\s+as\s+(if\s+you\s+(had|have|were)|an?\s+(unrestricted|unfiltered|evil|admin|root|dba|database\s+admin|linux|shell|terminal)|dan\b)"
        r"|pretend\s+(that\s+)?(you\s+(are|have)|to\s+be)\s+(no\s+|an?\s+)?(\w+\s+)?(unrestricted|restrictions|admin\w*|dba|root|rules|filters|evil|hacker)"
        r"|(enable|enter|activate|switch\s+to|you\s+are\s+in)\s+(developer|debug|god|jailbreak|dan)\s+mode)\b",
    ),
    _rule(
        "prompt_leak",
        "prompt instruction instructed message",
        r"\b(reveal|show|print|repeat|output|display|give|tell|leak|dump|translate|write|summari[sz]e|encode|list|what\s+(is|are|were))\s+(\w+\s+){0,4}?"
        r"(your|the)\s+((initial|hidden|original|system|secret|full|first|above|previous|exact|complete)\s+)+(system\s+)?(prompts?|instructions?|messages?)(?!\s+(per|by|of|for|on|from|in|completed)\b)"
        r"|\b(show|reveal|print|repeat|tell\s+me|what\s+(is|are))\s+(\w+\s+){0,3}?your\s+(prompt|instructions|system\s+\w+|rules)\b|my\s+(initial\s+|system\s+)?(instructions|prompt)\s+(are|is)\s*:",
    ),
)
_WRITING = (
    _rule(
        "write_request",
        "table database schema",
        r"^(please\s+|now\s+)?(drop|truncate|wipe|erase|destroy|rename)\s+((the|whole|entire|all|every)\s+)*(\w+\s+)?(table|database|schema)\b",
    ),
)
_SQL_SIGNS = re.compile(
    r"[;=@#%]|--|/\*|\|\||&&|\(|union|sleep|waitfor|benchmark"
    r"|outfile|dumpfile|xp_|(?:order|group) by \d|having|table|schema|from|['\"`)]\s*(?:or|and|xor)\b"
)
_STEERING_WORDS = re.compile(
    r"ignore|disregard|forget|override|bypass|jailbreak|jailbroken|\bdan\b|\bact\b|pretend|mode\b|anything now"
    r"|roleplay|prompt|instruct|message"
)


class QuestionGuard:
    """Cleans the text of a question and refuses what has the shape of an attack."""

    def __init__(self, *, max_chars: int) -> None:
        self.max_chars = max_chars

    def check(self, text: str) -> str:
        """The text in normal form (NFC), trimmed.

        Raises QuestionEmpty, QuestionTooLong, InvalidRequest for control characters, and QuestionRefused.
        """
        if len(text) > self.max_chars:
            raise QuestionTooLong(f"The question is longer than {self.max_chars:,} characters.")
        if _CONTROL.search(text):
            raise InvalidRequest(
                "The question contains control characters.",
                hint="Type the question again, as plain text.",
                details={"rule": "control_character"},
            )
        cleaned = unicodedata.normalize("NFC", text).strip()
        if not cleaned:
            raise QuestionEmpty
        if len(cleaned) > self.max_chars:
            raise QuestionTooLong(f"The question is longer than {self.max_chars:,} characters.")
        for form in _forms(cleaned):
            _judge(form)
        return cleaned


def _judge(form: str) -> None:
    if _SQL_SIGNS.search(form) and (rule := _match(_SQL, form)):
        raise QuestionRefused(event="sql_injection_attempt", details={"layer": "shape", "rule": rule})
    if _STEERING_WORDS.search(form) and (rule := _match(_STEERING, form)):
        raise QuestionRefused(event="prompt_injection_attempt", details={"layer": "shape", "rule": rule})
    if rule := _match(_WRITING, form):
        raise QuestionRefused(event="suspicious_input", details={"layer": "shape", "rule": rule})


def _match(rules: tuple[_Rule, ...], form: str) -> str | None:
    for rule in rules:
        if any(word in form for word in rule.words) and rule.pattern.search(form):
            return rule.name
    return None


def _forms(text: str) -> list[str]:
    """The lower-case text as it stands, and as a server behind decoders and comment strippers would read it."""
    plain = _SPACE.sub(" ", text).lower()
    forms = [plain]
    if not text.isascii():
        plain = _SPACE.sub(" ", _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))).strip().lower()
        forms.append(plain)
    decoded = plain
    for _ in range(2):
        if _ENCODED.search(decoded):
            decoded = html.unescape(unquote_plus(decoded))
    if "/*" in decoded:
        decoded = _COMMENT.sub(" ", _EXECUTABLE_COMMENT.sub(" ", decoded) if "/*!" in decoded else decoded)
    if decoded != plain:
        forms.append(_SPACE.sub(" ", decoded).strip().lower())
    return list(dict.fromkeys(forms))
