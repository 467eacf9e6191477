"""Durable audit records a second, beside one sync per record and beside ordinary logging; and what reading costs.

Usage: python -m benchmarks.audit [--rounds N] [--seconds S] [--directory DIR] [--json FILE] [--instructions]
The directory has to be on the kind of disk that the record will be on.
"""

from __future__ import annotations

import argparse
import json
import logging
import logging.handlers
import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks import harness
from sql_synthesizer.audit import AuditLog, RecordFilter, chain, read_records
from sql_synthesizer.audit.backwards import newest_first
from sql_synthesizer.audit.keyring import derive_key
from sql_synthesizer.audit.reading import filter_records
from sql_synthesizer.audit.record import Encoder, add_position
from sql_synthesizer.audit.verify import verify_record
from sql_synthesizer.settings import Settings
from sql_synthesizer.telemetry import Event, Telemetry, Trace, vocabulary

THREADS = (1, 8, 64)
BASE = "a sync for each record"
READ_RECORDS = 20_000

Sink = tuple[Callable[[], None], Callable[[], None]]
"""Record one event; close."""


def event(number: int = 0) -> Event:
    """What a cached question leaves."""
    trace = Trace(f"{number:032x}", True, "b7ad6b7169203331", "key-0123456789", "analyst", "203.0.113.77")
    details = {
        "query_type": "aggregate",
        "database_type": "sqlite",
        "source": "cache",
        "database": "main",
        "timings_ms": {"guard_question": 0.031, "schema": 0.004, "cache": 0.02, "guard_statement": 0.01},
        "question": "how many orders were placed by customers in Berlin last month",
        "sql": "SELECT COUNT(*) FROM orders JOIN customers USING (customer_id) WHERE city = 'Berlin' LIMIT 1001",
        "row_count": 1,
        "truncated": False,
        "reason": "ok",
        "outcome": "answered",
        "milliseconds": 0.171,
    }
    return Event(vocabulary.SECURITY_EVENTS["query_execution"], time.time_ns(), trace, "b7ad6b7169203331", details)


def audit_log(directory: Path, mode: str) -> Sink:
    log = AuditLog(Settings(audit_dir=directory / "audit", audit_mode=mode), Telemetry())
    return lambda: log.settle(log.append(event())), log.close


