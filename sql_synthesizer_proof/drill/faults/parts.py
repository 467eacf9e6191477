"""Parts of the service, and what it depends on, that stop working."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

from sql_synthesizer.operate.traffic import ASKED, RequestKind, Traffic
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.faults.locks import (
    COUNT,
    owner_connection,
    query_table,
    rename_column,
    run_in_background,
)
from sql_synthesizer_proof.drill.scenario import AlertScenario, lasting_fault, share_fault
from sql_synthesizer_proof.volume import fill_volume

HOLDERS = 8
"""Callers that wait for the locked table: more than there are connections."""
BURST = 10.0
"""Seconds that a pool is full: shorter than between two scrapes, so that it never counts as used up."""
BEAT = 30.0
"""Seconds between two changes of what is down again and again."""
KILLS = 5
"""Workers that are killed, one of which has something left to count."""
FLOOD = 150.0
"""Questions a second, each a dozen facts, that a queue of a hundred facts cannot hold."""
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%orders%'"
MARKED = (("databases_file", Path(__file__).with_name("marked.yml")), ("schema_ttl", 15))
SMALL = (("workers", 2), ("telemetry_capacity", 100))


def database_killed(chain: Chain) -> AbstractContextManager[None]:
    """The database's processes are killed."""
    return lasting_fault(chain.database.kill, chain.database.start)


def cache_killed(chain: Chain) -> AbstractContextManager[None]:
    """Redis is killed."""
    return lasting_fault(chain.cache.kill, chain.cache.start)


def model_failing(chain: Chain) -> AbstractContextManager[None]:
    """The model endpoint answers 500."""
    return lasting_fault(lambda: chain.model.fail(500, times=100_000), chain.model.recover)


@contextmanager
def connections_held(chain: Chain) -> Iterator[None]:
    """A table is locked in the database, so that every statement on it waits and holds its connection."""

    def send_statements(stop: threading.Event) -> None:
        with chain.service.client() as client:
            while not stop.is_set():
                client.send("POST", "/api/sql", {"sql": COUNT + "orders"})

    with owner_connection(chain) as connection:
        connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with run_in_background(send_statements, HOLDERS):
            yield


@contextmanager
def pool_full_at_times(chain: Chain) -> Iterator[None]:
    """More callers than there are connections want a table that is locked for seconds, again and again."""

    def hold_lock(stop: threading.Event) -> None:
        with owner_connection(chain) as connection:
            while not stop.is_set():
                connection.execute("LOCK TABLE suppliers IN ACCESS EXCLUSIVE MODE")
                stop.wait(BURST)
                connection.rollback()
                stop.wait(2 * BURST)

    with run_in_background(hold_lock), query_table(chain.service, "suppliers", HOLDERS):
        yield


@contextmanager
def session_stopped(chain: Chain) -> Iterator[None]:
    """The process of a session is stopped in the database while it waits for a table, so that nothing can end it."""

    def send_statements(stop: threading.Event) -> None:
        with chain.service.client() as client:
            while not stop.wait(1.0):
                client.send("POST", "/api/sql", {"sql": COUNT + "orders"})

    with owner_connection(chain) as connection, run_in_background(send_statements):
        connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        while (waiting := connection.execute(WAITING).fetchone()) is None:
            connection.execute("SELECT pg_sleep(0.1), pg_stat_clear_snapshot()")
        with freeze_processes([psutil.Process(waiting[0])]):
            connection.rollback()
            yield


def column_renamed(chain: Chain) -> AbstractContextManager[None]:
    """A column that the settings hide gets another name."""
    return lasting_fault(
        lambda: rename_column(chain, "customers", "newsletter", "letters"),
        lambda: rename_column(chain, "customers", "letters", "newsletter"),
    )


def audit_unwritable(chain: Chain) -> AbstractContextManager[None]:
    """The audit volume is full."""
    if chain.volume is not None:
        return fill_volume(chain.volume)
    record = chain.home / "audit" / "record"  # on no volume of its own, so that it can only be made unwritable
    return lasting_fault(lambda: record.chmod(0o500), lambda: record.chmod(0o700))


@contextmanager
def facts_flooding(chain: Chain) -> Iterator[None]:
    """More happens within a fold than the telemetry's queue holds."""
    kind = RequestKind("flood", 1, lambda _: ("POST", "/api/query", {"question": ASKED[0]}))
    with Traffic(chain.service.url, chain.service.key, FLOOD, (kind,), threads=8):
        yield


@contextmanager
def freeze_processes(processes: Sequence[psutil.Process]) -> Iterator[None]:
    """The processes are stopped, not ended."""
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def worker_frozen(chain: Chain) -> AbstractContextManager[None]:
    """One of two workers is stopped, and gunicorn's own process, which would replace it."""
    return freeze_processes(chain.service.web_processes()[:2])


