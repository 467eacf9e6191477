"""A scenario: one alert, the fault that has to fire it, and what was seen when."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import wraps

from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.operate.inbox import SILENCE_LIMIT, Notification
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.diagnosis import diagnose_alert
from sql_synthesizer_proof.drill.receivers import find_receiver, load_receivers
from sql_synthesizer_proof.rules import Rule

POLL = 0.25
"""Seconds between two looks at Prometheus: how exactly pending and firing are timed."""
SWITCH = "Watchdog"
SWITCH_LIMIT = 600.0
"""Seconds within which the dead man's switch has to fall silent: Alertmanager holds an alert for some minutes."""
MESSAGES = {"mail": "a mail", "slack": "a Slack message"}
"""Kinds of message that notify a person; a timeline has a field of each."""

MakeFault = Callable[[Chain], AbstractContextManager[object]]
"""Injects the fault on entering, removes it on leaving."""


@contextmanager
def lasting_fault(make: Callable[[], object], mend: Callable[[], object]) -> Iterator[None]:
    """Makes a fault, and mends it however its time ends, also one that was only half made."""
    try:
        make()
        yield
    finally:
        mend()


def share_fault(make: MakeFault) -> MakeFault:
    """The fault for several scenarios of one wave: whichever comes first makes it, and mends it as the last."""

    @wraps(make)
    @contextmanager
    def shared_fault(chain: Chain) -> Iterator[None]:
        if make in chain.made:
            yield
            return
        with lasting_fault(lambda: chain.made.add(make), lambda: chain.made.remove(make)), make(chain):
            yield

    return shared_fault


@dataclass(frozen=True)
class AlertScenario:
    """An alert, and the fault that fires it. Scenarios of one ``wave`` run at the same time on one chain.

    ``labels`` distinguish alerts of one name. ``delivered`` is False where no notification arrives; ``instead``
    describes how the dead man's switch shows it.
    """

    alert: str
    make: MakeFault
    wave: str
    labels: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[tuple[str, object], ...] = ()
    """Of the service, by name, where it needs others than the chain's; such scenarios get a chain of their own."""
    prepare: MakeFault | None = None
    """Makes what the fault needs, before the time of any fault of the wave counts."""
    scaled: bool = False
    """Whether windows and hold of the rule are divided, on a chain of its own."""
    ballast: bool = False
    """Whether the service has to be one that takes ballast."""
    delivered: bool = True
    instead: str = ""

    @property
    def fault(self) -> str:
        """What is broken, in words."""
        return (self.make.__doc__ or "").strip(" .")


@dataclass
class Timeline:
    """Seconds since the fault, None for what has not happened; ``problems`` are in words."""

    alert: str
    fault: str
    run: int
    scaled: bool = False
    pending: float | None = None
    firing: float | None = None
    mail: float | None = None
    slack: float | None = None
    switch: float | None = None
    """When the dead man's switch showed the fault, where no notification can arrive."""
    instead: str = ""
    mended: float | None = None
    resolved: float | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def notified(self) -> float | None:
        """When the first person was notified."""
        arrived = [when for when in (self.mail, self.slack) if when is not None]
        return min(arrived) if arrived else None


class Impossible(Exception):
    """A fault that cannot be injected on this machine, with the reason."""


