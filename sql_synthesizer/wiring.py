"""Builds the rooms from the settings and attaches the listeners; the one place that knows them all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel

from sql_synthesizer import telemetry
from sql_synthesizer.access import Access
from sql_synthesizer.audit import AuditLog
from sql_synthesizer.cache import AnswerCache
from sql_synthesizer.database import DatabaseManager
from sql_synthesizer.demo import CANARIES, demo_settings, ensure_demo
from sql_synthesizer.errors import ConfigurationError, QuestionEmpty, QuestionTooLong
from sql_synthesizer.guard.question import QuestionGuard
from sql_synthesizer.guard.statement import StatementGuard
from sql_synthesizer.jobs import Courier, JobLimits, JobQueue, JobWorker, Scheduler, Schedules, Webhooks
from sql_synthesizer.model import Caller, Question, Schema, fingerprint
from sql_synthesizer.model.cancellation import Cancellation
from sql_synthesizer.monitoring import catalog, gap, logs, metrics, multiprocess, slo
from sql_synthesizer.monitoring.health import Health
from sql_synthesizer.monitoring.registry import Measured
from sql_synthesizer.monitoring.regression.prometheus import Prometheus
from sql_synthesizer.monitoring.regression.watch import Regressions
from sql_synthesizer.monitoring.tail import Keeper, TailObserver
from sql_synthesizer.monitoring.trace_store import TraceStore
from sql_synthesizer.schema import SchemaCache
from sql_synthesizer.service import Service
from sql_synthesizer.service.canary import Canaries, Canary, read_canaries
from sql_synthesizer.service.slots import Slots
from sql_synthesizer.settings import DatabaseSettings, Settings, secret_text
from sql_synthesizer.store import HistoryObserver, Store
from sql_synthesizer.synthesizer import Synthesizer
from sql_synthesizer.synthesizer.embedded import EmbeddedSynthesizer
from sql_synthesizer.synthesizer.prompt import PROMPT_VERSION
from sql_synthesizer.telemetry import Observer, Telemetry, vocabulary
from sql_synthesizer.telemetry.vocabulary import Declared

if TYPE_CHECKING:
    from sql_synthesizer.synthesizer.llm import LLMSynthesizer

RESERVED_THREADS = 2
"""Threads of a worker that never hold a question, so that health and refusals are always answered."""

SHARES = 5
"""Callers that can fill the queue of jobs together: fewer cannot."""


@dataclass(slots=True, kw_only=True)
class Rooms:
    """Everything one application needs to answer questions; nothing of it is shared with another."""

    settings: Settings
    telemetry: Telemetry
    metrics: Measured
    databases: DatabaseManager
    schemas: SchemaCache
    cache: AnswerCache
    store: Store
    history: HistoryObserver
    access: Access
    service: Service
    jobs: JobQueue
    schedules: Schedules
    health: Health
    audit: AuditLog
    model: LLMSynthesizer | None
    closing: ExitStack

    def start(self) -> Self:
        """Starts the background threads: folding and health checks.

        Raises ConfigurationError, and closes the rooms, when the settings name what a database does not hold.
        """
        try:
            self.schemas.check_settings()
            if self.settings.canary_file:
                self._read_canaries()
        except ConfigurationError:
            self.close()
            raise
        if self.settings.telemetry:
            self.metrics.observer.precreate(metrics=catalog.OF_ROUTES)
        self.telemetry.start()
        self.health.start()
        return self

    def job_worker(self, threads: int) -> JobWorker:
        """A worker that asks the questions of jobs, ``threads`` at once."""
        authorize = self.access.find_owner
        courier = Courier(self.jobs, authorize, self.telemetry)
        scheduler = Scheduler(self.schedules, self.jobs, authorize, self.telemetry)
        worker = JobWorker(
            self.jobs,
            self.service.ask,
            authorize,
            self.telemetry,
            threads=threads,
            deadline=self.settings.deadline,
            beside=(courier.run, scheduler.run),
        )
        if self.jobs.bell is not None:
            worker.beside.append(partial(self.jobs.bell.listen, worker.wake))
        return worker

    def canaries(self) -> Canaries | None:
        """What asks the questions with known results; None where there are none. Raises ConfigurationError."""
        if not (found := self._read_canaries()):
            return None
        watch = Canaries(
            found,
            self.service.ask,
            self.service.run,
            self.schemas,
            self.store.notes,
            self.telemetry,
            seconds=self.settings.canary_seconds,
            deadline=self.settings.deadline,
            max_rows=self.settings.max_rows,
        )
        self.metrics.observer.precreate(metrics=catalog.OF_CANARIES)
        return watch

    def regressions(self) -> Regressions | None:
        """What looks for regressions; None where Prometheus is not known. Raises ConfigurationError."""
        settings = self.settings
        if not settings.prometheus_url:
            return None
        return Regressions(
            Prometheus(settings.prometheus_url), self.store.notes, self.telemetry, settings.regression_week
        )

    def _read_canaries(self) -> tuple[Canary, ...]:
        settings = self.settings
        path = settings.canary_file or (None if settings.databases() else CANARIES)
        return () if path is None or not settings.canary_seconds else read_canaries(path, self.databases.names)

    def build_question(
        self,
        caller: Caller,
        text: str,
        database: str | None = None,
        max_rows: int | None = None,
        cancellation: Cancellation | None = None,
        *,
        fresh: bool = False,
    ) -> Question:
        """A question within the settings' limits, with their deadline from now. Raises UnknownDatabase."""
        name, rows = self.bound_request(database, max_rows)
        deadline = time.monotonic() + self.settings.deadline
        return Question(text, name, caller, rows, deadline, cancellation or Cancellation(), fresh)

    def bound_request(self, database: str | None, max_rows: int | None) -> tuple[str, int]:
        """The database that is meant, and the rows that may be asked for. Raises UnknownDatabase."""
        name = self.databases.config(database or self.databases.default).name
        return name, min(max_rows or self.settings.max_rows, self.settings.row_cap)

    def close(self) -> None:
        """Ends the threads, folds what is left, makes the audit record durable and closes connections."""
        self.closing.close()


