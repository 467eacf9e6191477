"""Statements and client commands typed where a question is expected, one row a kind.

``STATEMENT`` is found anywhere, so it takes words that English does not put together; ``ALONE`` is the whole text, so
that a verb with its object is enough.
"""

from __future__ import annotations

from sql_synthesizer.guard.question.shapes import Place, Shape, list_shapes
from sql_synthesizer.model.dialects import DIALECTS

_NAME = r"[`\"\[]?\w[`\"\[\w.\]]*"
_STOP = r"(?:;|--|\#)"
_OWN_CLIENTS = "|".join(sorted({client for row in DIALECTS.values() for client in row.clients}))
# what a statement drops, creates or alters
_OBJECT = (
    r"(?:table(?:space)?|database|schema|(?:materialized\s+)?view|user|role|login|function|procedure|index|trigger"
    r"|column|sequence|extension|constraint|domain|type|policy|publication|subscription|language|server|event|rule"
    r"|aggregate|operator|cast|synonym|package|foreign\s+\w+|text\s+search\s+\w+)"
)
_WORDY = r"(?:of|for|by|with|in|that|which|showing|the|from|to|and|or|is|are|at|on)\b"  # behind a verb in prose
# the type of a variable
_TYPE = (
    r"(?:n?varchar2?|n?char|n?text|(?:big|small|tiny)?int(?:eger)?|table|cursor|bit|date(?:time)?|numeric|decimal)\b"
)

