"""Checks of escalation: repeated, inhibited and unrelated notifications, and the dead man's switch."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sql_synthesizer.monitoring.slo import duration_seconds
from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.operate.inbox import SILENCE_LIMIT, Inbox
from sql_synthesizer.operate.watchers import Watcher, run_alertmanager, run_prometheus, write_targets
from sql_synthesizer_proof.drill import scaling
from sql_synthesizer_proof.drill.chain import Chain, extend_business_hours, make_workspace, run_chain
from sql_synthesizer_proof.drill.faults import budget, load
from sql_synthesizer_proof.drill.faults.attacks import sql_injection
from sql_synthesizer_proof.drill.faults.monitoring import prometheus_killed, second_prometheus
from sql_synthesizer_proof.drill.faults.parts import application_frozen
from sql_synthesizer_proof.drill.proxy import Proxy
from sql_synthesizer_proof.drill.receivers import load_receivers
from sql_synthesizer_proof.drill.scenario import SWITCH_LIMIT

REPEAT_FACTOR = 240
"""Divisor of the interval at which notifications of an unresolved alert are repeated."""
HURRIED = ("SqlSynthesizerMetricsAbsent", "SqlSynthesizerErrorBudgetBurn")
"""Alerts with shortened windows and holds: their routing is checked, not their time."""
LIMIT = 300.0
"""Seconds that each step may take."""
QUIET = 45.0
"""Seconds that nothing may come of a muted alert: longer than the first notification of a warning waits."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EscalationCheck:
    """One expectation of notifications, whether it was met (``kept``), and what was seen."""

    name: str
    kept: bool
    seen: str


def run_checks(say: Say, files: Path | None = None) -> list[EscalationCheck]:
    """All checks: on one chain with shortened windows, and of the dead man's switch on small ones beside it.

    ``files`` is a directory like ``monitoring`` that is drilled instead of the shipped one.
    """
    say(f"escalation: repeats divided by {REPEAT_FACTOR}; windows and holds by {scaling.FACTOR}: {', '.join(HURRIED)}")
    with make_workspace("drill-") as home, ThreadPoolExecutor(len(BREAKS) + 1) as pool:
        switches = [
            pool.submit(_check_watchdog, home / f"tower-{n}", files, *item) for n, item in enumerate(BREAKS.items())
        ]
        on_chain = pool.submit(_run_chain_checks, home / "chain", files)
        found = [*on_chain.result(), *(switch.result() for switch in switches)]
    for check in found:
        say(f"  {'passed' if check.kept else 'FAILED'}: {check.name}: {check.seen}")
    return found


# --- on a chain ---------------------------------------------------------------------------------


def _repeat_soon(config: dict[str, Any]) -> None:
    for route in config["route"]["routes"]:
        if route["receiver"] == "on-call":
            route["repeat_interval"] = f"{duration_seconds(route['repeat_interval']) / REPEAT_FACTOR:.0f}s"


def _run_chain_checks(home: Path, files: Path | None) -> list[EscalationCheck]:
    with run_chain(
        home,
        settings=dict(budget.SETTINGS),
        rules=scaling.scale_rules(HURRIED, files),
        change_prometheus=scaling.scale_configuration,
        change_alertmanager=_repeat_soon,
        rate=scaling.RATE,
        files=files,
    ) as made:
        time.sleep(30)
        return [_check_security_receiver(made), _check_same_cause(made), *_check_service_down(made)]


def _check_security_receiver(made: Chain) -> EscalationCheck:
    with sql_injection(made):
        mail = _wait_for_mail(made, "security", "SQLInjectionAttempts")
    others = _mail_times(made, "on-call", "SQLInjectionAttempts") + _mail_times(made, "tickets", "SQLInjectionAttempts")
    return EscalationCheck(
        "a security alert goes to the security receiver",
        mail is not None and not others,
        f"SQLInjectionAttempts: {'mailed' if mail else 'not mailed'} to security, {len(others)} times to others",
    )


def _check_same_cause(made: Chain) -> EscalationCheck:
    name, warning = "SqlSynthesizerErrorBudgetBurn", {"severity": "warning", "long": "1d"}
    with budget.burn_budget(*budget.GREAT)(made):
        critical = _wait_for_mail(made, "on-call", name)
        muted = _wait_until_muted(made, name, warning)
        time.sleep(QUIET)
        mails = _mail_times(made, "tickets", name)
    return EscalationCheck(
        "a critical alert mutes the warning of the same cause",
        critical is not None and muted and not mails,
        f"{name}: critical {'mailed' if critical else 'not mailed'}, warning "
        f"{'muted' if muted else 'not muted'} and mailed {len(mails)} times",
    )


