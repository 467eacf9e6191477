"""Parts of the service, and what it depends on, that stop working."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sql_synthesizer.operate.traffic import ASKED, RequestKind, Traffic
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.faults.locks import COUNT, owner_connection, run_in_background
from sql_synthesizer_proof.drill.scenario import AlertScenario

HOLDERS = 8
"""Callers that wait for the locked table: more than there are connections."""
FLOOD = 150.0
"""Questions a second, each a dozen facts, that a queue of a hundred facts cannot hold."""
SMALL = (("workers", 2), ("telemetry_capacity", 100))


@contextmanager
def database_killed(chain: Chain) -> Iterator[None]:
    """The database's processes are killed."""
    chain.database.kill()
    yield
    chain.database.start()


@contextmanager
def cache_killed(chain: Chain) -> Iterator[None]:
    """Redis is killed."""
    chain.cache.kill()
    yield
    chain.cache.start()


@contextmanager
def model_failing(chain: Chain) -> Iterator[None]:
    """The model endpoint answers 500."""
    chain.model.fail(500, times=100_000)
    yield
    chain.model.recover()


@contextmanager
def connections_held(chain: Chain) -> Iterator[None]:
    """Another client locks a table, so that every statement on it waits and holds its connection."""

    def send_statements(stop: threading.Event) -> None:
        with chain.service.client() as client:
            while not stop.is_set():
                client.send("POST", "/api/sql", {"sql": COUNT + "orders"})

    with owner_connection(chain) as connection:
        connection.execute("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        with run_in_background(send_statements, HOLDERS):
            yield
        connection.rollback()


@contextmanager
def audit_unwritable(chain: Chain) -> Iterator[None]:
    """The audit volume is full; where it has no volume of its own, its directory may not be written."""
    place = chain.home / "audit"
    if chain.volume is None:
        record = place / "record"
        record.chmod(0o500)
        yield
        record.chmod(0o700)
        return
    ballast = place / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(shutil.disk_usage(place).free or 1))
    yield
    ballast.unlink()


@contextmanager
def facts_flooding(chain: Chain) -> Iterator[None]:
    """More happens within a fold than the telemetry's queue holds."""
    kind = RequestKind("flood", 1, lambda _: ("POST", "/api/query", {"question": ASKED[0]}))
    with Traffic(chain.service.url, chain.service.key, FLOOD, (kind,), threads=8):
        yield


@contextmanager
def worker_frozen(chain: Chain) -> Iterator[None]:
    """One of two workers is stopped, and gunicorn's own process, which would replace it."""
    web = [process for process in chain.service.child.processes() if "gunicorn" in " ".join(process.cmdline())]
    master = next(process for process in web if process.children())
    stopped = [master, master.children()[0]]
    for process in stopped:
        process.suspend()
    yield
    for process in stopped:
        process.resume()


@contextmanager
def service_killed(chain: Chain) -> Iterator[None]:
    """All processes of the service are killed."""
    chain.service.child.kill()
    yield
    chain.service.child.start()


@contextmanager
def application_frozen(chain: Chain) -> Iterator[None]:
    """The web server is stopped, not ended, while the exporter lives."""
    web = [p for p in chain.service.child.processes() if "gunicorn" in " ".join(p.cmdline())]
    for process in web:
        process.suspend()
    yield
    for process in web:
        process.resume()


@contextmanager
def port_closed(chain: Chain) -> Iterator[None]:
    """The network between Prometheus and the service is cut."""
    chain.scrape.close()
    yield
    chain.scrape.open()


SCENARIOS = (
    AlertScenario("SqlSynthesizerDependencyDown", "the database's processes are killed", "database", database_killed),
    AlertScenario("HighErrorRate", "the database's processes are killed", "database"),
    AlertScenario("SqlSynthesizerCacheDown", "Redis is killed", "attacks", cache_killed),
    AlertScenario("SqlSynthesizerLLMFailures", "the model endpoint answers 500", "attacks", model_failing),
    AlertScenario(
        "SqlSynthesizerConnectionPoolExhausted", "a table is locked in the database", "pool", connections_held
    ),
    AlertScenario("SqlSynthesizerAuditWriteFailures", "the audit volume is full", "audit", audit_unwritable),
    AlertScenario(
        "SqlSynthesizerTelemetryDropping",
        "more happens than the telemetry's queue holds",
        "flood",
        facts_flooding,
        settings=SMALL,
    ),
    AlertScenario(
        "SqlSynthesizerTelemetryStalled",
        "one of two workers is stopped",
        "worker",
        worker_frozen,
        settings=SMALL,
    ),
    AlertScenario("SqlSynthesizerDown", "all processes of the service are killed", "killed", service_killed),
    AlertScenario(
        "SqlSynthesizerDown", "the web server is stopped while the exporter lives", "frozen", application_frozen
    ),
    AlertScenario("SqlSynthesizerDown", "the network to the service is cut", "cut", port_closed),
)