class Watch:
    """Follows one alert through Prometheus and the inbox from the moment of the fault."""

    def __init__(self, chain: Chain, scenario: AlertScenario, rule: Rule, run: int) -> None:
        self._chain = chain
        self.scenario = scenario
        self.rule = rule
        self.timeline = Timeline(scenario.alert, scenario.fault, run, scenario.scaled, instead=scenario.instead)
        self._addresses = load_receivers()[find_receiver({"alertname": rule["alert"], **rule["labels"]})]
        self._seen = max((message.number for message in chain.inbox.messages), default=0)
        self._start = time.time()
        self.given_up = False
        """Whether the fault could not be made, so that there is nothing to see."""

    def give_up(self, problem: str) -> None:
        """Ends ``follow_alert``, as the fault could not be made."""
        self.timeline.problems.append(problem)
        self.given_up = True

    def follow_alert(self, seconds: float) -> None:
        """Waits for all notifications, ``seconds`` at most; each one that is missing then is a problem."""
        problems, delivered = self.timeline.problems, self.scenario.delivered
        limit = seconds if delivered else seconds + SWITCH_LIMIT
        becomes_true(lambda: self.given_up or all(self._poll_steps().values()), limit, POLL)
        missing = [step for step, when in self._poll_steps().items() if when is None]
        if missing and not self.given_up:
            problems.append(f"not within {limit:g} s: {', '.join(missing)}")
        if problems and delivered and not self.given_up:
            problems += self._diagnose_problems()

    def _poll_steps(self) -> dict[str, float | None]:
        """Looks at Prometheus and the inbox; each step that is expected -> when it was seen."""
        line = self.timeline
        self._poll_prometheus()
        steps = {"pending or firing": line.pending or line.firing, "firing": line.firing}
        if not self.scenario.delivered:
            line.switch = line.switch or self._switch_time()
            return {**steps, "a sign of the dead man's switch": line.switch}
        for kind in self._addresses:
            setattr(line, kind, getattr(line, kind) or self._arrival_time(kind, "FIRING"))
        return steps | {MESSAGES[kind]: getattr(line, kind) for kind in self._addresses}

    def _switch_time(self) -> float | None:
        """When the switch's own alert was received; for other alerts, when it counts as silent."""
        passed, silence = time.time() - self._start, self._chain.inbox.silence
        if self.scenario.alert == SWITCH:
            return passed - silence if silence < passed else None
        return passed if silence > SILENCE_LIMIT else None

    def _diagnose_problems(self) -> list[str]:
        try:
            return list(diagnose_alert(self._chain, self.rule, self._addresses))
        except OSError as error:
            return [f"Prometheus or Alertmanager does not answer: {type(error).__name__}"]

    def mark_mended(self) -> None:
        """Records when the fault was removed."""
        self.timeline.mended = time.time() - self._start

    def follow_resolved(self, seconds: float) -> None:
        """Waits for the resolved notice, ``seconds`` at most; there is none of what was not notified."""
        if self.timeline.mail is not None and not becomes_true(self._poll_resolved, seconds, POLL):
            self.timeline.problems.append(f"no resolved notice within {seconds:g} s of the end of the fault")

    def _poll_resolved(self) -> float | None:
        self.timeline.resolved = self._arrival_time("mail", "RESOLVED") or self._group_resolved_time()
        return self.timeline.resolved

    def _group_resolved_time(self) -> float | None:
        """When a mail named this alert as resolved while others of its group were firing."""
        labels = [f"{name}={value}" for name, value in self.scenario.labels.items()]
        for message in self._chain.inbox.messages:
            if labels and message.number > self._seen and message.kind == "mail":
                ended = re.split(rf"(?m)^RESOLVED {self.scenario.alert}:", message.text)[1:]
                if any(all(label in text for label in labels) for text in ended):
                    return message.received - self._start
        return None

    def _poll_prometheus(self) -> None:
        line = self.timeline
        if line.firing is not None:
            return
        try:
            states = {alert["state"] for alert in self._chain.active_alerts() if self._is_ours(alert["labels"])}
        except OSError:
            return
        now = time.time() - self._start
        if states and line.pending is None:
            line.pending = now
        if "firing" in states:
            line.firing = now

    def _is_ours(self, labels: Mapping[str, str]) -> bool:
        wanted = {"alertname": self.scenario.alert, **self.scenario.labels}
        return wanted.items() <= labels.items()

    def _arrival_time(self, kind: str, status: str) -> float | None:
        for message in self._chain.inbox.messages:
            if message.number > self._seen and message.kind == kind and self._addresses[kind] in message.to:
                named = re.search(rf"\b{self.scenario.alert}\b", message.subject)
                ours = all(text in message.text for text in self._expected_labels(kind))
                if named and ours and status in message.subject.upper():
                    self._check_message(message)
                    return message.received - self._start
        return None

    def _expected_labels(self, kind: str) -> Iterable[str]:
        """The labels that distinguish alerts of one name, as a message writes them; only a mail has their names."""
        labels = self.scenario.labels
        return (f"{name}={value}" for name, value in labels.items()) if kind == "mail" else labels.values()

    def _check_message(self, message: Notification) -> None:
        """Reports what is missing from it."""
        texts = self.rule["annotations"]
        for what, wanted in (("the runbook", texts["runbook_url"]), ("the dashboard", texts["dashboard_url"])):
            if wanted not in message.text:
                self.timeline.problems.append(f"{message.kind} does not link {what}")
        if "{{" in message.text or "<no value>" in message.text:
            self.timeline.problems.append(f"{message.kind} has a template that was not filled in")
