"""How long the texts that cost the guards most keep them busy, beside a text of the same length that is plain.

Usage: python -m benchmarks.worst [--rounds N]
Times are CPU of the process; each is the least of the rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from sql_synthesizer.errors import StatementRefused
from sql_synthesizer.guard.question import judge_text
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.model import Column, ColumnKind, Schema, Statement, Table
from sql_synthesizer.model.dialects import DIALECTS

NESTED = (
    "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    "SELECT " + "DATE(" * 30 + "1" + ")" * 30,
    "SELECT " + "CHAR(" * 30 + "1" + ")" * 30,
    "SELECT " + "ARRAY[" * 30 + "1" + "]" * 30,
    "SELECT " + "STRUCT(" * 30 + "1" + ")" * 30,
    "SELECT " + "1+" * 2900 + "1",
    "SELECT " + "NOT " * 3000 + "1",
    "SELECT 1" + " UNION SELECT 1" * 1000,
    "SELECT 1 FROM orders" + " JOIN orders" * 500,
    "SELECT " + "1," * 9000 + "1",
)
"""Statements that a parser may take exponential time for, or a stack without end."""
REPEATED = (
    *("'", "a' ", "(select ", "; select ", "union select ", "'--", "or 1", "&#", "%27", "/*", "a/*", "+ +1", "f(x,"),
    *("))", "-", "x=1 and ", "' or (", "case when ", ".a", '"x" ', '{"a":"', "a=&", "create a "),
)
"""Pieces that a pattern may backtrack over, when a question is made of them."""
QUESTION_CHARS = 2000
ORDERS = Table("orders", tuple(Column(name, ColumnKind.TEXT) for name in ("id", "customer_id", "total", "note")))


def repeated(piece: str) -> list[str]:
    """Questions of one piece alone, within a text, and behind the beginning of an attack."""
    body = piece * (QUESTION_CHARS // len(piece))
    return [before + body + behind for before, behind in (("", ""), ("'", ""), ("' or 1", " x x"))]


def judge_statement(dialect: str, sql: str) -> None:
    """Judges a statement; a refusal is as good as any verdict."""
    with suppress(StatementRefused):
        StatementGuard().check(Statement(sql, "analyst"), Schema("shop", dialect, (ORDERS,), "1"), max_rows=100)


def arms() -> Iterator[tuple[str, Callable[[str], object], list[str]]]:
    """What judges, and the texts."""
    for dialect in DIALECTS:
        yield f"statements, {dialect}", lambda sql, dialect=dialect: judge_statement(dialect, sql), list(NESTED)  # type: ignore[misc]
    plain = "how many orders are there in each city " * (QUESTION_CHARS // 40)
    yield "questions", judge_text, [text for piece in REPEATED for text in repeated(piece)]
    yield "plain question", judge_text, [plain]


def least_milliseconds(judge: Callable[[str], object], text: str, rounds: int) -> float:
    """CPU milliseconds of one verdict."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        judge(text)
        taken.append((time.process_time() - started) * 1000)
    return min(taken)


def main() -> None:
    """Prints the slowest text of each arm."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, judge, texts in arms():
        slowest, text = max((least_milliseconds(judge, text, options.rounds), text) for text in texts)
        print(f"{name:24} max {slowest:9.1f} ms  {text[:40]!r}")


if __name__ == "__main__":
    main()