def _check_service_down(made: Chain) -> list[EscalationCheck]:
    down, follower, other = "SqlSynthesizerDown", "SqlSynthesizerMetricsAbsent", "MonitoringTargetDown"
    with ExitStack() as stack:
        stack.enter_context(second_prometheus(made))
        stack.enter_context(application_frozen(made))
        first = _wait_for_mail(made, "on-call", down)
        stack.enter_context(load.wrong_target(made))
        stack.enter_context(prometheus_killed(made))
        muted = _wait_until_muted(made, follower, {})
        unrelated = _wait_for_mail(made, "on-call", other)
        free = unrelated is not None and not _alert_states(made, other, {}) & {"suppressed"}
        again = becomes_true(lambda: len(_mail_times(made, "on-call", down)) > 1, LIMIT)
        times = _mail_times(made, "on-call", down)
        mails = _mail_times(made, "tickets", follower)
    gap = f"again {times[1] - times[0]:.0f} s after the first" if again else "once only"
    return [
        EscalationCheck(
            "service down mutes what follows from it",
            first is not None and muted and not mails,
            f"{follower}: {'muted' if muted else 'not muted'} and mailed {len(mails)} times",
        ),
        EscalationCheck(
            "an unrelated alert is not muted", free, f"{other}: {'mailed' if free else 'not mailed or muted'}"
        ),
        EscalationCheck("a critical alert that is not resolved is notified again", again, f"{down}: mailed {gap}"),
    ]


def _mail_times(made: Chain, receiver: str, alert: str) -> list[float]:
    """When firing mails about the alert came to this receiver."""
    to = load_receivers()[receiver]["mail"]
    return [
        message.received
        for message in made.inbox.messages
        if message.kind == "mail" and to in message.to and alert in message.subject and "FIRING" in message.subject
    ]


def _wait_for_mail(made: Chain, receiver: str, alert: str) -> float | None:
    becomes_true(lambda: _mail_times(made, receiver, alert), LIMIT)
    return next(iter(_mail_times(made, receiver, alert)), None)


def _wait_until_muted(made: Chain, alert: str, labels: Mapping[str, str]) -> bool:
    """Whether Alertmanager has the alert and holds it back, as soon as it does."""
    return becomes_true(lambda: _alert_states(made, alert, labels) == {"suppressed"}, LIMIT)


def _alert_states(made: Chain, alert: str, labels: Mapping[str, str]) -> set[str]:
    wanted = {"alertname": alert, **labels}
    found = made.alertmanager.get("/api/v2/alerts")
    return {one["status"]["state"] for one in found if wanted.items() <= one["labels"].items()}


# --- the dead man's switch ----------------------------------------------------------------------


Break = Callable[[Watcher, Watcher, Proxy], None]
"""Breaks a part of the monitoring: Prometheus, Alertmanager, or the connection between them."""

BREAKS: dict[str, Break | None] = {
    "Prometheus is killed": lambda prometheus, _manager, _delivery: prometheus.child.kill(),
    "Alertmanager is killed": lambda _prometheus, manager, _delivery: manager.child.kill(),
    "Prometheus is cut from Alertmanager": lambda _prometheus, _manager, delivery: delivery.close(),
    "Prometheus knows no Alertmanager": lambda prometheus, *_: write_targets(
        prometheus.config.parent, "alertmanager", []
    ),
    "nothing is broken": None,
}


def _check_watchdog(home: Path, files: Path | None, what: str, break_it: Break | None) -> EscalationCheck:
    """Of Prometheus and Alertmanager as shipped, and an inbox."""
    with (
        Inbox() as inbox,
        run_alertmanager(
            home / "alertmanager", inbox, source=files and files / "alertmanager", change=extend_business_hours
        ) as manager,
        Proxy(int(manager.address.rpartition(":")[2])) as delivery,
        run_prometheus(
            home / "prometheus", {"alertmanager": [delivery.address]}, source=files and files / "prometheus"
        ) as watcher,
    ):
        heard = becomes_true(lambda: inbox.watchdog is not None, LIMIT)
        started = time.time()
        if break_it is not None:
            break_it(watcher, manager, delivery)
        silent = becomes_true(lambda: inbox.silence > SILENCE_LIMIT, SWITCH_LIMIT)
    after = time.time() - started
    seen = f"silent after {after:.0f} s" if silent else f"not silent within {SWITCH_LIMIT:g} s"
    if break_it is None:
        return EscalationCheck("the dead man's switch is heard while nothing is broken", heard and not silent, seen)
    return EscalationCheck(f"the dead man's switch stops when {what}", heard and silent, seen)
