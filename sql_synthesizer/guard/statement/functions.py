"""What a statement may read: the lists under ``allowed``, and the bounds on functions that could return too much."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from sql_synthesizer.model import Column, ColumnKind, Table
from sql_synthesizer.model.dialects import DIALECTS


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowList:
    """One file of ``allowed``; ``common.toml`` says what each list is for."""

    functions: frozenset[str]
    aggregates: frozenset[str] = frozenset()
    session_functions: frozenset[str] = frozenset()
    session_words: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    catalogues: tuple[Table, ...] = ()


def _load_list(name: str) -> AllowList:
    path = Path(__file__).with_name("allowed") / f"{name}.toml"
    lists = tomllib.loads(path.read_text(encoding="utf-8"))
    catalogues = tuple(
        Table(table, tuple(Column(column, ColumnKind.OTHER) for column in columns.split()), schema=schema or None)
        for schema, tables in lists.pop("catalogues", {}).items()
        for table, columns in tables.items()
    )
    return AllowList(catalogues=catalogues, **{name: frozenset(words.split()) for name, words in lists.items()})


LISTS = {row.sqlglot: _load_list(row.sqlglot) for row in DIALECTS.values()}
"""sqlglot's name of a dialect -> what is allowed there beside the common functions."""
_COMMON = _load_list("common")
AGGREGATES = _COMMON.aggregates
ALLOWED = {dialect: AGGREGATES | _COMMON.functions | allowed.functions for dialect, allowed in LISTS.items()}
"""sqlglot's name of a dialect -> the functions that may be called there."""
PATTERNS = frozenset().union(*(allowed.patterns for allowed in LISTS.values()))
SESSION_WORDS = frozenset().union(*(allowed.session_words for allowed in LISTS.values()))

SIZED: dict[str, int] = {
    "repeat": 1,
    "lpad": 1,
    "rpad": 1,
    "space": 0,
    "leftpad": 1,
    "rightpad": 1,
    "leftpadutf8": 1,
    "rightpadutf8": 1,
}
"""Function -> the position of the argument that says how large its result becomes."""

MULTIPLYING = frozenset("repeat replace replaceone replaceall regexp_replace replaceregexpone replaceregexpall".split())
"""Functions whose result may be many times as large as their arguments."""

GATHERING = frozenset(
    """
    group_concat string_agg listagg array_agg json_group_array json_group_object json_agg jsonb_agg json_object_agg
    jsonb_object_agg json_arrayagg json_objectagg map_agg multimap_agg map_union histogram grouparray groupuniqarray
    grouparrayif summap topk set_agg set_union range_agg approx_most_frequent
    """.split()
)
"""Aggregates whose result grows with the rows."""

PASSING = frozenset(
    """
    concat concat_ws coalesce nullif ifnull nvl nvl2 if iif greatest least length char_length character_length
    octet_length bit_length left right substr substring mid first_value last_value nth_value lag lead array_length
    cardinality row array unnest
    """.split()
)
"""Functions that take or leave their arguments without looking through them."""

DEAR = frozenset("trim ltrim rtrim btrim like glob translate to_timestamp to_date to_char to_number".split())
"""Functions that go letter by letter, twenty times as slowly as others."""

ESCAPING = frozenset(
    """
    hex quote json_quote json_array json_object json_pretty json_detailed to_json to_jsonb json_build_object
    json_build_array jsonb_build_array jsonb_build_object row_to_json array_to_json jsonb_pretty quote_literal
    quote_nullable quote_ident encode to_base64 to_hex base64encode url_encode json_format array_to_string array_join
    """.split()
)
"""Functions whose result is up to six times as large as their arguments."""

SERIES = frozenset({"generate_series", "sequence", "range"})
"""Functions that make as many rows or elements as their arguments say."""