_NOUNS = (
    "drop rate of products, deleted orders, inserts into stock, updates of prices",
    "users who alter table settings, grants to schools, copies to print",
    "Declare @home as workplace? Number of remote staff",
    "orders that wait for a delay, shutdown with notice; explain the selection",
)
STATEMENT = list_shapes(
    {
        ("statement", 1, _NOUNS): {
            # rows that go: DROP with an end or a list, TRUNCATE with an end, DELETE with an end or a condition
            rf"drop\s+{_OBJECT}\s+(?:if\s+exists\s+)?{_NAME}\s*(?:{_STOP}|\)|cascade|,|on\s+\w+\s*(?:{_STOP}|$))"
            rf"|delete\s+(?:\w+\s+){{0,2}}?from\s+{_NAME}\s*(?:{_STOP}|(?:using|returning)\b"
            r"|where\s+(?:\S+\s*(?:[=<>]|like|in\b|is\b|between)|\d))"
            rf"|truncate\s+(?:table\s+)?{_NAME}\s*(?:{_STOP}|cascade|restart)"
            rf"|drop\s+{_NAME}\s*;?\s*--": ("drop sampletable;--", "products; delete from products where 1=1"),
            # rows that come: INSERT with values
            rf"(?:insert\s+(?:\w+\s+)?|replace\s+|upsert\s+)into\s+{_NAME}\s*(?:\([^)]*\)\s*)?"
            r"(?:values?\s*\(|select\b|exec\b|set\s+\w+\s*=|default\s+values)": ("replace into users values (1)",),
            # rows that change: UPDATE with SET, MERGE
            rf"update\s+(?:top\s*\(\d+\)\s+|only\s+|ignore\s+)?{_NAME}\s+(?:\w+\s+)?set\s+{_NAME}\s*="
            r"|merge\s+into\s+\w+\s+(?:\w+\s+)?using\b": ("cars where colour is red; merge into cars using x",),
            # definitions that come or change
            rf"alter\s+(?:table|database|user|role|login|system|session)\s+{_NAME}\s+(?:add|drop|modify|change|set"
            r"|rename|alter|with|identified|engine|convert|character|default|owner|enable|disable|superuser|createdb"
            r"|nologin)\b|create\s+(?:\w+\s+){0,2}?(?:function|procedure|trigger)\s+[\w.]+\s*(?:\(|as\b|before|after"
            rf"|returns)|alter\s+{_OBJECT}\s+{_NAME}\s+(?:rename\s+to|restart\s+with|increment\s+by|rebuild|owner\s+to)\b"
            rf"|create\s+(?:\w+\s+){{0,3}}?(?:table|view)\s+{_NAME}\s*(?:\(|as\s+select)|refresh\s+materialized\s+view\b"
            r"|rename\s+table\s+\w+\s+to\b"
            r"|alter\s+system\s+(?:set|flush)\b": ("alter sequence s restart with 1", "alter system set x = 1"),
            # procedures
            r"exec(?:ute)?\s*\(?\s*(?:immediate\b|@|\(|n?'|[\w.]*\b(?:xp|sp)_\w+|master\b|[\w.]+\s+@"
            r"|as\s+(?:login|user)\b)|call\s+[\w.$]+\(": ("exec(@stored_proc @param)", "call p()"),
            # variables
            rf"declare\s+@?\w+\s+(?:as\s+)?{_TYPE}|set\s+(?:@\w+|global\s+\w+|session\s+\w+)\s*:?="
            r"|prepare\s+\w+\s+from\s+['@0]": ("declare @x int", "prepare s from 'x'", "set @x = 1"),
            # rights
            r"revoke\s+(?:(?:all(?:\s+privileges)?|select|insert|update|delete)\s+(?:on\s+(?:\w+\s+)?\S+\s+)?from"
            r"|\w+\s+on\s+\S+\s+from)\s|(?:grant|deny)\s+(?:all(?:\s+privileges)?|select|insert|update|delete|execute"
            r"|dba|connect|\w+\s*,\s*\w+)\s+(?:on\s+(?:\w+\s+)?[\w.*`\"]+\s+)?to\s": (
                "deny select on pay to auditors",
            ),
            # files
            r"copy\s+\(?[\w.]+\s+(?:\([^)]*\)\s*)?(?:from|to)\s+(?:program\b|std(?:in|out)\b|')"
            r"|load\s+(?:data|xml)\s+(?:\w+\s+)?(?:local\s+)?infile|into\s+(?:out|dump)file\s*(?:['\"(@0\\/]|\w+\s*\(|$)"
            r"|restore\s+database\s+\w+\s+from|attach\s+(?:database\s+)?['\"]": (
                "copy a to program 'b'",
                "into outfile '",
            ),
            # what waits, stops or locks
            r"lock\s+tables?\s+\w+\s+(?:write|read|in)\b|flush\s+(?:privileges|tables|hosts)\b|handler\s+\w+\s+open\b"
            r"|waitfor\s+(?:delay|time)\b|shutdown\s+with\s+nowait": ("' waitfor delay '", "handler users open"),
            # what looks at the database
            r"pragma\s+\w+|comment\s+on\s+(?:table|column)\s+[\w.]+\s+is\b|show\s+(?:grants\s+for|create\s+table)\b"
            r"|explain\s+(?:analy[sz]e\s+)?(?:select|update|delete|insert)\b": ("pragma database_list",),
        }
    }
)
"""A statement that writes, runs or reads what a question cannot mean; unmistakable behind a quote or a semicolon."""

