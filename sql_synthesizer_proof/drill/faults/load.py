"""Overload: too much work, too few resources, and misbehaving neighbours."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial

import psutil
import redis

from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.stamp import Stamp
from sql_synthesizer.audit.verdict import VerificationState
from sql_synthesizer_proof.drill import ballast, foreign
from sql_synthesizer_proof.drill.beside import add_target, extra_instance
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.faults.locks import lock_table, query_table, run_in_background
from sql_synthesizer_proof.drill.scenario import AlertScenario, Impossible, lasting_fault, share_fault
from sql_synthesizer_proof.volume import fill_volume

GIB = 1024**3
HELD = 6 * GIB
"""Held memory: half as much again as the alert allows, so that a mean over five minutes is over it in time."""
AUDIT_BALLAST = 700 * 1024**2
SAMPLES = 4_500
"""Over the alert's limit, and under that of Prometheus, which would refuse the whole scrape."""
SCRAPE_DELAY = 6.0
KILLS, KILL_INTERVAL = 4, 20.0
"""Longer apart than two scrapes, so that each start is seen."""
BURNERS = 4
"""Enough to get most of their CPU on a machine that does other things too."""
SLOW = 3.0
"""Seconds that statements take which the service allows twice as long."""
HELD_CONNECTIONS = 5
SETTINGS: tuple[tuple[str, object], ...] = (
    ("pool_size", 6),
    ("threads", 16),
    ("statement_timeout", 300.0),
    ("deadline", 300.0),
    ("value_index", False),
    ("cache_timeout", 2.0),
)
"""A pool that can be nearly used up for a long time, without statements or connections that time out."""


def memory_held(chain: Chain) -> AbstractContextManager[None]:
    """A process of the service holds memory."""
    if psutil.virtual_memory().available < HELD + GIB:
        raise Impossible(f"this machine has less than {(HELD + GIB) // GIB} GiB of memory free")
    file = chain.home / ballast.FILE
    return lasting_fault(lambda: ballast.add_ballast(file, memory=HELD), lambda: file.unlink(missing_ok=True))


@contextmanager
def cpu_burned(chain: Chain) -> Iterator[None]:
    """The service may use one CPU only, and some of its processes burn it."""
    if not hasattr(os, "sched_setaffinity"):
        raise Impossible("this system does not keep a process to one CPU")
    allowed, file = os.sched_getaffinity(0), chain.home / ballast.FILE
    try:
        _pin_processes(chain, {max(allowed)})
        ballast.add_ballast(file, burners=BURNERS)
        yield
    finally:
        file.unlink(missing_ok=True)
        _pin_processes(chain, allowed)


def _pin_processes(chain: Chain, cpus: set[int]) -> None:
    for process in chain.service.child.processes():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            for thread in process.threads():
                os.sched_setaffinity(thread.id, cpus)


def workers_killed(chain: Chain) -> AbstractContextManager[None]:
    """A worker is killed, and so is the one that takes its place, and so on."""

    def kill_workers(stop: threading.Event) -> None:
        for _ in range(KILLS):
            chain.service.kill_worker()
            if stop.wait(KILL_INTERVAL):
                return

    return run_in_background(kill_workers)


@contextmanager
def pool_nearly_used(chain: Chain) -> Iterator[None]:
    """Statements that wait for a locked table keep all connections but one."""
    with lock_table(chain, "suppliers", 100.0), query_table(chain.service, "suppliers", HELD_CONNECTIONS):
        yield


@contextmanager
def statements_slow(chain: Chain) -> Iterator[None]:
    """A table is locked for seconds at a time, and more callers want it than may run at once and wait."""
    with lock_table(chain, "countries", SLOW), query_table(chain.others["busy"], "countries", 12):
        yield


def redis_full(chain: Chain) -> AbstractContextManager[None]:
    """Redis has no memory left: it serves reads and refuses writes."""
    return _redis_limited(chain, "maxmemory")


def redis_crowded(chain: Chain) -> AbstractContextManager[None]:
    """Redis refuses new connections, while those of the service still work."""
    return _redis_limited(chain, "maxclients")


@contextmanager
def _redis_limited(chain: Chain, limit: str) -> Iterator[None]:
    with redis.Redis.from_url(chain.service.environment["REDIS_URL"], single_connection_client=True) as admin:
        before = str(admin.config_get(limit)[limit])
        with lasting_fault(lambda: admin.config_set(limit, "1"), lambda: admin.config_set(limit, before)):
            yield


