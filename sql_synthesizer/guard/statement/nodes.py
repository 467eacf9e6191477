"""What a statement's tree may consist of: node types, their arguments, functions and sizes."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NoReturn

from sqlglot import exp

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.statement import functions
from sql_synthesizer.guard.statement.series import series_length
from sql_synthesizer.model.dialects import DialectRow

MAX_NODES = 5_000
MAX_JOINS = 20
MAX_SET_OPERATIONS = 20
MAX_UNRELATED_TABLES = 3
MAX_SIZE_ARGUMENT = 10_000
MAX_SERIES = 100_000
MAX_TYPE_SIZE = 65_535

_NODE_NAMES = """
    Select Union Except Intersect Subquery With CTE From Join Where Group Having Order Ordered Limit Fetch
    LimitOptions Offset Distinct Alias TableAlias Table Column Identifier Star Values Tuple Lateral Unnest
    TableSample Window WindowSpec WithinGroup Filter IgnoreNulls RespectNulls Rollup Cube GroupingSets PreWhere
    Final Literal Boolean Null Paren Neg Not Add Sub Mul Div Mod IntDiv BitwiseAnd BitwiseOr BitwiseXor
    BitwiseNot BitwiseLeftShift BitwiseRightShift DPipe EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In
    Between Like ILike SimilarTo Glob Escape RegexpLike RegexpILike RegexpFullMatch Match MatchAgainst And Or
    Xor Any All Exists Case If Overlaps Cast TryCast Try CastToStrType DataType DataTypeParam Interval
    IntervalSpan Var Collate AtTimeZone Bracket Slice Array Struct VarMap Lambda Kwarg Extract Trim StrPosition
    Substring Overlay Concat ConvertToCharset CharacterSet Introducer National HexString BitString ByteString
    RawString Chr Pow JSONExtract JSONExtractScalar JSONBExtract JSONBExtractScalar JSONPath
    JSONPathRoot JSONPathKey JSONPathSubscript JSONPathWildcard JSONValue JSONObject JSONArray JSONKeyValue
    JSONObjectAgg JSONArrayAgg JSONBContains JSONBContainsTopKey JSONBContainsAllTopKeys JSONBContainsAnyTopKeys
    JSONBDeleteAtPath JSONArrayContains ArrayContainsAll ArrayContainedBy ArrayOverlaps ArrayConcat Adjacent
    Distance ExtendsLeft ExtendsRight GroupConcat ArrayAgg ArgMax ArgMin Quantile Explode StringAgg CurrentDate
    CurrentTime CurrentTimestamp CurrentDatetime Localtime Localtimestamp UtcDate UtcTime UtcTimestamp Anonymous
    AnonymousAggFunc CombinedAggFunc ParameterizedAgg CombinedParameterizedAgg JSONBPathExists Soundex
