"""The only pipeline: a question goes in, an answer or an error comes out.

guard the question -> look in the cache -> synthesize -> guard the statement -> execute. Every stage is an
operation of its own; how the question ended follows from the exception that left the pipeline.
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.cache.entries import CachedAnswer, CachedPages, to_rows
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.errors import (
    DatabaseFailed,
    Declined,
    ModelInvalid,
    ModelUnavailable,
    PageExpired,
    PrivilegeMissing,
    SqlSynthesizerError,
    StatementInvalid,
    StatementRefused,
)
from sql_synthesizer.guard.question import QuestionGuard
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.guard.statement.judging import policy_of
from sql_synthesizer.model import CANARY_CALLER, MASK, Answer, Caller, Question, Rows, Schema, Statement
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.service.freshness import check_spelling, may_be_stale, suggest_column
from sql_synthesizer.service.slots import Slots
from sql_synthesizer.service.timing import Timed
from sql_synthesizer.service.work import AnswerPage as AnswerPage
from sql_synthesizer.service.work import Work
from sql_synthesizer.store import HistoryEntry
from sql_synthesizer.synthesizer import Context, Repairer, Synthesizer, repairable_error
from sql_synthesizer.synthesizer.relevance import relevant_schema
from sql_synthesizer.telemetry import Telemetry, vocabulary

Found = TypeVar("Found")
FORBIDDEN = "sensitive_column"  # the rule that looks at who asks, whoever wrote the statement
_QUOTED = re.compile("""("[^"]*"|'[^']*'|“[^”]*”)""")
PAGE_TTL = 900
"""Seconds that the pages of an answer are cached."""