def build_rooms(settings: Settings, facade: Telemetry | None = None, *, logging: bool = True) -> Rooms:
    """Wires an application that reports to ``facade``, by default to a new one, until ``Rooms.close``.

    Only one application at a time can have a facade. In multi-process mode the metrics of a process are in one set of
    files, so there the default is the process's own facade. ``logging`` writes its events to standard output.
    Raises ConfigurationError, StoreUnavailable.
    """
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"The state directory {settings.state_dir} cannot be used: {error.strerror}.",
            hint="Make it writable, or choose another directory with SQL_SYNTHESIZER_STATE_DIR.",
        ) from None
    facade = facade or (Telemetry() if multiprocess.directory is None else telemetry.default)
    facade.claim()
    closing = ExitStack()
    try:
        return _wire_rooms(settings, facade, closing, logging=logging)
    except BaseException:
        closing.close()
        facade.close()
        raise


def _wire_rooms(settings: Settings, facade: Telemetry, closing: ExitStack, *, logging: bool) -> Rooms:
    """Builds the rooms; those to be closed are pushed on ``closing``, which closes the last one first."""
    facade.sample_ratio, facade.capacity = settings.trace_ratio, settings.telemetry_capacity
    facade.slow_ns = int((settings.trace_slow or slo.LATENCY_BOUND) * 1e9)
    store = Store(secret_text(settings.store_url), settings.state_dir)
    closing.callback(store.close)
    configured = configured_databases(settings)
    databases = DatabaseManager(configured, settings, facade)
    closing.callback(databases.close)
    cache = AnswerCache(settings, facade, _cache_secret(settings, store))
    closing.callback(cache.close)
    audit = _build_audit(settings, facade, closing)
    model = _build_model(settings, facade)
    synthesizers = _build_synthesizers(settings, model, closing)
    schemas = _build_schemas(settings, facade, databases, configured)
    access = Access(settings, store, facade)
    service = Service(
        telemetry=facade,
        databases=databases,
        schemas=schemas,
        question_guard=QuestionGuard(facade, access.suspicions.count_suspicion, max_chars=settings.max_question_chars),
        statement_guard=StatementGuard(),
        synthesizers=synthesizers,
        cache=cache,
        slots=Slots(settings.threads - RESERVED_THREADS, settings.question_queue),
        statement_timeout=settings.statement_timeout,
        check_budget=access.budgets.check,
        cache_version=_cache_version(settings, synthesizers),
    )
    version = fingerprint(settings.model_dump_json() + "".join(map(BaseModel.model_dump_json, configured)))
    facade.read(vocabulary.CONFIGURATION, lambda: [({}, float(version))])
    facade.read(vocabulary.SCHEMA_VERSION, schemas.fingerprints)
    health = _build_health(settings, facade, databases, schemas, cache, store, audit, model)
    closing.callback(health.close)
    history = HistoryObserver(store, facade)
    jobs = _build_jobs(settings, store, facade, closing)
    measured = metrics.facade_metrics(facade)
    facade.observers = [history]
    if settings.telemetry:
        _precreate_series(measured, databases, cache)
        facade.observers += [measured.observer, *_build_exporters(settings, facade, logging=logging)]
    return Rooms(
        settings=settings,
        telemetry=facade,
        metrics=measured,
        databases=databases,
        schemas=schemas,
        cache=cache,
        store=store,
        history=history,
        access=access,
        service=service,
        jobs=jobs,
        schedules=Schedules(store, jobs, facade, settings.schedule_limit),
        health=health,
        audit=audit,
        model=model,
        closing=closing,
    )


def check_text(text: str, limit: int) -> None:
    """Raises QuestionEmpty, QuestionTooLong."""
    if not text.strip():
        raise QuestionEmpty
    if len(text) > limit:
        raise QuestionTooLong(f"The text has {len(text)} characters; the limit is {limit}.")


def configured_databases(settings: Settings) -> tuple[DatabaseSettings, ...]:
    """The configured databases, else the demo shop, which is created when it is missing."""
    databases = settings.databases()
    if not databases:
        ensure_demo(settings.demo_path)
        databases = (demo_settings(settings.demo_path),)
    return databases


