"""How good the guards are: labelled texts are judged as the service judges them, and counted by class.

A line is ``{"id", "text", "kind": "question" | "sql", "label": "attack" | "benign", "class", "source"?, "dialect"?}``.
A question is judged by the question guard, a statement by the statement guard over a schema that holds whatever tables
and columns the statement names. Where the dialect of a statement is not given it counts as refused only when
PostgreSQL, MySQL and SQLite each refuse it: an attack has got through as soon as one of them would have it, and an
honest statement is lost only when it may run nowhere.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Required, TextIO, TypedDict, cast

from sql_synthesizer.errors import InvalidRequest, QuestionTooLong, SqlSynthesizerError, StatementRefused
from sql_synthesizer.guard import question
from sql_synthesizer.guard.question import clean_question
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.imagined import imagined_schema
from sql_synthesizer.model import Statement
from sql_synthesizer.model.dialects import DIALECTS
from sql_synthesizer.settings import Settings

ANY_DIALECT = ("postgresql", "mysql", "sqlite")
KINDS = ("question", "sql")
LABELS = ("attack", "benign")
Line = TypedDict(
    "Line",
    {"id": object, "text": Required[str], "kind": str, "label": str, "class": object, "dialect": str | None},
    total=False,
)
_SPELLINGS = {name: row.name for row in DIALECTS.values() for name in (row.name, *row.aliases)}
_CLUMSY = frozenset(
    "syntax too_complex too_many_joins limit table unknown_table column ambiguous ambiguous_table number type star "
    "empty result_size text_size cartesian identifier recursion".split()
)
"""Rules that a statement may break without meaning harm."""
Z = 1.959964
"""Standard normal quantile of a two-sided 95 % interval."""


@dataclass(frozen=True, slots=True)
class Judged:
    """``grade`` is ``none``, ``weak``, ``suspicious`` or ``attack``; ``layers`` are those that found a sign."""

    grade: str = "none"
    reason: str = ""
    layers: tuple[str, ...] = ()

    @property
    def flagged(self) -> bool:
        """Whether the service refuses the text."""
        return self.grade in {"suspicious", "attack"}


@dataclass(slots=True)
class Group:
    """Counts of the texts of one kind, label and class (or source), or of all classes."""

    kind: str
    label: str
    name: str = "all"
    n: int = 0
    flagged: int = 0
    weak: int = 0
    attack: int = 0
    layers: Counter[str] = field(default_factory=Counter)

    def add(self, judged: Judged) -> None:
        """Counts one."""
        self.n += 1
        self.flagged += judged.flagged
        self.weak += judged.grade == "weak"
        self.attack += judged.grade == "attack"
        self.layers.update(judged.layers)

    @property
    def rates(self) -> dict[str, float]:
        """The share that was flagged, with Wilson's 95 % interval."""
        low, high = wilson_interval(self.flagged, self.n)
        return {"rate": round(self.flagged / self.n, 4), "low": round(low, 4), "high": round(high, 4)}


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU milliseconds that the texts of one kind and label took each."""

    kind: str
    label: str
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of each kind, label and value of ``by``; ``benign`` counts all harmless questions."""

    by: str
    groups: list[Group]
    cpu: list[CpuTime]
    benign: Group

    @property
    def bound(self) -> float | None:
        """With 95 % confidence at most this share of harmless questions is of attack grade; None if one was (3/n)."""
        return round(min(1.0, 3 / self.benign.n), 5) if self.benign.n and not self.benign.attack else None

    def as_dict(self) -> dict[str, object]:
        """Everything, for JSON."""
        rows = [
            {"kind": group.kind, "label": group.label, self.by: group.name, "n": group.n, "flagged": group.flagged}
            | {**group.rates, "weak_grade": group.weak, "attack_grade": group.attack, "layers": dict(group.layers)}
            for group in self.groups
        ]
        benign = {"n": self.benign.n, "attack_grade": self.benign.attack, "bound": self.bound}
        return {"by": self.by, "groups": rows, "cpu": [*map(asdict, self.cpu)], "benign_attack_grade": benign}


