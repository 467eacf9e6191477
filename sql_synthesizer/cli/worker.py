"""``sql-synthesizer worker``: asks the questions of jobs; ``serve`` has one by itself."""

from __future__ import annotations

import os
import signal

import click

from sql_synthesizer import telemetry
from sql_synthesizer.guard.question import intent
from sql_synthesizer.monitoring import logs
from sql_synthesizer.operate.child import ignore_signals
from sql_synthesizer.settings import load
from sql_synthesizer.wiring import RESERVED_THREADS, build_rooms

STOPPING = (signal.SIGTERM, signal.SIGINT)


@click.command("worker")
@click.option("--threads", type=click.IntRange(1, 64), help="Questions asked at once; by default as in the settings.")
@click.option("--parent", type=int, hidden=True, help="Process with which it ends.")
def command(threads: int | None, parent: int | None) -> None:
    """Ask the questions of jobs until SIGTERM; what is in hand is brought to its end."""
    settings = load()
    count = threads or max(1, settings.job_threads)
    settings = load(threads=max(settings.threads, count + RESERVED_THREADS))
    logs.configure_logging(settings)
    rooms = build_rooms(settings, telemetry.default)
    try:
        intent.load_intent_model()
        worker = rooms.job_worker(count)
        for number in STOPPING:
            signal.signal(number, lambda *_: worker.stop())
        rooms.schemas.check_settings()
        rooms.telemetry.start()
        worker.run(lambda: parent in (None, os.getppid()))
    finally:
        rooms.close()
        ignore_signals(STOPPING)
