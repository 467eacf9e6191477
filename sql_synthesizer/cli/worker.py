"""``sql-synthesizer worker``: asks the questions of jobs; ``serve`` has one by itself."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import click

from sql_synthesizer.cli.session import joins_metrics, open_rooms
from sql_synthesizer.guard.question import intent
from sql_synthesizer.operate.child import ignore_signals
from sql_synthesizer.settings import Settings, load

STOPPING = (signal.SIGTERM, signal.SIGINT)
SPARE_THREADS = 2
"""Threads beside those that ask, as the service's slots are counted."""


@click.command("worker")
@click.option("--threads", type=click.IntRange(1, 64), help="Questions asked at once; by default as in the settings.")
@click.option("--parent", type=int, hidden=True, help="Process with which it ends.")
def command(threads: int | None, parent: int | None) -> None:
    """Ask the questions of jobs until SIGTERM; what is in hand is brought to its end.

    Where no service runs on the state directory it exports metrics of its own.
    """
    settings = load()
    count = threads or max(1, settings.job_threads)
    slots = max(settings.threads, count + SPARE_THREADS)
    try:
        with open_rooms(log=True, lasting=True, threads=slots) as rooms, _export_metrics(settings):
            intent.load_intent_model()
            worker = rooms.job_worker(count)
            for number in STOPPING:
                signal.signal(number, lambda *_: worker.stop())
            rooms.schemas.check_settings()
            rooms.telemetry.start()
            with rooms.canaries() or nullcontext(), rooms.regressions() or nullcontext():
                worker.run(lambda: parent in (None, os.getppid()))
    finally:
        ignore_signals(STOPPING)


@contextmanager
def _export_metrics(settings: Settings) -> Iterator[None]:
    if not settings.metrics_enabled or joins_metrics(settings):
        yield
        return
    from sql_synthesizer.monitoring.exposition import Exporter  # noqa: PLC0415

    exporter = Exporter(settings, os.getppid(), alone=True)
    thread = threading.Thread(target=exporter.run, name="exporter", daemon=True)
    thread.start()
    try:
        yield
    finally:
        exporter.stop()
        thread.join()