def sync_each(directory: Path) -> Sink:
    descriptor = os.open(directory / "each.jsonl", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    encoder, lock = Encoder(bytes(32), hashed=False), threading.Lock()

    def put() -> None:
        body, _ = encoder.body(event())
        with lock:
            os.write(descriptor, add_position(b"writer", 1, body) + b"\n")
            os.fsync(descriptor)

    return put, lambda: os.close(descriptor)


def plain_logging(directory: Path) -> Sink:
    handler = logging.handlers.RotatingFileHandler(directory / "plain.log", maxBytes=64_000_000, backupCount=1)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.Logger("plain")  # noqa: LOG001 - a logger outside of the tree
    logger.addHandler(handler)

    def put() -> None:
        told = event()
        fields = {"time": told.time_ns, "type": told.type.name, "actor": told.trace.actor, **told.details}
        logger.info(json.dumps(fields))

    return put, handler.close


SINKS: dict[str, Callable[[Path], Sink]] = {
    BASE: sync_each,
    "audit log, strict": lambda directory: audit_log(directory, "strict"),
    "audit log, batched": lambda directory: audit_log(directory, "batched"),
    "RotatingFileHandler, nothing durable": plain_logging,
}


def run(sink: Callable[[Path], Sink], directory: Path, threads: int, seconds: float) -> tuple[float, float, float]:
    """(records a second, CPU microseconds a record, 99th percentile of a caller's wait in milliseconds)."""
    with tempfile.TemporaryDirectory(dir=directory) as home:
        put, close = sink(Path(home))
        end = time.perf_counter() + seconds
        waits: list[list[float]] = [[] for _ in range(threads)]

        def work(own: list[float]) -> None:
            while (start := time.perf_counter()) < end:
                put()
                own.append(time.perf_counter() - start)

        workers = [threading.Thread(target=work, args=(own,)) for own in waits]
        cpu, wall = time.process_time(), time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        close()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    all_waits = sorted(wait for own in waits for wait in own)
    return len(all_waits) / wall, cpu / len(all_waits) * 1e6, all_waits[int(len(all_waits) * 0.99)] * 1000


def arms() -> dict[str, harness.Arm]:
    """What one record costs without the disk: for instruction counts."""
    encoder, key = Encoder(bytes(32), hashed=False), derive_key(bytes(32)).chain

    def encode(n: int) -> None:
        for number in range(n):
            add_position(b"writer", number, encoder.body(event(number))[0])

    def sealed(n: int) -> None:
        own = chain.ORIGIN
        for number in range(n):
            body, text = encoder.body(event(number))
            _, own = chain.seal_line(own, add_position(b"writer", number, body), key, text)

    def make(n: int) -> None:
        for number in range(n):
            event(number)

    def dump(n: int) -> None:
        for number in range(n):
            json.dumps(event(number).details)

    return {"event alone": make, "json.dumps of its details": dump, "audit line": encode, "audit line, sealed": sealed}


def reading_arms(directory: Path) -> dict[str, harness.Arm]:
    """Each reads a whole record of ``READ_RECORDS``, of three writers with several segments."""
    settings = Settings(audit_dir=directory / "audit", audit_mode="batched", audit_segment_bytes=2_000_000)
    logs = [AuditLog(settings, Telemetry()) for _ in range(3)]
    for number in range(READ_RECORDS):
        logs[number % 3].append(event(number))
        if number % 3_000 == 0:
            for log in logs:
                log.flush()
    for log in logs:
        log.close()
    place, nobody = settings.audit_path, RecordFilter(actor="nobody")
    found = {
        "orjson.loads of each line": lambda: sum(
            1 for path in place.glob("*.jsonl") for line in path.open("rb") if orjson.loads(line)
        ),
        "forwards": lambda: sum(1 for _ in read_records(place)),
        "forwards, none matches": lambda: sum(1 for _ in filter_records(place, nobody)),
        "backwards": lambda: sum(1 for _ in newest_first(place, RecordFilter())),
        "backwards, none matches": lambda: sum(1 for _ in newest_first(place, nobody)),
        "verified": lambda: verify_record(place, logs[0].keyring).records,
    }

    def read_all(read: Callable[[], int]) -> harness.Arm:
        def work(_: int) -> None:
            assert read() in (0, READ_RECORDS)

        return work

    return {name: read_all(read) for name, read in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--directory", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--instructions", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory) as home:
        for threads in THREADS:
            found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in SINKS}
            for name in harness.turns(list(SINKS), options.rounds):
                found[name].append(run(SINKS[name], Path(home), threads, options.seconds))
            for column, unit in enumerate(("records/s", "CPU us/record", "caller p99 ms")):
                values = {name: [result[column] for result in results] for name, results in found.items()}
                title = f"{unit}, {threads} thread{'s' * (threads > 1)}"
                harness.publish(title, unit, harness.rows(values, BASE), BASE, options.json)
        reading = harness.cpu_microseconds(reading_arms(Path(home)), READ_RECORDS, options.rounds)
    first = next(iter(reading))
    harness.publish("reading", "CPU us/record", harness.rows(reading, first), first, options.json)
    encoding = harness.cpu_microseconds(arms(), 2000, 15)
    harness.publish("encoding", "CPU us", harness.rows(encoding, "event alone"), "event alone", options.json)
    if options.instructions:
        for name in arms():
            count = harness.instructions("benchmarks.audit", name, 2000)
            print(f"{name}: " + ("valgrind is not installed" if count is None else f"{count:.0f} instructions"))


if __name__ == "__main__":
    main()
