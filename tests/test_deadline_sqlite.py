"""No value that somebody stored holds SQLite past a deadline: what is slow runs where it can be killed."""

from __future__ import annotations

import marshal
import resource
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from sql_synthesizer import errors
from sql_synthesizer.database import sqlite_reader
from sql_synthesizer.guard.statement import StatementGuard
from tests.support.growth import CASES
from tests.support.hostile import LARGEST, MEGABYTE, calls_of, make_file, read_costs
from tests.support.managers import Bench
from tests.support.managers import bench as bench
from tests.support.serving import ends
from tests.support.statements import passed, rule

pytestmark = pytest.mark.boundary


# --- what this process works on -------------------------------------------------------------------


def test_all_calls_of_a_statement_are_short_on_the_largest_values(tmp_path: Path) -> None:
    costs = dict(read_costs(tmp_path / "data.sqlite"))
    assert len(costs) > 1000
    assert {call: seconds for call, seconds in costs.items() if seconds > 1} == {}


BOUNDED = {
    "trim(name, phone)": ("trim", LARGEST),
    "instr(name, phone)": ("instr", LARGEST),
    "json_patch(name, phone)": ("json_patch", LARGEST),
    "name LIKE phone": ("like", 1000),
    "name GLOB phone": ("glob", 1000),
    f"name LIKE '%{'a' * 899}'": ("like", 900),
}


@pytest.mark.parametrize("call", BOUNDED)
def test_a_statement_has_no_more_calls_than_that(call: str) -> None:
    guard = StatementGuard()
    count = int(calls_of(*BOUNDED[call]))
    sums = [f"SELECT {' + '.join([f'({call})'] * n)} FROM customers" for n in (count, count + 1)]
    assert passed(guard, sums[0])
    assert rule(guard, sums[1]) == "text_size"


@pytest.mark.parametrize("page_bytes", [512, 4096, 65536])
def test_no_function_is_given_more_in_this_process(page_bytes: int, tmp_path: Path) -> None:
    make_file(tmp_path / "data.sqlite", LARGEST + 1, page_bytes)
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as raw:
        sqlite_reader.settle_reader(raw, LARGEST)
        for expression in ("a", "length(a)", "instr(a, 'b')", "a || ''", "max(a)", "a LIKE '%b'"):
            with pytest.raises(sqlite3.DataError) as caught:
                raw.execute(f"SELECT {expression} FROM cell").fetchall()
            assert caught.value.sqlite_errorcode == sqlite3.SQLITE_TOOBIG


# --- what a process of its own works on -----------------------------------------------------------

LONG = {
    "instr": "SELECT instr(a, b) FROM cell",
    "replace": "SELECT replace(a, b, '') FROM cell",
    "trim": "SELECT trim(a, c) FROM cell",
    "ltrim of a constant": f"SELECT ltrim(a, '{'b' * 900}a') FROM cell",
    "json_patch": "SELECT json_patch(j, k) FROM cell",
    "many in a row": f"SELECT {' + '.join(['instr(a, b)'] * 15)} FROM cell",
    "a pattern": f"SELECT {' + '.join(['(a LIKE ' + repr('%' + 'a' * 900 + 'b') + ')'] * 20)} FROM cell",
    "an aggregate": "SELECT sum(instr(a, b)) FROM cell GROUP BY c",
    "an order": "SELECT a FROM cell ORDER BY trim(a, c)",
    "a condition": "SELECT 1 FROM cell WHERE trim(a, c) = 'b'",
}


