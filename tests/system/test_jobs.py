"""The worker of jobs as operators run it: supervised, killed, and ended with what it has in hand."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil

from sql_synthesizer.audit import read_records
from sql_synthesizer.operate.child import Child, own_command
from tests.support.ports import free_port
from tests.support.serving import Service, fetch, run_own, service, until

COUNT = "how many customers are there"


def job_worker(served: Service) -> psutil.Process | None:
    children = psutil.Process(served.process.pid).children()
    return next((child for child in children if child.is_running() and "worker" in child.cmdline()), None)


def test_a_job_outlives_its_worker(tmp_path: Path) -> None:
    with service(tmp_path, SQL_SYNTHESIZER_JOB_THREADS="1", SQL_SYNTHESIZER_RATE_LIMIT="") as served:
        first: psutil.Process = until(lambda: job_worker(served))
        until(lambda: served.counted("job_worker_beat_timestamp_seconds"))
        first.send_signal(signal.SIGSTOP)
        job = fetch(served.url + "/api/jobs", {"questions": [COUNT]}).json()
        first.kill()

        def ended() -> Any:
            found = fetch(served.url + f"/api/jobs/{job['id']}").json()
            return found if found["ended_at"] else None

        assert until(ended)["state"] == "done"
        assert until(lambda: job_worker(served)).pid != first.pid
        until(lambda: served.counted("job_changes_total", change="done") == 1)
        asked = [line for line in served.log() if line["event"] == "question"]
        assert [line["trace_id"] for line in asked] == [job["job_trace_id"]]
        assert served.stop() == 0
        changes = [
            r["details"]["change"] for r in read_records(served.state / "audit") if r["event_type"] == "job_change"
        ]
        assert changes == ["submitted", "started", "done"]


def test_a_worker_ends_with_its_supervisor(tmp_path: Path) -> None:
    environment = {**os.environ, "SQL_SYNTHESIZER_STATE_DIR": str(tmp_path)}
    gone = subprocess.Popen(["true"])
    gone.wait()
    environment["PROMETHEUS_METRICS_ENABLED"] = "false"
    assert run_own(environment, "worker", "--parent", str(gone.pid)).returncode == 0


def test_a_worker_without_a_service_exports_its_metrics(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "SQL_SYNTHESIZER_STATE_DIR": str(tmp_path), "METRICS_PORT": str(port)}

    def seen() -> bool:
        try:
            return b"job_worker_beat_timestamp_seconds 1." in fetch(f"http://127.0.0.1:{port}/metrics").body
        except OSError:
            return False

    worker = Child("A worker", own_command("worker"), seen, tmp_path / "log", environment=environment)
    with worker:
        assert b"app_up 0" not in fetch(f"http://127.0.0.1:{port}/metrics").body
        assert worker.stop() == 0