"""
NODES = frozenset(getattr(exp, name) for name in _NODE_NAMES.split() if hasattr(exp, name))
_SESSION_NODES = frozenset({exp.CurrentUser, exp.SessionUser, exp.CurrentRole, exp.CurrentCatalog, exp.CurrentSchema})

_ARGUMENTS: dict[type[exp.Expr], frozenset[str]] = {
    exp.Select: frozenset(
        "with_ expressions distinct from_ joins laterals prewhere where group having windows order limit offset".split()
    ),
    exp.Table: frozenset("this db alias joins sample ordinality final".split()),
    exp.Subquery: frozenset("this alias with_ order limit offset joins sample".split()),
    exp.Join: frozenset("this on using side kind method".split()),
    exp.With: frozenset({"expressions", "recursive"}),
    exp.CTE: frozenset("this alias materialized".split()),
    exp.Column: frozenset("this table db join_mark".split()),
    exp.Limit: frozenset({"expression"}),
}
_JOIN_WORDS = frozenset({"", *"LEFT RIGHT FULL INNER OUTER CROSS NATURAL ANY ASOF SEMI ANTI".split()})
_SAMPLES = {"SYSTEM", "BERNOULLI", "SYSTEM_ROWS", "SYSTEM_TIME"}
_EXCLUDED_FRAMES = {"CURRENT ROW", "NO OTHERS"}
_TYPES = frozenset(
    getattr(exp.DType, name)
    for name in """
    ARRAY BIGINT BIGDECIMAL BINARY BIT BOOLEAN CHAR CHARACTER_SET DATE
    DATE32 DATETIME DATETIME2 DATETIME64 DECIMAL DECIMAL32
    DECIMAL64 DECIMAL128 DECIMAL256 DOUBLE FLOAT INT INT128 INT256 INTERVAL INET IPADDRESS IPPREFIX IPV4 IPV6
    JSON JSONB LONGTEXT LOWCARDINALITY MAP MEDIUMINT MEDIUMTEXT MONEY NCHAR NUMERIC NULLABLE NVARCHAR ROWVERSION
    SMALLINT SMALLMONEY STRUCT TEXT TIME TIMETZ TIMESTAMP TIMESTAMPNTZ TIMESTAMPLTZ TIMESTAMPTZ TINYINT TINYTEXT
    TSVECTOR TSQUERY UBIGINT UINT UINT128 UINT256 USMALLINT UTINYINT UDECIMAL UDOUBLE UMEDIUMINT UUID VARBINARY
    VARCHAR YEAR FIXEDSTRING INT4RANGE INT8RANGE NUMRANGE TSRANGE TSTZRANGE DATERANGE SERIAL BLOB BPCHAR
    """.split()
    if hasattr(exp.DType, name)
)
_CALLS = {
    exp.Anonymous,
    exp.AnonymousAggFunc,
    exp.CombinedAggFunc,
    exp.ParameterizedAgg,
    exp.CombinedParameterizedAgg,
}
_PREDICATES = (
    exp.In,
    exp.Between,
    exp.Like,
    exp.ILike,
    exp.Glob,
    exp.RegexpLike,
    exp.RegexpILike,
    exp.SimilarTo,
    exp.Is,
)
_CONDITIONS = {*_PREDICATES, exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ}
_SET_OPERATIONS = {exp.Union, exp.Except, exp.Intersect}
_WORD = re.compile(r"[^\W\d]\w*\Z")
_NUMBER = re.compile(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\Z", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9a-f]*\Z", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_WIDE_PATTERN = re.compile(r"\d{4}|\*")
_GROWING_PATTERN = re.compile(r"\d\d|[${]")
"""A width that counts, or arguments taken by their number, so as often as one likes."""


def refuse_statement(rule: str, message: str, *, hint: str | None = None, **details: Any) -> NoReturn:
    """Raises StatementRefused; ``rule`` is a short stable name, the details are cut to 100 characters each."""
    raise StatementRefused(message, hint=hint, details={"rule": rule, **{k: str(v)[:100] for k, v in details.items()}})


def check_nodes(tree: exp.Expr, dialect: DialectRow, *, session: bool = False) -> list[exp.Expr]:
    """Every node of the tree, each of them allowed; ``session`` allows session information functions.

    Raises StatementRefused.
    """
    nodes: list[exp.Expr] = []
    joins = set_operations = 0
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        kind = type(node)
        if kind not in NODES and not (session and kind in _SESSION_NODES):
            refuse_statement(
                "node_type", f"{_format_node_type(kind)} is not allowed in a statement.", node=kind.__name__
            )
        nodes.append(node)
        if len(nodes) > MAX_NODES:
            refuse_statement("too_complex", f"The statement has more than {MAX_NODES:,} parts; ask for less at once.")
        allowed = _ARGUMENTS.get(kind)
        for key, value in node.args.items():
            if not value:
                continue
            if allowed is not None and key not in allowed:
                refuse_statement("clause", f"The clause {_format_clause(key)} is not allowed.", clause=key)
            if isinstance(value, exp.Expr):
                waiting.append(value)
            elif isinstance(value, list):
                waiting += [child for child in value if isinstance(child, exp.Expr)]
        if (check := _CHECKS.get(kind)) is not None:
            check(node)
        elif kind is exp.Column:
            _check_column(node, dialect, session=session)
        elif kind is exp.In:
            _check_in(node, dialect)
        elif kind in _CALLS:
            _check_function(node, dialect, session=session)
        joins += kind is exp.Join
        set_operations += kind in _SET_OPERATIONS
    if joins > MAX_JOINS or set_operations > MAX_SET_OPERATIONS:
        refuse_statement(
            "too_many_joins", f"At most {MAX_JOINS} joins and {MAX_SET_OPERATIONS} set operations are allowed."
        )
    return nodes


def _format_node_type(kind: type[exp.Expr]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).upper()


def _format_clause(key: str) -> str:
    return key.rstrip("_").replace("_", " ").upper()


def _check_select(node: exp.Expr) -> None:
    joins, where = node.args.get("joins") or (), node.args.get("where")
    unrelated = [j for j in joins if isinstance(j.this, exp.Table) and not _has_join_condition(j)]
    if len(unrelated) >= MAX_UNRELATED_TABLES and (where is None or where.find(exp.Column) is None):
        refuse_statement("cartesian", "Several tables are combined without any condition; join them ON their keys.")


def _has_join_condition(join: exp.Expr) -> bool:
    condition = join.args.get("on")
    on_columns = condition is not None and condition.find(exp.Column) is not None
    return on_columns or bool(join.args.get("using")) or join.args.get("method") == "NATURAL"


def _check_join(node: exp.Expr) -> None:
    for key in ("side", "kind", "method"):
        if (node.args.get(key) or "") not in _JOIN_WORDS:
            refuse_statement(
                "join_kind", "This kind of join is not allowed; use INNER, LEFT, RIGHT, FULL or CROSS JOIN."
            )


def _check_identifier(node: exp.Expr) -> None:
    name = node.this
    if not isinstance(name, str) or not name or (not node.args.get("quoted") and not _WORD.match(name)):
        refuse_statement("identifier", "A name contains characters that are only allowed inside quotes.")
    if _CONTROL.search(name):
        refuse_statement("control_character", "A name contains a control character.")


def _check_literal(node: exp.Expr) -> None:
    if node.args.get("is_string"):
        if _CONTROL.search(node.this):
            refuse_statement("control_character", "A text constant contains a control character.")
    elif not _NUMBER.match(node.this):
        refuse_statement(
            "number", "A number is not written in a known way; write digits, a point and an exponent only."
        )


def _check_sample(node: exp.Expr) -> None:
    method = node.args.get("method")
    if method is not None and method.name.upper() not in _SAMPLES:
        refuse_statement(
            "clause", "This way of sampling a table is not known; use SYSTEM or BERNOULLI.", clause="TABLESAMPLE"
        )


def _check_table_alias(node: exp.Expr) -> None:
    # A call whose name sqlglot takes for a table's, and its arguments for names of columns.
    if node.args.get("columns") and not node.this:
        refuse_statement("table", "Names for columns stand behind a name for the table.")


def _check_var(node: exp.Expr) -> None:
    excluded = node.arg_key == "exclude" and node.name in _EXCLUDED_FRAMES
    if not excluded and not _WORD.match(node.name):
        refuse_statement("identifier", "A word contains characters that are not allowed there.")


def _check_digits(node: exp.Expr) -> None:
    if not _DIGITS.match(node.name):
        refuse_statement("number", "A hexadecimal or bit constant contains other characters than digits.")


def _check_escaped(node: exp.Expr) -> None:
    if "\\" in node.name or _CONTROL.search(node.name):
        refuse_statement(
            "escape", "Backslash escapes other than a line break or tab are not allowed in a text constant."
        )


def _check_type(node: exp.Expr) -> None:
    if node.this not in _TYPES:
        refuse_statement(
            "type", "A cast to this type is not allowed; use a standard type.", type=getattr(node.this, "name", "")
        )
    for size in node.find_all(exp.DataTypeParam):
        if not isinstance(size.this, exp.Var) and not (size.this.is_int and int(size.name) <= MAX_TYPE_SIZE):
            refuse_statement("type", f"A type's size must be a number of at most {MAX_TYPE_SIZE:,}.")


def _check_column(node: exp.Expr, dialect: DialectRow, *, session: bool) -> None:
    name = node.args.get("this")
    if not isinstance(name, exp.Identifier | exp.Star):
        refuse_statement("column", "A column is not written as a plain name.")
    if isinstance(name, exp.Identifier) and not name.args.get("quoted") and not node.args.get("table"):
        # Where nothing is read, no column can have such a name.
        word = not session and name.name.lower() in functions.SESSION_WORDS
        select = node.find_ancestor(exp.Select) if word else None
        alone = select is not None and select.args.get("from_") is None
        if word and (alone or name.name.lower() in functions.LISTS[dialect.sqlglot].session_words):
            refuse_statement(
                "session_value", f"{name.name} returns session information and is not allowed.", name=name.name
            )


def _check_not(node: exp.Expr) -> None:
    # sqlglot moves a NOT to the front: a = b NOT IN (c) would come out as a = NOT b IN (c), another question.
    parent = node.parent
    listed = isinstance(parent, exp.In) and node.arg_key == "expressions"
    tight = isinstance(parent, exp.Binary | exp.Between | exp.In | exp.Neg | exp.BitwiseNot | exp.Escape)
    if tight and not listed and not isinstance(parent, exp.Connector):
        refuse_statement("ambiguous", "It is not clear what NOT belongs to; put parentheses around the condition.")


def _check_predicate(node: exp.Expr) -> None:
    # Servers differ in what belongs together here, and sqlglot sets parentheses of its own.
    for operand in node.args.values():
        inner = operand.this if isinstance(operand, exp.Paren) else None
        inner = (
            inner.this if isinstance(inner, exp.Not) else inner if getattr(inner, "args", {}).get("negate") else None
        )
        if type(operand) in _CONDITIONS or isinstance(inner, _PREDICATES):
            refuse_statement("ambiguous", "Conditions follow each other without AND or OR; join them with AND or OR.")


def _check_match(node: exp.Expr) -> None:
    if not isinstance(node.this, exp.Expr) or not all(isinstance(e, exp.Expr) for e in node.expressions):
        refuse_statement("operator", "The operator @@ needs a value on both sides.")


def _check_in(node: exp.Expr, dialect: DialectRow) -> None:
    _check_predicate(node)
    field, listed = node.args.get("field"), node.expressions
    named = dialect.takes_tables_after_in and len(listed) == 1 and isinstance(listed[0].unnest(), exp.Column | exp.Dot)
    if named or (field is not None and not isinstance(field, exp.Array | exp.Tuple)):
        refuse_statement("in_table", "After IN stands a list of values, or a SELECT, in parentheses.")


def _check_function(node: exp.Expr, dialect: DialectRow, *, session: bool) -> None:
    name, listed = node.name.lower(), functions.LISTS[dialect.sqlglot]
    if name not in functions.ALLOWED[dialect.sqlglot] and not (session and name in listed.session_functions):
        shown = node.name[:64] if _WORD.match(node.name) else "of that name"
        refuse_statement("function", f"The function {shown} is not on the list of allowed functions.", function=name)
    arguments = node.expressions
    if (position := functions.SIZED.get(name)) is not None and len(arguments) > position:
        _check_size(arguments[position], name)
    elif name in functions.SERIES:
        _check_series(arguments, name)
    elif name in listed.patterns:
        pattern = arguments[0] if arguments else None
        if not isinstance(pattern, exp.Literal) or not pattern.is_string or _WIDE_PATTERN.search(pattern.name):
            refuse_statement(
                "result_size", f"The pattern of {name} must be a text constant without large widths.", function=name
            )
    if name in functions.MULTIPLYING or _is_sized(node):
        _check_nesting(node, name)


def _is_sized(call: exp.Expr) -> bool:
    name, arguments = call.name.lower(), call.expressions
    if name in functions.PATTERNS:
        return bool(arguments and _GROWING_PATTERN.search(arguments[0].name))
    return name in functions.SIZED


def _check_nesting(call: exp.Expr, name: str) -> None:
    # Each is bounded alone; one inside of another multiplies the bounds.
    if any(inner is not call and _is_sized(inner) for inner in call.find_all(*_CALLS)):
        refuse_statement("result_size", f"What {name} is given must not come from a function that fills up to a size.")


def _check_size(size: exp.Expr, name: str) -> None:
    if not isinstance(size, exp.Literal) or not size.is_int or int(size.name) > MAX_SIZE_ARGUMENT:
        limit = f"{MAX_SIZE_ARGUMENT:,}"
        refuse_statement("result_size", f"The size given to {name} must be a number of at most {limit}.", function=name)


def _check_series(arguments: list[exp.Expr], name: str) -> None:
    rows = series_length(arguments)
    if rows is None or rows > MAX_SERIES:
        message = f"The bounds of {name} must be constants or days around today, and make at most {MAX_SERIES:,} rows."
        refuse_statement("result_size", message, function=name)


_CHECKS: dict[type[exp.Expr], Callable[[exp.Expr], None]] = {
    exp.Select: _check_select,
    exp.Join: _check_join,
    exp.Identifier: _check_identifier,
    exp.Literal: _check_literal,
    exp.Var: _check_var,
    exp.TableSample: _check_sample,
    exp.TableAlias: _check_table_alias,
    exp.HexString: _check_digits,
    exp.BitString: _check_digits,
    exp.ByteString: _check_escaped,
    exp.National: _check_escaped,
    exp.DataType: _check_type,
    exp.MatchAgainst: _check_match,
    exp.Not: _check_not,
    **{kind: _check_predicate for kind in _PREDICATES if kind is not exp.In},
}