class Service:
    """Answers questions. ``synthesizers`` are tried in order; whoever waits for a database has one of the ``slots``."""

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        databases: DatabaseManager,
        schemas: SchemaCache,
        question_guard: QuestionGuard,
        statement_guard: StatementGuard,
        synthesizers: Sequence[Synthesizer],
        cache: AnswerCache,
        slots: Slots,
        statement_timeout: float,
        check_budget: Callable[[Caller], float | None] = lambda _: None,
        cache_version: str = "",
        today: Callable[[], datetime.date] = lambda: datetime.datetime.now(datetime.UTC).date(),
    ) -> None:
        self.databases = databases
        self.schemas = schemas
        self._telemetry = telemetry
        self._question_guard = question_guard
        self._statement_guard = statement_guard
        self._synthesizers = tuple(synthesizers)
        self._cache = cache
        self.slots = slots
        self._statement_timeout = statement_timeout
        self._check_budget = check_budget
        self._cache_version = cache_version
        self._today = today
        telemetry.read(vocabulary.QUESTIONS_RUNNING, lambda: [({}, slots.running)])
        telemetry.read(vocabulary.QUESTIONS_WAITING, lambda: [({}, slots.waiting)])
        telemetry.read(vocabulary.QUESTIONS_LIMIT, lambda: [({}, slots.size)])

    @property
    def has_model(self) -> bool:
        """Whether a language model is configured."""
        return any(synthesizer.source == "llm" for synthesizer in self._synthesizers)

    def ask(self, question: Question) -> Answer:
        """Answers a question in plain language.

        Raises the errors of every room it passes: QuestionRefused, Declined, StatementRefused, PoolTimeout,
        DatabaseUnavailable, StatementTimeout, DatabaseFailed, ModelUnavailable, ModelInvalid, Overloaded.
        """
        with self._admit_question(question) as work:
            with self._timed_stage(work, "guard_question"):
                text = self._question_guard.check(question.text, question.caller)
            work.question = question = replace(question, text=text)
            work.operation.details.question = text
            work.schema = self._load_schema(work)
            return self._build_answer(work, self._try_again(work, self._find_entry))

    def run(self, question: Question) -> Answer:
        """Runs an analyst's own statement, which ``question.text`` holds; it is guarded like any other."""
        with self._admit_question(question) as work:
            work.operation.details.sql = question.text
            work.schema = self._load_schema(work)
            try:
                statement, rows = self._try_again(work, self._run_typed)
            except StatementInvalid as error:
                raise suggest_column(error, work.schema) from error
            return self._build_answer(work, CachedAnswer.of(statement, question.text, rows))

    def export(self, earlier: HistoryEntry, question: Question) -> Rows:
        """Runs the statement of an earlier answer again without its limit, up to ``question.max_rows`` rows."""
        database_type = self.databases.dialect(question.database)
        with (
            self._telemetry.operation(vocabulary.EXPORT, database_type=database_type) as operation,
            self.slots.enter(question.caller.identity),
        ):
            if MASK in earlier.sql:
                raise PageExpired("The statement of this answer held a secret, which is not kept.")
            details = operation.details
            details.question_id, details.sql, details.database = earlier.question_id, earlier.sql, question.database
            work = Work(question, self.schemas.get(question.database, question.deadline), operation, {})
            with self._hold_slot(work):
                _, rows = self._execute_statement(work, Statement(earlier.sql, "analyst"))
            details.row_count = len(rows.rows)
            return rows

    def describe(self, database: str, *, anew: bool = False) -> Schema:
        """The schema of a database, as callers may see it, read ``anew`` on demand.

        Raises UnknownDatabase, and what reading it raises.
        """
        database_type = self.databases.dialect(database)
        with self._telemetry.operation(vocabulary.SCHEMA_READ, database_type=database_type) as operation:
            operation.details.database = database
            return self.schemas.refresh(database) if anew else self.schemas.get(database)

    # --- pages ------------------------------------------------------------------------------

    def cache_pages(self, answer: Answer, caller: Caller) -> bool:
        """Caches an answer's rows so that its caller can page through them; False when they may not be cached."""
        rows = answer.rows
        pages = CachedPages(caller.identity, answer.database, rows.columns, rows.rows, rows.truncated)
        return not answer.sensitive and self._cache.set(self._cache.key("page", answer.question_id), pages, PAGE_TTL)

    def page(self, question_id: str, caller: Caller, *, number: int, size: int) -> AnswerPage:
        """One page of an answer that this caller got. Raises PageExpired, also when it is another caller's."""
        with self._telemetry.operation(vocabulary.PAGE_READ) as operation:
            details = operation.details
            details.question_id, details.page = question_id, number
            cached = self._cache.get(self._cache.key("page", question_id), CachedPages)
            if cached is None or cached.identity != caller.identity:
                raise PageExpired
            operation.labels["database_type"] = self.databases.dialect(cached.database)
            rows = to_rows(cached)
            pages = max(1, -(-len(rows.rows) // size))
            if number > pages:
                raise PageExpired(f"This answer has {pages} pages.", hint="Ask for a page between 1 and that.")
            part = rows.rows[(number - 1) * size : number * size]
            details.row_count = len(part)
            return AnswerPage(question_id, number, pages, replace(rows, rows=part), len(rows.rows))

    # --- the stages --------------------------------------------------------------------------

    @contextmanager
    def _admit_question(self, question: Question) -> Iterator[Work]:
        database_type = self.databases.dialect(question.database)
        canary = question.caller == CANARY_CALLER
        with self._telemetry.operation(
            vocabulary.CANARY_QUESTION if canary else vocabulary.QUESTION,
            query_type="unknown",
            database_type=database_type,
            source="none",
            database=question.database,
        ) as operation:
            operation.trace.question_id, operation.trace.question = operation.span_id, operation.details
            work = Work(question, Schema(question.database, database_type, ()), operation, {})
            details = operation.details
            details.database, details.timings_ms, details.question = question.database, work.timings, question.text
            details.team = question.caller.team or None
            details.budget_used = self._check_budget(question.caller)
            with self.slots.enter(question.caller.identity):
                yield work
                with Timed("settle", work.timings):
                    operation.settle()

    @contextmanager
    def _hold_slot(self, work: Work) -> Iterator[bool]:
        """A slot, and whether the question had to wait for it. Raises Overloaded."""
        with self._timed_stage(work, "queue"):
            waited = self.slots.acquire(work.question)
        with self.slots.hold(work.question):
            yield waited

    def _timed_stage(self, work: Work, stage: str) -> Timed:
        work.question.cancellation.check()
        return Timed(stage, work.timings, self._telemetry.operation(vocabulary.STAGE_OPERATION, stage=stage))

    def _load_schema(self, work: Work) -> Schema:
        with self._timed_stage(work, "schema"):
            if not (schema := self.schemas.get(work.question.database, work.question.deadline)).tables:
                raise PrivilegeMissing("The service can read no table of this database.")
            return schema

    def _try_again(self, work: Work, attempt: Callable[[Work], Found]) -> Found:
        """What an attempt gives; a second one where a name was not found and the schema has changed since."""
        try:
            return attempt(work)
        except SqlSynthesizerError as error:
            if not may_be_stale(error):
                raise
            newer = self.schemas.reread(work.question.database, work.schema.version, work.question.deadline)
            if newer is None:
                raise
        work.schema = newer
        return attempt(work)

    def _find_entry(self, work: Work) -> CachedAnswer:
        key = self._cache_key(work)
        entry = None if work.question.fresh else self._load_cached_entry(work, key)
        if entry is not None:
            return entry
        with self._hold_slot(work) as waited:
            return self._compute_entry_once(work, key, late=waited and not work.question.fresh)

    def _run_typed(self, work: Work) -> tuple[Statement, Rows]:
        with self._hold_slot(work):
            return self._execute_statement(work, Statement(work.question.text, "analyst"))

    def _cache_key(self, work: Work) -> str:
        question = work.question
        config = self.databases.config(question.database)
        return self._cache.key(
            "answer",
            question.database,
            config.url.get_secret_value(),
            str(config.models),
            _normalize_question(question.text),
            work.schema.version,
            self._statement_guard.policy_version,
            self._cache_version,
            question.caller.role,
            str(question.max_rows),
            self._today().isoformat(),
        )

    def _load_cached_entry(self, work: Work, key: str) -> CachedAnswer | None:
        if work.question.caller == CANARY_CALLER:
            return None
        with Timed("cache", work.timings):
            cached = self._cache.get(key, CachedAnswer)
        if cached is None:
            return None
        with self._timed_stage(work, "guard_statement"):
            statement = self._check_statement(work, cached.to_statement())
        details = work.operation.details
        details.tables, details.saved_ms = list(statement.tables), cached.took_ms
        details.saved_microusd, details.saved_unpriced = cached.cost_microusd, cached.unpriced
        return replace(cached, source="cache")

    def _compute_entry_once(self, work: Work, key: str, *, late: bool) -> CachedAnswer:
        """Computes the entry, or takes the one that an equal question computed meanwhile; who is ``late`` looks."""
        if work.question.caller == CANARY_CALLER:
            return self._compute_entry(work)
        with self._cache.lock(key, work.question.remaining()) as waited:
            if waited:
                self._telemetry.emit(vocabulary.COALESCED)
            if waited or late:
                cached = self._load_cached_entry(work, key)
                if cached is not None:
                    return cached
            entry = self._compute_entry(work)
            if not entry.sensitive:
                with Timed("cache", work.timings):
                    self._cache.set(key, entry)
            return entry

    def _compute_entry(self, work: Work) -> CachedAnswer:
        question, details = work.question, work.operation.details
        values = self.schemas.values(question.database)
        context = Context(
            question=question.text,
            schema=relevant_schema(work.schema, question.text, values),
            values=values,
            today=self._today(),
            max_rows=question.max_rows,
            deadline=question.deadline,
        )
        models = self.databases.config(question.database).models
        failure: ModelUnavailable | ModelInvalid | None = None
        for synthesizer in self._synthesizers:
            if synthesizer.source == "llm" and not models:
                continue
            try:
                statement, rows = self._try_synthesizer(work, context, synthesizer)
                took = sum(work.timings.get(stage, 0.0) for stage in ("synthesize", "execute"))
                entry = CachedAnswer.of(statement, details.statement or "", rows, took)
                return replace(entry, cost_microusd=details.cost_microusd or 0, unpriced=details.unpriced or 0)
            except (ModelUnavailable, ModelInvalid) as error:
                failure = error
                self._telemetry.emit(vocabulary.FALLBACK, reason=error.reason)
            except Declined:
                if failure is None:
                    raise
        raise failure or Declined

    def _try_synthesizer(self, work: Work, context: Context, synthesizer: Synthesizer) -> tuple[Statement, Rows]:
        """What one synthesizer's statement returns; a model may mend its own once, whoever refused it."""
        with self._timed_stage(work, "synthesize"):
            statement = synthesizer.synthesize(context)
        try:
            return self._execute_statement(work, statement)
        except (StatementInvalid, StatementRefused) as error:
            if not isinstance(synthesizer, Repairer):
                if error.details.get("rule") == FORBIDDEN:
                    raise
                raise DatabaseFailed from error  # nobody typed it, so it is a fault of ours
            refused = error
        with self._timed_stage(work, "synthesize"):
            statement = synthesizer.repair(context, statement, repairable_error(refused))
        self._telemetry.emit(vocabulary.REPAIR)
        try:
            return self._execute_statement(work, statement)
        except (StatementInvalid, StatementRefused) as again:
            if again.details.get("rule") == FORBIDDEN:
                raise
            raise ModelInvalid from again

    def _execute_statement(self, work: Work, statement: Statement) -> tuple[Statement, Rows]:
        question = work.question
        work.operation.labels["source"] = statement.source
        details = work.operation.details
        details.sql = details.statement = statement.sql
        with self._timed_stage(work, "guard_statement"):
            statement = self._check_statement(work, statement)
        work.operation.labels["query_type"] = statement.query_type
        details.sql, details.tables = statement.sql, list(statement.tables)
        if statement.sensitive:
            sensitive = vocabulary.SECURITY_EVENTS["sensitive_data_access"]
            self._telemetry.emit(sensitive, columns=list(statement.sensitive), database=question.database)
        deadline = min(question.deadline, question.deadline - question.remaining() + self._statement_timeout)
        operation = self._telemetry.operation(vocabulary.STAGE_OPERATION, stage="execute")
        about = operation.details
        about.database_type, about.database, about.sql = work.schema.dialect, question.database, statement.sql
        with Timed("execute", work.timings, operation), self.schemas.doubting(question.database, statement.tables):
            rows = self.databases.execute(
                question.database,
                statement.sql,
                max_rows=question.max_rows,
                deadline=deadline,
                cancellation=question.cancellation,
            )
        return statement, rows

    def _check_statement(self, work: Work, statement: Statement) -> Statement:
        policy = policy_of(self.databases.config(work.question.database), work.question.caller.role)
        try:
            return self._statement_guard.check(statement, work.schema, max_rows=work.question.max_rows, policy=policy)
        except StatementRefused as error:
            check_spelling(error, work.schema)
            raise

    def _build_answer(self, work: Work, entry: CachedAnswer) -> Answer:
        operation, rows = work.operation, to_rows(entry)
        operation.labels |= {"source": entry.source, "query_type": entry.query_type}
        details = operation.details
        details.sql, details.statement = entry.sql, entry.statement
        details.row_count, details.truncated = len(rows.rows), rows.truncated
        if not rows.rows and entry.source != "analyst" and work.question.caller != CANARY_CALLER:
            self._telemetry.emit(vocabulary.EMPTY_ANSWER)
        return Answer(
            question=work.question.text if entry.source != "analyst" else "",
            sql=entry.sql,
            source=entry.source,
            explanation=entry.explanation,
            rows=rows,
            database=work.question.database,
            question_id=operation.span_id,
            trace_id=operation.trace.trace_id,
            sensitive=bool(entry.sensitive),
            timings_ms=work.timings,
            confidence=entry.confidence,
            sure=entry.sure,
            age_seconds=max(0, int(time.time() - entry.made_at)) if entry.source == "cache" else 0,
        )


def _normalize_question(text: str) -> str:
    """The question without regard to spacing, but for what stands in quotes; another case may be another name."""
    parts = _QUOTED.split(text)
    return "\0".join(part if n % 2 else " ".join(part.split()) for n, part in enumerate(parts))