def application_frozen(chain: Chain) -> AbstractContextManager[None]:
    """The web server is stopped, not ended, while the exporter lives."""
    return freeze_processes(chain.service.web_processes())


def service_killed(chain: Chain) -> AbstractContextManager[None]:
    """All processes of the service are killed."""
    return lasting_fault(chain.service.child.kill, chain.service.child.start)


def port_closed(chain: Chain) -> AbstractContextManager[None]:
    """The network between Prometheus and the service is cut."""
    return lasting_fault(chain.scrape.close, chain.scrape.open)


@contextmanager
def workers_killed(chain: Chain) -> Iterator[None]:
    """Workers of the web server are killed as soon as they have answered, before they have counted that."""
    with chain.service.client() as client:

        def has_answered(_: psutil.Process) -> bool:
            return client.send("POST", "/api/query", {"question": ASKED[0]}) != "unreachable"

        for _ in range(KILLS):
            chain.service.kill_worker(has_answered)
        yield


@contextmanager
def schema_unreadable(chain: Chain) -> Iterator[None]:
    """The database is killed, and a client asks for its schema until the one that is remembered is too old."""

    def ask_schema(stop: threading.Event) -> None:
        with chain.service.client() as client:
            while not stop.wait(1.0):
                client.send("GET", "/api/schema")

    with database_killed(chain), run_in_background(ask_schema):
        yield


def dropped_often(chain: Chain) -> AbstractContextManager[None]:
    """The application is stopped for half a minute, and goes on for half a minute, again and again."""
    return _again_and_again(lambda: freeze_processes(chain.service.web_processes()))


def database_away_often(chain: Chain) -> AbstractContextManager[None]:
    """The database is killed and is back after half a minute, again and again."""
    return _again_and_again(lambda: database_killed(chain))


def _again_and_again(make: Callable[[], AbstractContextManager[None]]) -> AbstractContextManager[None]:
    def go_on(stop: threading.Event) -> None:
        while not stop.wait(BEAT):
            with make():
                stop.wait(BEAT)

    return run_in_background(go_on)


def metrics_removed(chain: Chain) -> AbstractContextManager[None]:
    """Somebody removes the directory of metric files."""
    shutil.rmtree(chain.service.state / "metrics")
    return nullcontext()


@contextmanager
def reload_refused(chain: Chain) -> Iterator[None]:
    """A column that the settings hide gets another name, and the service is told to reload, then told again."""
    try:
        with column_renamed(chain):
            chain.service.child.send(signal.SIGHUP)
            yield
    finally:
        chain.service.child.send(signal.SIGHUP)


DATABASE_KILLED = share_fault(database_killed)

SCENARIOS = (
    AlertScenario("SqlSynthesizerDependencyDown", DATABASE_KILLED, "database"),
    AlertScenario("HighErrorRate", DATABASE_KILLED, "database"),
    AlertScenario("SqlSynthesizerDatabaseErrors", DATABASE_KILLED, "database"),
    AlertScenario("SqlSynthesizerRequestErrors", schema_unreadable, "schema", settings=(("schema_ttl", 1.0),)),
    AlertScenario("SqlSynthesizerCacheDown", cache_killed, "attacks"),
    AlertScenario("SqlSynthesizerLLMFailures", model_failing, "attacks"),
    AlertScenario("SqlSynthesizerConnectionPoolExhausted", connections_held, "pool"),
    AlertScenario("SqlSynthesizerConnectionPoolTimeouts", pool_full_at_times, "bursts"),
    AlertScenario("SqlSynthesizerSessionsLeft", session_stopped, "left"),
    AlertScenario(
        "SqlSynthesizerDependencyDegraded", column_renamed, "marks", labels={"dependency": "schema"}, settings=MARKED
    ),
    AlertScenario("SqlSynthesizerFlapping", dropped_often, "flapping"),
    AlertScenario(
        "SqlSynthesizerDependencyFlapping", database_away_often, "flapping-database", labels={"dependency": "database"}
    ),
    AlertScenario("SqlSynthesizerReloadRefused", reload_refused, "reload", settings=MARKED),
    AlertScenario("SqlSynthesizerMetricsLost", metrics_removed, "files"),
    AlertScenario("SqlSynthesizerAuditWriteFailures", audit_unwritable, "audit"),
    AlertScenario("SqlSynthesizerTelemetryDropping", facts_flooding, "flood", settings=SMALL),
    AlertScenario("SqlSynthesizerTelemetryStalled", worker_frozen, "worker", settings=SMALL),
    AlertScenario("SqlSynthesizerEventsUncounted", workers_killed, "uncounted"),
    AlertScenario("SqlSynthesizerDown", service_killed, "killed"),
    AlertScenario("SqlSynthesizerDown", application_frozen, "frozen"),
    AlertScenario("SqlSynthesizerDown", port_closed, "cut"),
)