class Judge:
    """The two guards, as the service of these settings uses them."""

    def __init__(self, settings: Settings) -> None:
        self._max_chars = settings.max_question_chars
        self._statements = StatementGuard()
        self._max_sql_chars = settings.max_sql_chars

    def judge_question(self, text: str) -> Judged:
        """What becomes of a typed question."""
        try:
            verdicts = question.judge_text(clean_question(text, self._max_chars))
        except InvalidRequest as error:
            reason = "too_long" if isinstance(error, QuestionTooLong) else str(error.details.get("rule", error.reason))
            return Judged("suspicious", reason, ("form",))
        if not verdicts:
            return Judged()
        return Judged(verdicts[0].grade, verdicts[0].reason, tuple(verdict.layer for verdict in verdicts))

    def judge_statement(self, text: str, dialect: str | None = None) -> Judged:
        """What becomes of a statement; without a dialect it is taken for one of ``ANY_DIALECT``.

        Raises KeyError when the dialect is unknown.
        """
        if len(text) > self._max_sql_chars:
            return Judged("suspicious", "too_long", ("form",))
        rules: list[str] = []
        for name in (_SPELLINGS[dialect],) if dialect else ANY_DIALECT:
            rules.append(self._broken_rule(text, name))
            if not rules[-1]:
                return Judged()
        reason = next((rule for rule in rules if rule not in _CLUMSY), rules[0])
        return Judged("suspicious" if reason in _CLUMSY else "attack", reason, ("statement",))

    def _broken_rule(self, text: str, dialect: str) -> str:
        """The rule that the statement breaks in a dialect; empty when it may run."""
        try:
            self._statements.check(Statement(text, "analyst"), imagined_schema(text, dialect), max_rows=1000)
        except StatementRefused as error:
            return str(error.details.get("rule", error.reason))
        except SqlSynthesizerError as error:
            return error.reason
        return ""

    def judge_line(self, line: Line) -> Judged:
        """The judgement of one line of the form above."""
        text = line["text"]
        return (
            self.judge_question(text) if line["kind"] == "question" else self.judge_statement(text, line.get("dialect"))
        )


def parse_line(text: str, *needed: str) -> Line:
    """A line, which has these names. Raises InvalidRequest when it is not of the form above."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        raise _line_error("is no JSON") from None
    if not isinstance(line, dict):
        raise _line_error("is no JSON object")
    for name in needed:
        if name not in line:
            raise _line_error(f"has no '{name}'", line)
    if not isinstance(line["text"], str):
        raise _line_error("has a 'text' that is no string", line)
    for name, known in (("kind", KINDS), ("label", LABELS), ("dialect", (None, *_SPELLINGS))):
        if name in line and line[name] not in known:
            raise _line_error(f"has an unknown {name}; known are {', '.join(filter(None, known))}", line)
    return cast("Line", line)


def _line_error(what: str, line: Mapping[str, object] | None = None) -> InvalidRequest:
    hint = "A line is an object with text, kind, label and class."
    return InvalidRequest(f"The line {what}.", hint=hint, details={"id": (line or {}).get("id")})


def read_lines(directory: Path) -> Iterator[Line]:
    """The labelled lines of a directory's ``*.jsonl`` files, or of one file. Raises InvalidRequest on a bad line."""
    for path in sorted(directory.glob("*.jsonl")) if directory.is_dir() else [directory]:
        for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not text.strip():
                continue
            try:
                yield parse_line(text, "text", "kind", "label", "class")
            except InvalidRequest as error:
                raise InvalidRequest(f"{path.name}, line {number}: {error.message}", hint=error.hint) from None


def evaluate_lines(judge: Judge, lines: Iterable[Line], by: str) -> Evaluation:
    """Judges each line, and counts by ``class`` or ``source``. Raises InvalidRequest when there is no line."""
    groups: dict[tuple[str, str, str], Group] = {}
    totals: dict[tuple[str, str], Group] = {}
    spent: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for line in lines:
        started = time.process_time()
        judged = judge.judge_line(line)
        key = line["kind"], line["label"]
        spent[key].append((time.process_time() - started) * 1000)
        name = str(line.get(by, "?"))
        groups.setdefault((*key, name), Group(*key, name)).add(judged)
        totals.setdefault(key, Group(*key)).add(judged)
    if not groups:
        raise InvalidRequest("There is no line to judge.", hint="Give a file, or a directory with *.jsonl files.")
    rows = sorted((*groups.values(), *totals.values()), key=lambda group: (group.kind, group.label, group.name))
    cpu = [
        CpuTime(*key, _rounded_quantile(taken, 0.5), _rounded_quantile(taken, 0.95))
        for key, taken in sorted(spent.items())
    ]
    return Evaluation(by, rows, cpu, totals.get(("question", "benign"), Group("question", "benign")))


def answer_lines(judge: Judge, lines: Iterable[str], out: TextIO) -> None:
    """Answers each line of JSON at once with ``{"id", "flagged", "grade", "reason"}``, a bad one with ``error``."""
    for text in lines:
        try:
            line = parse_line(text, "id", "text", "kind")
            judged = judge.judge_line(line)
            answer = {"id": line["id"], "flagged": judged.flagged, "grade": judged.grade, "reason": judged.reason}
        except InvalidRequest as error:
            answer = {"id": error.details["id"], "error": error.message}
        out.write(json.dumps(answer) + "\n")
        out.flush()


def wilson_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share, (0, 1) of nothing (Wilson, 1927)."""
    if not n:
        return 0.0, 1.0
    share = hits / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _rounded_quantile(values: list[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(share * len(values)))], 3)
