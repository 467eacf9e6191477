"""The silence test: ordinary traffic must fire nothing, and hardly a harmless request may count as an attack."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sql_synthesizer.errors import ConfigurationError, QuestionRefused
from sql_synthesizer.operate.traffic import Traffic, request_mix
from sql_synthesizer_proof.drill.chain import Chain, make_workspace, run_chain

FAILURE_SHARE = 0.001
"""Share of the requests that may fail by the service's fault."""
FALSE_SHARE = 0.05
"""Share of false positives among the requests that were taken for attacks, at most."""
GRADE = "sql_injection_attempt|prompt_injection_attempt"
REFUSED = f"{QuestionRefused.status} {QuestionRefused.reason}"
"""The answer to an attack that was taken for one."""
LOOK = 1.0
"""Seconds between two looks at alerts and notifications."""
LAST_SCRAPE = 20.0
"""Seconds after the last request within which its count is scraped."""


@dataclass
class Silence:
    """The results: requests by kind and answer, alerts by the second at which they first fired, notifications."""

    seconds: float
    rate: float
    attacks: float
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    fired: dict[str, float] = field(default_factory=dict)
    notified: list[str] = field(default_factory=list)
    newest: int = 0
    """The number of the newest notification among them."""
    flagged: int = 0
    """Security events of attack grade that the service counted."""

    @property
    def requests(self) -> int:
        """All requests."""
        return sum(self.sent.values())

    @property
    def failed(self) -> int:
        """Requests that failed by the service's fault, or were not answered."""
        return sum(count for (_, answer), count in self.sent.items() if answer[:1] == "5" or answer == "unreachable")

    @property
    def attacked(self) -> int:
        """Attacks that were sent."""
        return sum(count for (kind, _), count in self.sent.items() if kind == "attack")

    @property
    def false(self) -> int:
        """Harmless requests that were taken for attacks: what was flagged beyond the attacks that the guard refused."""
        return max(0, self.flagged - self.sent["attack", REFUSED])

    @property
    def false_bound(self) -> float:
        """The upper end of a 95 % interval of false ones among all that were flagged, 0 to 1."""
        return upper_bound(self.false, self.flagged)

    @property
    def kept(self) -> bool:
        """Whether it was silent, or, amid attacks, whether few enough requests were false positives."""
        if self.attacks:
            return self.flagged > 0 and self.false / self.flagged < FALSE_SHARE
        return not self.fired and not self.notified and self.failed < FAILURE_SHARE * self.requests

    def as_dict(self) -> dict[str, object]:
        """Everything, for JSON."""
        traffic = {"seconds": self.seconds, "rate": self.rate, "attack_share": self.attacks, "requests": self.requests}
        answers = [[kind, answer, count] for (kind, answer), count in self.sent.most_common()]
        results = {"failed": self.failed, "answers": answers, "alerts": self.fired, "notifications": self.notified}
        flags = {"attacks": self.attacked, "flagged": self.flagged, "false": self.false}
        return {**traffic, **results, **flags, "false_upper_bound": round(self.false_bound, 4), "kept": self.kept}


def upper_bound(false: int, total: int, confidence: float = 0.95) -> float:
    """The exact upper bound of a share (Clopper and Pearson, Biometrika 26, 1934); 1 where nothing was seen."""
    if not total or false >= total:
        return 1.0
    low, high = false / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _cumulative_probability(false, total, middle) > 1 - confidence else (low, middle)
    return high


def _cumulative_probability(successes: int, trials: int, share: float) -> float:
    """The probability of so many successes or fewer."""
    total = term = (1 - share) ** trials
    for n in range(1, successes + 1):
        term *= (trials - n + 1) / n * share / (1 - share)
        total += term
    return total


def load_questions(file: Path | None) -> tuple[str, ...]:
    """Harmless questions from a file: one a line, or JSON objects with ``text`` or ``question``, benign ones only.

    Raises ConfigurationError.
    """
    if file is None:
        return ()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read: {type(error).__name__}.") from None
    try:
        return tuple(text for line in lines if (text := _parse_question(line)))
    except (ValueError, RecursionError):
        raise ConfigurationError(f"{file} has a line that begins like JSON and is none.") from None


def _parse_question(line: str) -> str:
    if not line.startswith("{"):
        return line.strip()
    entry = json.loads(line)
    if entry.get("label", "benign") != "benign" or entry.get("kind", "question") != "question":
        return ""
    return str(entry.get("text") or entry.get("question") or "")


def measure_silence(
    seconds: float, rate: float, attacks: float, harmless: Sequence[str], say: Callable[[str], None]
) -> Silence:
    """Runs a chain for so long and watches it. Raises ConfigurationError when a program is missing."""
    seen = Silence(seconds, rate, attacks)
    with make_workspace("silence-") as directory:
        ordinary_volume = {"audit_dir": directory / "record"}
        with run_chain(directory / "chain", rate=0.1, settings=ordinary_volume) as made:
            before, began = _count_flagged(made), time.monotonic()
            with Traffic(
                made.service.url, made.service.key, rate, request_mix(harmless, attacks), threads=8
            ) as traffic:
                _watch_alerts(made, seen, began, began + seconds, say)
            _watch_alerts(made, seen, began, time.monotonic() + LAST_SCRAPE, say)
            seen.sent = traffic.sent
            seen.flagged = round(_count_flagged(made) - before)
    return seen


def _count_flagged(made: Chain) -> float:
    return made.query_value(f'sum(sql_synthesizer_security_events_total{{event_type=~"{GRADE}"}})') or 0.0


def _watch_alerts(made: Chain, seen: Silence, began: float, end: float, say: Callable[[str], None]) -> None:
    """Looks until ``end``, and once more then."""
    while True:
        now = time.monotonic()
        for alert in made.active_alerts():
            name = alert["labels"]["alertname"]
            if name != "Watchdog" and alert["state"] == "firing" and name not in seen.fired:
                seen.fired[name] = round(now - began, 1)
                say(f"{name} fires after {now - began:.0f} s")
        for message in made.inbox.messages:
            if message.number > seen.newest and message.kind != "watchdog":
                seen.newest = message.number
                seen.notified.append(f"{message.kind} {message.subject}")
        if now >= end:
            return
        time.sleep(LOOK)
