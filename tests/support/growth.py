"""Statements in which one call looks through as much text as it can be given, a dialect each."""

from __future__ import annotations

LETTERS = 100_000
"""What a recursive expression of SQLite may count to."""


def doubled(piece: str, size: int) -> str:
    """A text of SQLite, which has no function that repeats."""
    base = min(size, LETTERS)
    joined = "||".join("x" * max(1, round((size / base) ** 0.5)))
    return (
        f"(WITH RECURSIVE t(x) AS (SELECT '{piece}' UNION ALL SELECT x || x FROM t WHERE length(x) < {base // 2}),"
        f" b AS (SELECT max(x) AS x FROM t), c AS (SELECT {joined} AS x FROM b) SELECT {joined} FROM c)"
    )


def repeated(text: str, size: int) -> str:
    """A text of PostgreSQL and MariaDB, of a piece that is long enough for the bound on repetitions."""
    piece = text * max(1, min(2_000, size // 10_000) // len(text) + 1)
    return f"repeat('{piece}', {max(1, min(10_000, size // len(piece)))})"


def gathered(size: int) -> str:
    """A text of many rows in PostgreSQL; each holds an ordinary constant."""
    return f"(SELECT string_agg('{'a' * 4000}', '') FROM generate_series(1, {size // 4000}))"


def series(rows: int) -> str:
    """An array of PostgreSQL, made of rows."""
    return f"ARRAY(SELECT n FROM generate_series(1, {rows}) AS g(n))"


def listed(text: str) -> str:
    """A JSON array of MariaDB."""
    return f"concat('[', {repeated(text, 2_000_000)}, '1]')"


BIG, HALF = gathered(200_000_000), gathered(100_000_000)
JSON_ROWS = "(SELECT json_group_object(a.id || '-' || b.id, 1) FROM item a JOIN item b ON a.id > 0 AND b.id <= 400)"
CHAINED = (
    "WITH RECURSIVE t(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM t WHERE length(x) < 100000)"
    f" SELECT strpos({'||'.join(['a.x'] * 100)}, 'b' || {'||'.join(['b.x'] * 9)})"
    " FROM t a JOIN t b ON length(a.x) > 100000 AND length(b.x) > 60000"
)
"""A text that grows in rounds."""
WIDENED = (
    f"WITH a AS (SELECT repeat('a', 1000) AS x), b AS (SELECT {'||'.join('x' * 100)} AS x FROM a),"
    f" c AS (SELECT {'||'.join('x' * 100)} AS x FROM b) SELECT strpos(c.x, 'b' || b.x) FROM b JOIN c ON true"
)
"""A text that grows from one expression to the next."""
FOUND_IN_ROWS = (
    "SELECT instr(x, y || 'b') FROM (SELECT group_concat(a.note, '') AS x, group_concat(b.note, '') AS y"
    " FROM item a JOIN item b ON a.id > 0 AND b.id <= 60)"
)
LOCATED_IN_ROWS = (
    "SELECT locate(concat(x, 'b'), y) FROM (SELECT group_concat(left(a.note, 40) SEPARATOR '') AS x,"
    " group_concat(b.note SEPARATOR '') AS y FROM item a JOIN item b ON a.id > 0 AND b.id <= 60) AS t"
)
CASES: dict[str, tuple[str, ...]] = {
    "sqlite": (
        f"SELECT instr({doubled('a' * 100, 8_000_000)}, {doubled('a' * 100, 4_000_000)} || 'b')",
        f"SELECT replace({doubled('a' * 100, 8_000_000)}, {doubled('a' * 100, 4_000_000)} || 'b', '')",
        f"SELECT trim({doubled('a' * 100, 8_000_000)}, {doubled('b' * 100, 4_000_000)} || 'a')",
        f"SELECT json_patch({JSON_ROWS}, {JSON_ROWS})",
        f"SELECT {doubled('a' * 100, 8_000_000)} LIKE '{'%a' * 400}b'",
        f"SELECT {doubled('a' * 100, 8_000_000)} GLOB '{'*a' * 400}b'",
        FOUND_IN_ROWS,
    ),
    "postgresql": (
        f"SELECT strpos({BIG}, {HALF} || 'b')",
        f"SELECT replace({BIG}, 'b' || {gathered(100_000)}, '')",
        f"SELECT position('b' || {repeated('a', 1_000_000)} IN {repeated('a', 10_000_000)})",
        f"SELECT translate({repeated('a', 10_000_000)}, {repeated('b', 1_000_000)}, '')",
        f"SELECT translate({repeated('a', 10_000_000)}, {repeated('b', 100)}, 'a')",
        f"SELECT rtrim({repeated('1,', 10_000_000)}, {repeated('2,', 100)})",
        f"SELECT btrim({repeated('a', 10_000_000)}, {repeated('b', 1_000_000)} || 'a')",
        f"SELECT {repeated('a', 10_000_000)} LIKE '{'%a' * 900}b'",
        f"SELECT upper({BIG})",
        f"SELECT {series(100_000)} @> {series(100_000)}",
        f"SELECT {series(100_000)} && (SELECT array_agg(-n) FROM generate_series(1, 100000) AS g(n))",
        CHAINED,
        WIDENED,
        f"SELECT split_part({repeated('a', 10_000_000)}, 'b' || {repeated('a', 1_000_000)}, 2)",
    ),
    "mariadb": (
        f"SELECT locate(concat({repeated('a', 4_000_000)}, 'b'), {repeated('a', 10_000_000)})",
        LOCATED_IN_ROWS.replace("locate(concat(x, 'b'), y)", "replace(y, concat(x, 'b'), '')"),
        f"SELECT instr({repeated('a', 10_000_000)}, concat({repeated('a', 4_000_000)}, 'b'))",
        f"SELECT position(concat({repeated('a', 4_000_000)}, 'b') IN {repeated('a', 10_000_000)})",
        f"SELECT substring_index({repeated('a', 10_000_000)}, concat({repeated('a', 4_000_000)}, 'b'), 2)",
        f"SELECT trim(leading {repeated('a', 1_000)} from {repeated('a', 10_000_000)})",
        f"SELECT {repeated('a', 10_000_000)} LIKE '{'%a' * 900}b'",
        f"SELECT {repeated('a', 10_000_000)} REGEXP '(a+)+b'",
        f"SELECT json_contains({listed('1,')}, {listed('2,')})",
        f"SELECT json_merge_patch({listed('1,')}, {listed('2,')})",
        LOCATED_IN_ROWS,
        f"SELECT json_overlaps({listed('1,')}, {listed('2,')})",
    ),
}
"""Dialect -> statements in which one call looks through much."""
