"""``sql-synthesizer serve``: the supervisor of the web server and the metrics exporter."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import click

from sql_synthesizer.cli.upkeep import Upkeep
from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.files import take_lock
from sql_synthesizer.monitoring import shared
from sql_synthesizer.operate.child import Child, ignore_signals, module_command, own_command
from sql_synthesizer.operate.leftovers import end_leftovers, note_sessions
from sql_synthesizer.settings import (
    Settings,
    child_environment,
    format_address,
    load,
    reachable_host,
    unknown_variables,
)

SERVER = "sql_synthesizer.web.server"
SESSIONS = "serve.sessions"
"""File of the state directory that names the processes of the supervisor, until they have ended."""
STOPPING = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*STOPPING, signal.SIGHUP)
RELOADED = {"the web server": signal.SIGHUP, "the job worker": signal.SIGTERM}
"""Part -> the signal that has it begin anew once its work in hand is done; the job worker is started again."""
PARTS = {"the web server": "web_server", "the exporter": "exporter", "the job worker": "job_worker"}
"""Part -> its label value."""
POLL = 0.2
"""Seconds between two looks at the children and at whether a signal came."""
RESTARTS = 5
"""Restarts of a process within RESTART_WINDOW seconds after which the supervisor gives up."""
RESTART_WINDOW = 60.0
READY_WITHIN = 60.0
LOCK_WAIT = 1.0
"""Seconds to wait for the state directory: a command that looks whether a service runs has it for a moment."""
TELL_AFTER = 10.0
"""Seconds of waiting for readiness after which the supervisor says what is missing."""
APP_LOAD_ERROR = 4
"""Gunicorn's exit status when the application cannot be built, which another try would not change."""


