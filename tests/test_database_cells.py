"""What each engine's values become."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest

from sql_synthesizer import errors
from sql_synthesizer.database.cells import collect_rows, distinct_names, to_scalar
from tests.support.managers import Bench
from tests.support.managers import bench as bench
from tests.support.managers import sqlite_url as sqlite_url
from tests.support.managers import url as url


@pytest.mark.server
@pytest.mark.parametrize("url", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("NULL", None),
        ("TRUE", True),
        ("9007199254740993::bigint", 9007199254740993),
        ("12.50::numeric", 12.5),
        ("3::numeric", 3),
        ("12345678901234567890::numeric", "12345678901234567890"),
        ("0.1234567890123456789::numeric", "0.1234567890123456789"),
        ("'NaN'::numeric", "NaN"),
        ("'infinity'::float8", "Infinity"),
        ("'2026-10-31'::date", "2026-10-31"),
        ("'infinity'::date", "infinity"),
        ("'2026-10-31 12:00:01.5'::timestamp", "2026-10-31T12:00:01.5"),
        ("'12:30'::time", "12:30:00"),
        ("'1 year 2 days'::interval", "1 year 2 days"),
        ("'\\x00ff'::bytea", "0x00ff"),
        ("decode(repeat('ab', 100), 'hex')", "0x" + "ab" * 64 + "…"),
        ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        ("'{\"a\":  1}'::json", '{"a":  1}'),
        ("ARRAY[1, 2]", "[1, 2]"),
        ("ARRAY[1.5::numeric]", '["1.5"]'),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("int4range(1, 5)", "[1, 5)"),
    ],
)
def test_postgres_cells(url: str, expression: str, expected: object, bench: Callable[..., Bench]) -> None:
    assert bench(url).run(f"SELECT {expression}").rows == ((expected,),)


@pytest.mark.server
@pytest.mark.parametrize("url", ["mariadb"], indirect=True)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("NULL", None),
        ("CAST(12.50 AS DECIMAL(10,2))", 12.5),
        ("CAST('2026-10-31' AS DATE)", "2026-10-31"),
        ("CAST('2026-10-31 12:00:01' AS DATETIME)", "2026-10-31T12:00:01"),
        ("CAST('100:00:00' AS TIME)", "100:00:00"),
        ("UNHEX('00FF')", "0x00ff"),
        ("18446744073709551615", 18446744073709551615),
        ("JSON_OBJECT('a', 1)", '{"a": 1}'),
    ],
)
def test_mariadb_cells(url: str, expression: str, expected: object, bench: Callable[..., Bench]) -> None:
    assert bench(url).run(f"SELECT {expression}").rows == ((expected,),)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1e999", "Infinity"),
        ("-1e999", "-Infinity"),
        ("x'00ff'", "0x00ff"),
        ("CAST(x'61ff62' AS TEXT)", "a�b"),
        ("'é' || char(0) || 'z'", "é\x00z"),
    ],
)
def test_sqlite_cells(sqlite_url: str, expression: str, expected: object, bench: Callable[..., Bench]) -> None:
    assert bench(sqlite_url).run(f"SELECT {expression}").rows == ((expected,),)


def test_a_huge_sqlite_value_is_refused_not_built(sqlite_url: str, bench: Callable[..., Bench]) -> None:
    with pytest.raises(errors.StatementInvalid):
        bench(sqlite_url, byte_cap=1_000_000).run("SELECT length(zeroblob(500000000))")


@pytest.mark.parametrize(
    ("names", "distinct"),
    [
        (["a", "b"], ("a", "b")),
        (["a", "a", "a"], ("a", "a_2", "a_3")),
        (["a", "a", "a_2"], ("a", "a_3", "a_2")),
        (["a_2", "a", "a", "a_2"], ("a_2", "a", "a_3", "a_2_2")),
    ],
)
def test_names_become_distinct(names: list[str], distinct: tuple[str, ...]) -> None:
    assert distinct_names(names) == distinct


def test_a_row_over_the_byte_cap_is_left_out() -> None:
    rows = collect_rows(["a"], iter([[("x" * 10,), ("é" * 5,)], [("y",)]]), 10, 20)
    assert (len(rows.rows), rows.byte_count, rows.truncated) == (2, 20, True)


@pytest.mark.parametrize("number", [-(2**63), 2**53 + 1, 2**64 - 1])
def test_integers_of_64_bits_are_numbers(number: int) -> None:
    assert orjson.loads(orjson.dumps(collect_rows(["a"], iter([[(number,)]]), 1, 100).rows)) == [[number]]


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64, 2**256 - 1])
def test_wider_integers_are_text(number: int) -> None:
    assert to_scalar(number) == str(number)
    rows = collect_rows(["a"], iter([[(number,)]]), 1, 100)
    assert orjson.loads(orjson.dumps(rows.rows)) == [[str(number)]]
    assert rows.byte_count == len(str(number))


def test_not_a_number_is_text() -> None:
    assert to_scalar(float("nan")) == "NaN"
