"""How often questions are answered rightly: each is asked of its database, and rows compared with those of gold SQL.

A line is ``{"id", "question", "db_path"}``, for scores also ``gold_sql`` and, if there are, ``gold_alternatives``,
``source`` and ``difficulty``. ``db_path`` is an SQLite file or a URL; in a file of questions
``db`` names ``databases/DB.sqlite`` beside it. An answer has to be right on ``suite/DB.*.sqlite`` too, other fillings
of the same tables, where there are any.
"""

from __future__ import annotations

import datetime
import json
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from pydantic import SecretStr

from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import Declined, InvalidRequest, SqlSynthesizerError
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.settings import DatabaseSettings, Settings
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.embedded import EmbeddedSynthesizer
from sql_synthesizer.telemetry import Telemetry

NAME = "asked"
OPEN_DATABASES = 8
MAX_ROWS = 50_000
SECONDS = 20.0
LINE = "A line is an object with question, gold_sql, and db or db_path; docs/engine.md has an example."
GROUPS = ("all", "sure", "unsure")


class Database:
    """One database that is asked, with its schema and values."""

    def __init__(self, path: str, settings: Settings) -> None:
        url = path if "://" in path else f"sqlite:///{Path(path).resolve()}"
        config = DatabaseSettings(name=NAME, url=SecretStr(url))
        self.manager = DatabaseManager([config], settings, Telemetry())
        self.schemas = SchemaCache(self.manager.connect, [config], settings)

    def rows(self, sql: str) -> Counter[tuple[str, ...]]:
        """The rows of a statement, without regard to their order or that of the columns."""
        found = self.manager.execute(NAME, sql, max_rows=MAX_ROWS, deadline=time.monotonic() + SECONDS)
        return Counter(tuple(sorted(map(_value_text, row))) for row in found.rows)