_VERBS = (
    "create index of prices by month",
    "show tables reserved on friday",
    "start work in may, commits by author, grant money to schools",
    "vacuum cleaners sold with values (gross)",
    "table reservations",
)
ALONE = list_shapes(
    {
        ("statement", 1, _VERBS): {
            # definitions: a verb, the object word that makes it SQL, and a name
            rf"create\s+(?:or\s+replace\s+)?(?:\w+\s+){{0,2}}?{_OBJECT}\s+(?:if\s+not\s+exists\s+)?(?!{_WORDY})"
            rf"['`\"]?{_NAME}['`\"]?(?:$|\s*[(@]|\s+(?:as|for\s+(?:each|login|user)|start|from|on|foreign|url|with"
            r"|identified|connect|location|login|superuser|increment|handler|before|after)\b)"
            rf"|(?:truncate(?:\s+table)?|delete\s+from|undrop\s+{_OBJECT}|reindex(?:\s+\w+)?)\s+{_NAME}$"
            rf"|drop\s+{_OBJECT}\s+(?:if\s+exists\s+)?(?!{_WORDY}){_NAME}(?:\s*\([^()]*\))?"
            r"(?:\s+(?:cascade|restrict|on\s+\w+))?$": ("drop procedure p", "create extension x", "undrop table cards"),
            # owners, rights and procedures
            r"security\s+label\s+on\b|import\s+foreign\s+schema\b|install\s+plugin\s|grant\s+\w+\s+to\s+\w+$"
            r"|revoke\s+\w+\s+from\s+\w+$|(?:exec(?:ute)?\s+)?(?:sp|xp)_\w+"
            r"|(?:drop|reassign)\s+owned\s+by\b": ("reassign owned by bob to joe", "security label on x", "sp_who"),
            # transactions
            r"(?:commit|rollback)(?:\s+(?:work|tran(?:saction)?|to\s+(?:savepoint\s+)?\w+|prepared\s.*))?$"
            r"|(?:begin|start)\s+(?:tran|transaction|work)(?:\s+(?:isolation|read|with)\b.*)?$"
            r"|(?:release\s+)?savepoint\s+\w+$": ("begin transaction", "commit", "savepoint a"),
            # sessions and their settings
            r"set\s+(?:role\s+\w+$|session\s+(?:authorization|characteristics)|(?:local|global|session)\s+\w+\s+to\b"
            r"|transaction\s+(?:isolation|read)|(?:autocommit|names|search_path|sql_\w+|row_security"
            r"|foreign_key_checks)\b)|use\s+(?:mysql|information_schema|sys|performance_schema)$"
            r"|fetch\s+(?:next|prior)\s+from\b|deallocate\s+(?:prepare\s+)?\w+$"
            r"|reset\s+(?:role|all|master|slave|replica)$": ("deallocate prepare s", "set names utf8", "reset all"),
            # what looks at the database
            r"show\s+(?:full\s+)?(?:tables|databases|schemas|grants|processlist|privileges|engines|search_path"
            r"|server_version|binary\s+logs|variables|(?:global|session)\s+(?:variables|status)"
            rf"|(?:master|slave|replica|table|procedure|function)\s+status|(?:columns|fields|index(?:es)?|keys)\s+"
            rf"(?:from|in)\s+{_NAME}.*|create\s+\w+\s+\w+)(?:\s+(?:from|like|where)\s+\S.*)?$"
            r"|describe\s+(?:(?:table|formatted|extended|database)\s+[\w.`\"]+|\w+[_.]\w+|\w+(?<!yourselve)s)$"
            r"|explain\s+(?:plan\s+for|query\s+plan|extended|verbose|format\s*=|\()"
            r"|desc\s+(?!by\b)[\w.`\"]+$": ("show full columns from members", "desc users", "describe products"),
            # what keeps the database in order
            rf"(?:optimize|repair|checksum|analy[sz]e)\s+table\s+{_NAME}$|detach\s+database\s+\w+|unlock\s+tables$"
            r"|vacuum\s+(?:full|analy[sz]e|freeze|verbose|into\s+\S+)(?:\s+\w+)?$|shutdown(?:\s+(?:immediate|abort))?$"
            r"|purge\s+(?:binary|master)\s+logs|discard\s+(?:all|plans|temp|sequences)$|cluster\s+\w+\s+using\s+\w+_\w+$"
            r"|notify\s+\w+\s*,|kill\s+(?:(?:query|connection)\s+)?\d+$|checkpoint$": ("checkpoint", "kill query 5"),
            # queries without a SELECT in front, or too plain for a list
            r"with\s+(?:recursive\s+)?\w+\s*(?:\([^)]*\)\s*)?as\s+(?:(?:not\s+)?materialized\s+)?\(\s*(?:\("
            r"|(?:select|delete|insert|update|values|with)\b)|select\s+(?:distinct\s+\w+|\w+\s+as\s+\w+)\s+from\s+\w+$"
            r"|values\s*\(\s*(?:[\d'\"@]|current|null|default|row|user|session|version)"
            r"|select\s+(?:(?:distinct|all)\s+)?\w+(?:_|\.)[\w.*]+\s+from\s+\w+$"
            r"|table\s+(?:\w+_\w+|\w+\.\w+)$": ("with x as (values (1)) table x", "values (1, 2)", "table a_b"),
            # commands of a database's own client
            rf"(?:sqlcmd|sqlplus|{_OWN_CLIENTS}|sqlmap(?:\.py)?)\s+"
            r"(?:\S+\s+){0,6}--?\w|\.(?:tables?|schema|fullschema|dump|databases|dbinfo|shell|system|read|load|import"
            r"|output|open|once|excel|backup|restore|clone|save|index(?:es)?|archive|headers?|mode)\b"
            r"|source\s+[\w~.-]*[/\\]\S*$"
            r"|\\(?:(?![nrtbw]\b)[a-z]{1,5}|[!?.])\+?(?:\s|;|$)": (r"\d+ users", ".schema x", "psql -c 'x'"),
        }
    }
)
"""A text that is nothing but a statement, or a command to a database's own client; a semicolon may end it."""