class _Part(Child):
    """A process of the service, which is started again when it dies; one that is ``vital`` not for ever."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], metrics_dir: Path, *, vital: bool = True
    ) -> None:
        super().__init__(name, command, environment=environment)
        self._metrics_dir = metrics_dir
        self._vital = vital
        self._deaths: list[float] = []

    def ensure_running(self) -> bool:
        """Starts it again when it has ended; False when it ends too often."""
        if (status := self.exit_status) is None:
            return True
        now = time.monotonic()
        self._deaths = [death for death in self._deaths if now - death < RESTART_WINDOW] + [now]
        if self._vital and (len(self._deaths) > RESTARTS or status == APP_LOAD_ERROR):
            return False
        click.echo(f"{self.name} ended with {status}; starting it again", err=True)
        from sql_synthesizer.monitoring import supervision  # noqa: PLC0415
        from sql_synthesizer.monitoring.multiprocess import mark_dead  # noqa: PLC0415

        mark_dead(self.pid, self._metrics_dir)
        if status < 0:
            supervision.count(self._metrics_dir, supervision.KILLED, part=PARTS[self.name])
        time.sleep(min(2.0, 0.2 * 2 ** len(self._deaths)))
        self.start()
        return True


@click.command("serve")
@click.option("--database", "database_url", metavar="URL", help="SQLAlchemy URL of the database to ask.")
@click.option("--host", help="Address of the application.")
@click.option("--port", type=int, help="Port of the application.")
@click.option("--metrics-port", type=int, help="Port of the metrics exporter.")
@click.option("--state-dir", type=Path, help="Directory of the service's own state.")
def command(**overrides: Any) -> None:
    """Serve the application and its metrics until SIGTERM."""
    settings = load(**overrides)
    for name, closest in unknown_variables().items():
        click.echo(f"Warning: {name} is not a setting" + (f"; did you mean {closest}?" if closest else "."), err=True)
    lock = _lock_state_dir(settings)
    killed = (settings.state_dir / SESSIONS).exists()
    end_leftovers(settings.state_dir / SESSIONS)
    _check_port(settings.host, settings.port, "SQL_SYNTHESIZER_PORT or --port")
    if settings.metrics_enabled:
        _check_port(settings.metrics_host, settings.metrics_port, "METRICS_PORT or --metrics-port")
    if not settings.databases() and not settings.demo_path.exists():
        from sql_synthesizer.demo import create_demo  # noqa: PLC0415

        create_demo(settings.demo_path)
    settings.drain_file.unlink(missing_ok=True)
    _prepare_metrics(settings.metrics_dir, go_on=killed)
    environment = child_environment(overrides, PROMETHEUS_MULTIPROC_DIR=str(settings.metrics_dir.resolve()))
    _supervise_children(settings, environment)
    lock.close()


def _prepare_metrics(place: Path, *, go_on: bool) -> None:
    """Counters begin anew, but those of a service that was killed ``go_on``: what it left uncounted is counted then."""
    if go_on and (place / "lock").exists():
        from sql_synthesizer.monitoring.multiprocess import adopt_counts  # noqa: PLC0415

        adopt_counts(place)
    else:
        shared.prepare_directory(place)


def _supervise_children(settings: Settings, environment: dict[str, str]) -> None:
    came: list[int] = []
    asked: list[int] = []
    for number in HANDLED:  # they are only noted: however many more come, the stop goes on
        signal.signal(number, lambda number, _frame: (came if number in STOPPING else asked).append(number))
    parts = {"the web server": module_command("gunicorn", "-c", f"python:{SERVER}", f"{SERVER}:application()")}
    if settings.metrics_enabled:
        parts["the exporter"] = module_command("sql_synthesizer.monitoring.exposition")
    children: list[_Part] = []
    work = own_command("worker", "--parent", str(os.getpid()))
    worker = _Part("the job worker", work, environment, settings.metrics_dir, vital=False)
    upkeep = Upkeep(settings, environment)

    def keep_running() -> bool:
        return not came and all(child.ensure_running() for child in children)

    noted: list[int] = []

    def note_changes() -> None:
        if noted != (pids := [child.pid for child in children]):
            note_sessions(settings.state_dir / SESSIONS, pids)
            noted[:] = pids

    try:
        for name, command in parts.items():
            children.append(_Part(name, command, environment, settings.metrics_dir).start())
        note_changes()
        if _await_ready(settings, keep_running):
            _print_addresses(settings)
        if settings.job_threads and not came:
            children.insert(1, worker.start())
        while keep_running():
            if asked:
                asked.clear()
                _reload(settings, environment, children)
            note_changes()
            _heal_metrics(settings, children)
            upkeep.poll_steps()
            time.sleep(POLL)
        if came:
            settings.drain_file.touch()
            time.sleep(settings.drain_seconds)
    finally:
        upkeep.stop()
        worker.send(signal.SIGTERM)
        for child in children:
            child.stop(settings.deadline + 10)
        settings.drain_file.unlink(missing_ok=True)
        (settings.state_dir / SESSIONS).unlink(missing_ok=True)
        ignore_signals(HANDLED)
    if not came:
        raise ConfigurationError("A process of the service cannot run.", hint="Its last lines above say why.")


def _heal_metrics(settings: Settings, children: list[_Part]) -> None:
    """Makes the directory of metric files again when it is gone, and has all begin new files in it."""
    if (settings.metrics_dir / "lock").exists():
        return
    click.echo(f"The metrics directory {settings.metrics_dir} was gone: counters begin anew.", err=True)
    shared.prepare_directory(settings.metrics_dir)
    from sql_synthesizer.monitoring import supervision  # noqa: PLC0415

    supervision.count(settings.metrics_dir, supervision.LOST)
    for child in children:
        child.send(RELOADED.get(child.name, signal.SIGTERM))


def _reload(settings: Settings, environment: dict[str, str], children: list[_Part]) -> None:
    """Has the web server and the job worker begin anew with what files say now, unless no service could be built."""
    done = subprocess.run(module_command(SERVER), env=environment, check=False)  # noqa: S603 - this program
    from sql_synthesizer.monitoring import supervision  # noqa: PLC0415

    supervision.note_reload(settings.metrics_dir, taken=done.returncode == 0)
    if done.returncode:
        click.echo("Not reloaded: the last settings stay in force.", err=True)
        return
    for child in children:
        if child.name in RELOADED:
            child.send(RELOADED[child.name])
    click.echo("Reloaded: the databases file and secret files; keys are read anew.", err=True)


def _await_ready(settings: Settings, alive: Callable[[], bool]) -> bool:
    """Whether the service became ready; returns at once when a process cannot be kept running."""
    begun, reported = time.monotonic(), False
    while (waited := time.monotonic() - begun) < READY_WITHIN and alive():
        if (missing := _unready_reason(settings)) is None:
            return True
        if waited > TELL_AFTER and not reported:
            click.echo(f"Not ready yet: {missing}", err=True)
            reported = True
        time.sleep(0.05)
    return False


def _unready_reason(settings: Settings) -> str | None:
    """Why the service is not ready; None when it is."""
    connection = http.client.HTTPConnection(reachable_host(settings.host), settings.port, timeout=2)
    try:
        connection.request("GET", "/health/ready")
        reply = connection.getresponse()
        body = reply.read()
        return None if reply.status == http.client.OK else ", ".join(json.loads(body)["reasons"])
    except (OSError, http.client.HTTPException, ValueError, LookupError):
        return "the application does not answer"
    finally:
        connection.close()


def _print_addresses(settings: Settings) -> None:
    app = f"http://{format_address(settings.host, settings.port)}"
    click.echo(
        f"\n  Ask        {app}\n"
        f"  API        {app}/openapi\n"
        f"  Health     {app}/health\n"
        + (
            f"  Metrics    http://{format_address(settings.metrics_host, settings.metrics_port)}/metrics\n"
            if settings.metrics_enabled
            else ""
        )
        + f"  Audit      {settings.audit_path}\n\n"
        f"  curl -s {app}/api/query -H 'Content-Type: application/json' "
        """-d '{"question": "how many customers are there"}'\n""",
        err=True,
    )


def _check_port(host: str, port: int, setting: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"The service cannot listen on {format_address(host, port)}: {error.strerror}.",
                hint=f"Stop the program that uses the port, or choose another with {setting}.",
            ) from None


def _lock_state_dir(settings: Settings) -> TextIO:
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (settings.state_dir / "serve.lock").open("a")  # not yet emptied: it may name the one that holds it
    except OSError as error:
        raise ConfigurationError(
            f"The state directory {settings.state_dir} cannot be used: {error.strerror}.",
            hint="Make it writable, or choose another directory with SQL_SYNTHESIZER_STATE_DIR.",
        ) from None
    try:
        take_lock(lock, lock.name, wait=LOCK_WAIT)
    except TimeoutError:
        lock.close()
        raise ConfigurationError(
            f"Another service already uses the state directory {settings.state_dir}.",
            hint="Stop it, or choose another directory with SQL_SYNTHESIZER_STATE_DIR.",
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
