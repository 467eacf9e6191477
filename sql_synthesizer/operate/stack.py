"""The service on one machine, and beside it what watches it, until the service ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer.operate.child import SERVE, Child, becomes_true, ignore_signals, module_command
from sql_synthesizer.operate.inbox import Inbox
from sql_synthesizer.operate.programs import find_program, free_port, is_answering
from sql_synthesizer.operate.watchers import ALERTMANAGER, run_alertmanager, run_prometheus, shipped_path
from sql_synthesizer.settings import Settings, format_address, reachable_host

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
POLL = 0.2
"""Seconds between two looks at the processes."""
READY_WITHIN = 60.0
"""Seconds after which the watchers start although the service is not ready."""
PROMETHEUS_PORT, ALERTMANAGER_PORT, INBOX_PORT = 9090, 9093, 8025
RUNBOOKS_PORT = 8000
"""Where the links in alerts lead, so it does not move."""
RETENTION = ("--storage.tsdb.retention.time=35d", "--storage.tsdb.retention.size=2GB")
EXTERNAL_URL = "--web.external-url=http://localhost:{}"
RESEND = "--rules.alert.resend-delay=15s"
"""What fires before Prometheus has found Alertmanager is sent at the next evaluation, not a minute later."""

Say = Callable[[str], None]


class App(Child):
    """``serve``, which prints where this process prints; a signal that would end this process ends it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        super().__init__("The service", SERVE, environment=environment)
        self._asked = False
        for number in ENDING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._request_stop)
        self.start()
        if self._asked:
            self.send(signal.SIGTERM)

    def _request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self._asked = True
        self.send(signal.SIGTERM)

    def end_service(self) -> int:
        """Asks it to end when it has not; returns its exit status as a shell reports it."""
        status = self.stop(None)
        ignore_signals(ENDING)
        return status if status >= 0 else 128 - status


def run_stack(settings: Settings, environment: Mapping[str, str], say: Say) -> int:
    """Runs the service, and once it is ready its watchers; returns the service's exit status when that ends."""
    app = App(environment)
    try:
        becomes_true(lambda: app.exit_status is not None or _is_ready(app, settings), READY_WITHIN)
        with ExitStack() as stack:
            watchers: list[Child] = []
            if app.exit_status is None:
                try:
                    watchers = _start_watchers(stack, settings, say)
                except (ConfigurationError, TimeoutError, OSError) as error:
                    stack.close()
                    hint = getattr(error, "hint", "")
                    say(f"Nothing watches the service: {error}" + f"\n{hint}" * bool(hint))
            _await_end(app, watchers, say)
    finally:
        status = app.end_service()
    return status


def _is_ready(app: App, settings: Settings) -> bool:
    """Whether this service is ready, and not another one that has its port or its state directory."""
    lock = settings.state_dir / "serve.lock"
    url = f"http://{format_address(reachable_host(settings.host), settings.port)}/health/ready"
    return lock.is_file() and lock.read_text(encoding="utf-8") == str(app.pid) and is_answering(url)


def _start_watchers(stack: ExitStack, settings: Settings, say: Say) -> list[Child]:
    """Starts everything that watches, and tells where it is. Raises ConfigurationError, TimeoutError, OSError."""
    if not settings.metrics_enabled:
        raise ConfigurationError("its metrics are switched off.", hint="PROMETHEUS_METRICS_ENABLED is false.")
    _find_programs()
    home = settings.state_dir.resolve() / "stack"
    secrets = home / "secrets"
    secrets.mkdir(mode=0o700, parents=True, exist_ok=True)
    inbox = stack.enter_context(Inbox(http_port=free_port(INBOX_PORT)))
    port = free_port(ALERTMANAGER_PORT)
    manager = stack.enter_context(
        run_alertmanager(home / "alertmanager", inbox, EXTERNAL_URL.format(port), port=port, secrets=secrets)
    )
    port = free_port(PROMETHEUS_PORT)
    targets = {
        "sql-synthesizer": [format_address(reachable_host(settings.metrics_host), settings.metrics_port)],
        "alertmanager": [manager.address],
    }
    watcher = stack.enter_context(
        run_prometheus(home / "prometheus", targets, *RETENTION, RESEND, EXTERNAL_URL.format(port), port=port)
    )
    pages = _serve_runbooks(stack, home, say)
    # Debian's Alertmanager has no pages of its own, and its Prometheus has only the classic ones
    alerts = next(filter(is_answering, (f"{watcher.url}/alerts", f"{watcher.url}/classic/alerts")), manager.url)
    places = [
        ("Ask", f"http://{format_address(settings.host, settings.port)}"),
        ("Prometheus", watcher.url),
        ("Alerts", alerts),
        ("Alertmanager", manager.url),
        ("Inbox", f"http://127.0.0.1:{inbox.http_port}"),
        *[("Runbooks", f"http://127.0.0.1:{RUNBOOKS_PORT}")][: len(pages)],
    ]
    say("\n" + "".join(f"  {name:<14}{url}\n" for name, url in places))
    return [watcher.child, manager.child, *pages]


def _find_programs() -> None:
    missing = []
    for names in (("prometheus",), ALERTMANAGER):
        try:
            find_program(*names)
        except ConfigurationError as error:
            missing.append(error)
    if missing:
        raise ConfigurationError(
            " ".join(error.message for error in missing), hint="\n".join(error.hint for error in missing)
        )


def _serve_runbooks(stack: ExitStack, home: Path, say: Say) -> list[Child]:
    """The server of the runbooks; none, with a word, where something else has its port."""
    url = f"http://127.0.0.1:{RUNBOOKS_PORT}/"
    arguments = [str(RUNBOOKS_PORT), "--bind", "127.0.0.1", "--directory", str(shipped_path("runbooks"))]
    command = module_command("sql_synthesizer.operate.runbooks", *arguments)
    child = Child("The runbooks' server", command, lambda: is_answering(url), home / "runbooks.log")
    try:
        if free_port(RUNBOOKS_PORT) == RUNBOOKS_PORT:
            return [stack.enter_context(child)]
    except ConfigurationError:
        child.stop()
    say(f"Port {RUNBOOKS_PORT} is taken, so links to runbooks lead elsewhere; they are in {shipped_path('runbooks')}.")
    return []


def _await_end(app: App, watchers: list[Child], say: Say) -> None:
    """Waits for the end of the service, and reports once of each watcher that it has ended."""
    while app.exit_status is None:
        for child in [child for child in watchers if child.exit_status is not None]:
            say(f"{child.name} ended with {child.exit_status}; the service goes on without it. See {child.log}")
            watchers.remove(child)
        time.sleep(POLL)