# the verbs that a second statement may begin with
_VERB = (
    r"(?:select|drop|desc|describe|delete|insert|update|create|alter|exec|execute|print|declare|shutdown|truncate"
    r"|waitfor|grant|begin|if|while|call|revoke|deny|merge|upsert|replace|rename|copy|load|attach|detach|pragma|vacuum"
    r"|reindex|cluster|refresh|analy[sz]e|optimize|repair|checksum|notify|listen|discard|deallocate|prepare|set|reset"
    r"|use|show|explain|kill|lock|unlock|flush|purge|handler|commit|rollback|savepoint|start|install|backup|restore|bulk"
    r"|comment|import|export|do|values|table|with|sp_\w+|xp_\w+|[\\.][a-z!])(?:\b|(?<=\W.))"
)
STACKED = list_shapes(
    {
        ("stacked", 2, ("top 10; desc; by revenue", "sales; drop the zeros", "5; 6; 7 by size")): {
            # a verb with its end, or with what only SQL has behind it
            r";\s*(?:(?:drop|truncate|create|alter|delete|insert|select|declare|if|begin|while)\b\s*"
            r"(?:table|database|view|index|schema|procedure|into|user|function|declare|exists|\(|\d|\w+\s*="
            r"|\w+\s*,\s*\w|(?:\w+\s+)?from\s+\w+\s*(?:;|--|$))|desc(?:ribe)?\s+(?!by\b)[\w.]+\s*(?:;|--|\#)"
            r"|(?:select|shutdown|begin|commit|rollback|vacuum)\s*;"
            r"|(?:drop|truncate|delete|insert|update|create|alter|exec(?:ute)?|call|print|select|shutdown|grant|reset"
            r"|flush|purge|analy[sz]e|vacuum|kill|declare|begin|commit|rollback|waitfor|replace|handler|reconfigure|use"
            r"|do)\b(?:\s*(?:$|--|\#|\(|@|'\S|\*)|\s+[\w.]+\s*(?:;|--|\#|\()))": ("order 12 ; begin",),
            # a verb, with a number or nothing in front of the semicolon
            rf"^\W*\d*[\s'\"`)]*;\s*{_VERB}": (";truncate[xx", "1 ; begin)-- -"),
        }
    }
)
"""A second statement behind a semicolon."""
BEHIND = list_shapes({("stacked", 2, ("the girls'; the boys'",)): {rf"^[)\s]*;\s*{_VERB}": ("x%' ; begin)-- -",)}})
"""The same right behind a quote that ended a string."""

TABLES: dict[Place, tuple[Shape, ...]]
TABLES = {"statement": STATEMENT, "alone": ALONE, "stacked": STACKED, "behind": BEHIND}