def first_key_path(settings: Settings) -> Path:
    """Where the first API key is written when keys are required and none exists."""
    return settings.state_dir / "first-api-key"


def _cache_secret(settings: Settings, store: Store) -> bytes:
    given = secret_text(settings.cache_secret)
    return given.encode() if given else store.secret("cache")


def _cache_version(settings: Settings, synthesizers: tuple[Synthesizer, ...]) -> str:
    parts = [
        PROMPT_VERSION,
        settings.model,
        settings.openai_base_url or "",
        *(synthesizer.source for synthesizer in synthesizers),
        str(settings.sure_confidence),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _build_synthesizers(
    settings: Settings, model: LLMSynthesizer | None, closing: ExitStack
) -> tuple[Synthesizer, ...]:
    embedded = EmbeddedSynthesizer(settings.sure_confidence)
    if model is None:
        return (embedded,)
    closing.callback(model.close)
    return (model, embedded)


def _build_model(settings: Settings, facade: Telemetry) -> LLMSynthesizer | None:
    if not settings.openai_api_key and not settings.openai_base_url:
        return None
    from sql_synthesizer.synthesizer.llm import LLMSynthesizer  # noqa: PLC0415

    return LLMSynthesizer(settings, facade)


def _build_audit(settings: Settings, facade: Telemetry, closing: ExitStack) -> AuditLog:
    """The recorder of the facade; once both are closed, nothing is left to count."""
    facade.recorder = audit = AuditLog(settings, facade)
    closing.callback(gap.note_writer(multiprocess.directory if settings.telemetry else None, audit.writer))
    closing.callback(facade.close)
    return audit


def _build_jobs(settings: Settings, store: Store, facade: Telemetry, closing: ExitStack) -> JobQueue:
    share = settings.job_queue // SHARES
    limits = JobLimits(settings.job_queue, share, settings.job_seconds, settings.job_days)
    secrets = secret_text(settings.webhook_secret) or ""
    jobs = JobQueue(store, facade, limits, Webhooks(settings.webhook_hosts, settings.webhook_networks, secrets))
    if settings.job_wakeups == "redis":
        from sql_synthesizer.jobs.bell import RedisBell  # noqa: PLC0415

        jobs.bell = RedisBell(secret_text(settings.redis_url), settings.cache_timeout)
        closing.callback(jobs.bell.close)
    return jobs


def _build_health(
    settings: Settings,
    facade: Telemetry,
    databases: DatabaseManager,
    schemas: SchemaCache,
    cache: AnswerCache,
    store: Store,
    audit: AuditLog,
    model: LLMSynthesizer | None,
) -> Health:
    health = Health(facade, draining=settings.drain_file.exists)

    def ping_database(name: str, timeout: float) -> str:
        told = databases.ping(name, timeout)
        schemas.ping(name, timeout, last=False)
        return told

    for name in databases.names:
        end = "" if len(databases.names) == 1 else f"_{name}"
        health.register(f"database{end}", partial(ping_database, name), required=True, group="databases")
        health.register(f"schema{end}", partial(schemas.ping, name, last=True), required=False)
    health.register("security_audit", audit.ping, required=True, failing=lambda: audit.failing)
    health.register("store", lambda _timeout: store.ping(), required=True)
    if cache.type != "off":
        health.register("cache", cache.ping, required=False)
    if model is not None:
        health.register("model", model.ping, required=False)
    return health


def _build_schemas(
    settings: Settings, facade: Telemetry, databases: DatabaseManager, configured: Sequence[DatabaseSettings]
) -> SchemaCache:
    schemas = SchemaCache(databases.connect, configured, settings, partial(_declare_tables, facade, len(configured)))
    facade.read(vocabulary.OBJECTS_LEFT_OUT, schemas.count_left_out)
    return schemas


def _declare_tables(facade: Telemetry, databases: int, schema: Schema) -> None:
    """Lets labels name the first tables of each database, the same in every process; each has room for as many."""
    names = sorted(table.name.casefold() for table in schema.tables)[: max(1, Declared.LIMIT // databases)]
    facade.declared.declare(vocabulary.TABLE, *(f"{schema.database}.{name}" for name in names))


def _precreate_series(measured: Measured, databases: DatabaseManager, cache: AnswerCache) -> None:
    database_types = sorted({databases.dialect(name) for name in databases.names} | {"unknown"})
    measured.observer.precreate({"database_type": database_types, "cache_type": [cache.type]})


def _build_exporters(settings: Settings, facade: Telemetry, *, logging: bool) -> Iterator[Observer]:
    if logging:
        yield logs.LogObserver(settings, facade)
    keepers: list[Keeper] = [TraceStore(settings, facade)] if settings.trace_store_bytes else []
    if settings.otlp_endpoint:
        from sql_synthesizer.monitoring.tracing import SpanExport  # noqa: PLC0415

        keepers.append(SpanExport(settings, facade))
    if keepers:
        yield TailObserver(settings, facade, keepers)