def run_late(made: Bench, sql: str) -> float:
    """CPU time of the processes that a statement has which may take half a second, and takes longer."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(errors.StatementTimeout):
        ends(lambda: made.run(sql, seconds=0.5))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_file(tmp_path_factory.mktemp("large") / "data.sqlite", MEGABYTE)


@pytest.mark.parametrize("case", LONG)
def test_a_statement_over_large_values_ends_at_its_deadline(case: str, large: str, bench: Callable[..., Bench]) -> None:
    made = bench(large)
    assert run_late(made, LONG[case]) < 1.5
    assert not made.manager._pools["main"].driver._apart  # type: ignore[attr-defined]
    assert made.run("SELECT count(*) FROM item").rows == ((1000,),)


@pytest.mark.parametrize("case", range(len(CASES["sqlite"])))
def test_a_statement_that_makes_large_values_ends_at_its_deadline(
    case: int, large: str, bench: Callable[..., Bench]
) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    sql = passed(StatementGuard(), CASES["sqlite"][case].replace("item", "orders")).sql.replace("orders", "item")
    with suppress(errors.StatementTimeout, errors.StatementInvalid):  # there are limits that are met before
        ends(lambda: bench(large).run(sql, seconds=0.5))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 1.5


INDEX = ("SELECT count(*) FROM page WHERE page MATCH 'a'", "SELECT count(*) FROM (SELECT 1 FROM item, page LIMIT 5)")


@pytest.mark.parametrize("sql", INDEX)
def test_no_index_of_words_is_searched_in_this_process(large: str, bench: Callable[..., Bench], sql: str) -> None:
    """Its values have no bound, and its search hears of no interruption."""
    made = bench(large)
    driver = made.manager._pools["main"].driver
    apart: list[str] = []
    run_apart = driver._run_apart  # type: ignore[attr-defined]
    driver._run_apart = lambda raw, sql, deadline: apart.append(sql) or run_apart(raw, sql, deadline)  # type: ignore[attr-defined]
    assert made.run(sql).rows
    assert made.run("SELECT count(*) FROM item").rows == ((1000,),)
    assert len(apart) == 1


def test_a_large_value_is_answered_as_any_other(tmp_path: Path, bench: Callable[..., Bench]) -> None:
    cells = [
        (n, v) for n, v in enumerate((None, 1, 2.5, "ü€", b"\x00\xff", "x" * 600_000, float("inf"))) for _ in range(99)
    ]
    with closing(sqlite3.connect(tmp_path / "data.sqlite")) as made:
        made.execute("CREATE TABLE t (id INTEGER, v)")
        made.executemany("INSERT INTO t VALUES (?, ?)", [*cells, (9, b"not \xff utf".decode("latin-1"))])
        made.execute("INSERT INTO t VALUES (10, CAST(x'61ff' AS TEXT))")
        made.commit()
        plain = made.execute("SELECT id, typeof(v), substr(v, 1, 9) FROM t WHERE id <> 10 ORDER BY id, v").fetchall()
    one = bench(f"sqlite:///{tmp_path / 'data.sqlite'}")
    found = one.run("SELECT id, typeof(v), substr(v, 1, 9) FROM t WHERE id <> 10 ORDER BY id, v", rows=1000)
    assert [r[:2] for r in found.rows] == [r[:2] for r in plain]
    assert [r[2] for r in found.rows if r[1] != "blob"] == [
        "inf" if isinstance(r[2], float) else r[2] for r in plain if r[1] != "blob"
    ]
    assert one.run("SELECT v FROM t WHERE id = 10 OR length(v) > 10000 AND id = 1").rows == (("a�",),)
    cut = one.run("SELECT v FROM t WHERE id = 5", rows=1000)
    assert (cut.truncated, len(cut.rows)) == (True, 16)
    with pytest.raises(errors.StatementInvalid) as caught:
        one.run("SELECT count(*) FROM t WHERE id = 1 OR missing = 1")
    assert caught.value.details == {"class": "undefined_column", "identifier": "missing"}


def test_a_process_that_nobody_ends_ends_by_itself(tmp_path: Path) -> None:
    make_file(tmp_path / "data.sqlite", MEGABYTE)
    work = (str(tmp_path / "data.sqlite"), 1.0, 10 * MEGABYTE, 1, "SELECT trim(a, c) FROM cell")
    command = [sys.executable, "-I", "-S", sqlite_reader.__file__]
    done = subprocess.run(command, input=marshal.dumps(work), capture_output=True, check=False, timeout=60)
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)


def test_a_statement_without_a_process_says_so(large: str, bench: Callable[..., Bench], monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(errors.DatabaseFailed):
        bench(large).run("SELECT length(a) FROM cell")