def audit_volume_filling(chain: Chain) -> AbstractContextManager[None]:
    """Something else takes most of the audit volume."""
    if chain.volume is None:
        raise Impossible("the audit volume cannot be filled: this account may not mount a file system of its own")
    return fill_volume(chain.volume, shutil.disk_usage(chain.volume).free - AUDIT_BALLAST)


def verification_missing(chain: Chain) -> AbstractContextManager[None]:
    """The last verification of the audit record is two days old, by the time of the file that it leaves."""
    state, verify = chain.home / "audit" / "record.verified", partial(chain.service.run, "audit", "verify")
    verify()
    old = state.stat().st_mtime - 2 * 86_400
    return lasting_fault(lambda: os.utime(state, (old, old)), verify)


def clock_jumped(chain: Chain) -> AbstractContextManager[None]:
    """The clock is a hundred days ahead of what has passed, by the stamp that the last verification left."""
    path, verify = chain.home / "audit" / "record.verified", partial(chain.service.run, "audit", "verify")
    verify()
    keyring = Keyring(path.with_suffix(".key"))
    state = VerificationState.load(path, keyring)
    before = path.read_bytes()

    def turn_back() -> None:
        state.stamp = Stamp.take(time.time() - 100 * 86_400)
        state.save(path, keyring.current)

    return lasting_fault(turn_back, lambda: path.write_bytes(before))


@contextmanager
def unknown_values(chain: Chain) -> Iterator[None]:
    """A program that joins the service's metrics reports unknown event types."""
    metrics = {"PROMETHEUS_MULTIPROC_DIR": str(chain.service.state / "metrics")}
    chain.service.run(module=foreign.__name__, variables=metrics)
    yield


@contextmanager
def wrong_target(chain: Chain) -> Iterator[None]:
    """A target of the service's job is another program, with very many series."""
    with foreign.run_exporter(SAMPLES) as address, add_target(chain, "sql-synthesizer", address):
        yield


@contextmanager
def clock_behind(chain: Chain) -> Iterator[None]:
    """A target of the service's job, a stand-in for an instance, says a time that is a minute behind."""
    with foreign.run_wrong_clock(-60.0) as address, add_target(chain, "sql-synthesizer", address):
        yield


def instance_killed(chain: Chain) -> AbstractContextManager[None]:
    """One of several instances is killed."""
    second = chain.others["second"].child
    return lasting_fault(second.kill, second.start)


@contextmanager
def scrapes_slow(chain: Chain) -> Iterator[None]:
    """The network to the service takes seconds for each connection."""
    try:
        chain.scrape.delay = SCRAPE_DELAY
        yield
    finally:
        chain.scrape.delay = 0.0


BUSY = share_fault(extra_instance("busy", pool_size=8, value_index=False, question_queue=0))
SLOW_STATEMENTS = share_fault(statements_slow)
WORKERS_KILLED = share_fault(workers_killed)
WRONG_TARGET = share_fault(wrong_target)

load_scenario = partial(AlertScenario, wave="load", settings=SETTINGS, ballast=True)

SCENARIOS = (
    load_scenario("SqlSynthesizerInstanceDown", instance_killed, prepare=extra_instance("second")),
    load_scenario("HighQueryLatency", SLOW_STATEMENTS, prepare=BUSY),
    load_scenario("SqlSynthesizerDatabaseSlow", SLOW_STATEMENTS, prepare=BUSY),
    load_scenario("SqlSynthesizerProcessKilled", WORKERS_KILLED),
    load_scenario("SqlSynthesizerOverloaded", SLOW_STATEMENTS, prepare=BUSY),
    load_scenario("HighMemoryUsage", memory_held),
    load_scenario("HighCPUUsage", cpu_burned),
    load_scenario("SqlSynthesizerConnectionPoolSaturated", pool_nearly_used),
    load_scenario("SqlSynthesizerCacheErrors", redis_full),
    load_scenario("SqlSynthesizerAuditVolumeFilling", audit_volume_filling),
    load_scenario("SqlSynthesizerAuditNotVerified", verification_missing),
    load_scenario("SqlSynthesizerAuditClockJumped", clock_jumped),
    load_scenario("SqlSynthesizerScrapeSlow", scrapes_slow),
    load_scenario("SqlSynthesizerClockSkew", clock_behind),
    load_scenario("SqlSynthesizerMetricsAbsent", WRONG_TARGET),
    load_scenario("SqlSynthesizerSeriesExplosion", WRONG_TARGET),
    load_scenario("SqlSynthesizerLabelValuesRefused", unknown_values),
    load_scenario("SqlSynthesizerRestarting", WORKERS_KILLED),
)