class Answerer:
    """Turns questions into SQL with the embedded engine; the databases asked last stay open."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_copy(
            update={"allow_privileged_login": True, "databases_file": None, "default_database": None}
        )
        self._engine = EmbeddedSynthesizer(settings.sure_confidence)
        self._guard = StatementGuard()
        self._open: OrderedDict[str, Database] = OrderedDict()

    def database(self, path: str) -> Database:
        """The database at a path or URL."""
        if path not in self._open:
            self._open[path] = Database(path, self._settings)
            if len(self._open) > OPEN_DATABASES:
                self._open.popitem(last=False)[1].manager.close()
        self._open.move_to_end(path)
        return self._open[path]

    def context(self, path: str, question: str) -> Context:
        """What a synthesizer may know of a question."""
        database = self.database(path)
        today, deadline = datetime.datetime.now(datetime.UTC).date(), time.monotonic() + SECONDS
        values = database.schemas.values(NAME)
        return Context(question, database.schemas.get(NAME), values, today, MAX_ROWS, deadline)

    def answer(self, path: str, question: str) -> tuple[str | None, bool]:
        """SQL that the statement guard lets through and whether it is sure; None where the question is declined."""
        context = self.context(path, question)
        try:
            statement = self._engine.synthesize(context)
            self._guard.check(statement, context.schema, max_rows=MAX_ROWS)
        except (Declined, SqlSynthesizerError):
            return None, False
        return statement.sql, statement.sure


def answer_lines(answerer: Answerer, source: TextIO, target: TextIO) -> None:
    """Reads questions as lines of JSON and writes ``{"id", "sql"}`` for each at once; ``null`` declines.

    Raises InvalidRequest at a bad line.
    """
    for line in source:
        if line.strip():
            asked = _parse_line(line, "db_path", "question")
            sql, _ = answerer.answer(asked["db_path"], asked["question"])
            print(json.dumps({"id": asked.get("id"), "sql": sql}, ensure_ascii=False), file=target, flush=True)


@dataclass(slots=True)
class Score:
    """Counts of one group of questions."""

    questions: int = 0
    broken: int = 0
    """Answers that nobody can judge: a gold statement cannot be run. They are in no other count."""
    answered: Counter[str] = field(default_factory=Counter)
    right: Counter[str] = field(default_factory=Counter)

    def add(self, *, answered: bool, sure: bool, right: bool | None) -> None:
        """Counts one question; ``right`` is None where nobody can tell."""
        if right is None:
            self.broken += 1
            return
        self.questions += 1
        for group in ("all", "sure" if sure else "unsure") if answered else ():
            self.answered[group] += 1
            self.right[group] += right

    def as_dict(self) -> dict[str, float]:
        """Shares: of the questions answered rightly and declined; of the answers of each group those that are right."""
        asked = self.questions or 1
        shares = {
            "questions": self.questions,
            "right": self.right["all"] / asked,
            "declined": (self.questions - self.answered["all"]) / asked,
        }
        if self.broken:
            shares["broken_gold"] = self.broken
        groups = {f"right_of_{g}": self.right[g] / self.answered[g] for g in GROUPS if self.answered[g]}
        return {**shares, **groups, "sure": self.answered["sure"] / asked}


def evaluate_lines(answerer: Answerer, lines: Iterator[dict[str, Any]], by: str) -> dict[str, Score]:
    """Asks every question and compares rows; the score of all, then of each value of the field ``by``.

    Raises InvalidRequest when there is none.
    """
    scores: dict[str, Score] = defaultdict(Score)
    for line in lines:
        sql, sure = answerer.answer(line["db_path"], line["question"])
        right = False if sql is None else is_right(answerer, sql, line)
        for name in ("all", f"{by}: {line.get(by, '-')}"):
            scores[name].add(answered=sql is not None, sure=sure, right=right)
    if not scores:
        raise InvalidRequest("There is no question with gold_sql for this kind of database.", hint=LINE)
    return dict(scores)


def read_lines(path: Path, postgres: str = "") -> Iterator[dict[str, Any]]:
    """The questions of a file, or of ``questions.jsonl`` of a directory, that are for SQLite.

    With the URL of a PostgreSQL server those for PostgreSQL, asked of its databases of the same names.
    Raises InvalidRequest for a file or line that cannot be read.
    """
    file = path / "questions.jsonl" if path.is_dir() else path
    try:
        texts = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {type(error).__name__}.", hint=LINE) from None
    for number, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            line = _parse_line(text, "question")
        except InvalidRequest as error:
            raise InvalidRequest(f"{file.name}, line {number}: {error.message}", hint=LINE) from None
        if line.get("dialect", "sqlite") != ("postgres" if postgres else "sqlite") or line.get("gold_sql") is None:
            continue
        if "db" in line and "db_path" not in line:
            own = file.parent / "databases" / f"{line['db']}.sqlite"
            line["db_path"] = f"{postgres.rstrip('/')}/{line['db']}" if postgres else str(own)
            fillings = () if postgres else (file.parent / "suite").glob(f"{line['db']}.*.sqlite")
            line["fillings"] = sorted(map(str, fillings))
        if not isinstance(line.get("db_path"), str):
            raise InvalidRequest(f"{file.name}, line {number}: The line has no 'db_path' and no 'db'.", hint=LINE)
        yield line


def _parse_line(text: str, *needed: str) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        raise InvalidRequest("The line is no JSON.", hint=LINE) from None
    if not isinstance(line, dict):
        raise InvalidRequest("The line is no JSON object.", hint=LINE)
    for name in needed:
        if not isinstance(line.get(name), str):
            raise InvalidRequest(f"The line has no '{name}' that is text.", hint=LINE)
    return line


def is_right(answerer: Answerer, sql: str, line: dict[str, Any]) -> bool | None:
    """Whether a statement finds the rows of the gold SQL, or of one of its alternatives, in every filling.

    None where that cannot be told, because a gold statement cannot be run.
    """
    paths = [line["db_path"], *line.get("fillings", [])]
    found = {_is_right(answerer.database(path), sql, line) for path in paths}
    return False if False in found else None if None in found else True


def _is_right(database: Database, sql: str, line: dict[str, Any]) -> bool | None:
    try:
        found = database.rows(sql)
    except SqlSynthesizerError:
        return False
    broken = False
    for gold in [line["gold_sql"], *line.get("gold_alternatives", [])]:
        try:
            if database.rows(gold) == found:
                return True
        except SqlSynthesizerError:
            broken = True
    return None if broken else False


def _value_text(value: object) -> str:
    return f"{value:.7g}" if isinstance(value, float) else str(value)
