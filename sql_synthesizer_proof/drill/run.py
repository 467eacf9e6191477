"""Runs scenarios on chains, wave by wave, and gathers their timelines."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sql_synthesizer.monitoring.slo import duration_seconds
from sql_synthesizer.operate.child import SERVE, becomes_true
from sql_synthesizer.operate.watchers import leave_unchanged, shipped_path
from sql_synthesizer_proof.drill import ballast, scaling
from sql_synthesizer_proof.drill.chain import ORDINARY, Chain, make_workspace, run_chain
from sql_synthesizer_proof.drill.scenario import SWITCH, AlertScenario, Impossible, Timeline, Watch
from sql_synthesizer_proof.rules import Rule, read_groups

WARM_UP = 150.0
"""Seconds of ordinary traffic before the first fault: longer than the window of every fast alert."""
QUIET_LIMIT = 900.0
"""Seconds to wait between two waves until what could disturb the next one is over."""
MUTING = {
    "SqlSynthesizerDown",
    "SqlSynthesizerCacheDown",
    "SqlSynthesizerLLMFailures",
    "SqlSynthesizerConnectionPoolExhausted",
}
"""Alerts that inhibit others."""

Say = Callable[[str], None]


@cache
def load_rules() -> dict[str, list[Rule]]:
    """Alert name -> its shipped rules."""
    found: dict[str, list[Rule]] = {}
    for group in read_groups(shipped_path("monitoring/prometheus/alerts.yml")):
        for rule in group["rules"]:
            found.setdefault(rule["alert"], []).append(rule)
    return found


def longest_window(rule: Rule) -> float:
    """The longest time that the rule looks back, in seconds."""
    return max((duration_seconds(found) for found in re.findall(r"\[(\d+[smhd])\]", rule["expr"])), default=0.0)


def notification_limit(rule: Rule, *, scaled: bool = False) -> float:
    """Seconds after which a notification that has not come counts as missing.

    A scaled alert may join a group that was notified already, and then waits as long as a group of warnings does.
    """
    own = duration_seconds(rule.get("for", "0s")) + longest_window(rule)
    return own / scaling.FACTOR + 480.0 if scaled else own + 120.0


def resolution_limit(rule: Rule, *, scaled: bool = False) -> float:
    """Seconds after the end of the fault within which the resolved notice has to come."""
    return longest_window(rule) / (scaling.FACTOR if scaled else 1) + 480.0


@dataclass
class Drill:
    """What is to be run. ``say`` prints progress; ``resolve`` is whether to wait for resolved notices."""

    scenarios: Sequence[AlertScenario]
    say: Say
    resolve: bool = True
    warm_up: float = WARM_UP
    files: Path | None = None
    """A directory like ``monitoring`` that is drilled instead of the shipped one."""
    limit: float | None = None
    """Seconds after which a notification counts as missing, instead of a time that follows from the rule."""

    def run(self, number: int) -> list[Timeline]:
        """All waves once, on a chain for each choice of settings. Raises ConfigurationError, TimeoutError."""
        chains: dict[tuple[object, ...], dict[str, list[AlertScenario]]] = {}
        for scenario in self.scenarios:
            chains.setdefault((scenario.settings, scenario.scaled), {}).setdefault(scenario.wave, []).append(scenario)
        return [line for waves in chains.values() for line in self._run_waves(waves, number)]

    def _run_waves(self, waves: Mapping[str, list[AlertScenario]], number: int) -> list[Timeline]:
        lines: list[Timeline] = []
        scenarios = [scenario for wave in waves.values() for scenario in wave]
        hurried = {scenario.alert for scenario in scenarios if scenario.scaled}
        if hurried:
            self.say(f"run {number}: windows and holds divided by {scaling.FACTOR}: {', '.join(sorted(hurried))}")
        with make_workspace("drill-") as directory:
            home = directory / "chain"
            ballasted = any(scenario.ballast for scenario in scenarios)
            with run_chain(
                home,
                settings=dict(scenarios[0].settings),
                command=ballast.launch_command(home / ballast.FILE) if ballasted else SERVE,
                rules=scaling.scale_rules(hurried, self.files) if hurried else None,
                change_prometheus=scaling.scale_configuration if hurried else leave_unchanged,
                rate=scaling.RATE if hurried else ORDINARY,
                files=self.files,
            ) as made:
                self.say(f"run {number}: {self.warm_up:g} s of ordinary traffic first")
                time.sleep(self.warm_up)
                for name, wave in waves.items():
                    self.say(f"run {number}: {name}: waits until its alerts are quiet, at most {QUIET_LIMIT:g} s")
                    self._wait_for_quiet(made, {scenario.alert for scenario in wave} - {SWITCH} | MUTING)
                    lines += self._run_wave(made, wave, number)
        return lines

    def _wait_for_quiet(self, made: Chain, names: set[str]) -> None:
        """Waits until none of these alerts is active any more."""

        def is_quiet() -> bool:
            return names.isdisjoint(alert["labels"]["alertname"] for alert in made.active_alerts())

        if self.resolve:
            becomes_true(is_quiet, QUIET_LIMIT, 1.0)

    def _run_wave(self, made: Chain, wave: Sequence[AlertScenario], number: int) -> list[Timeline]:
        watches: list[Watch] = []
        following: list[Future[None]] = []
        with ExitStack() as faults, ThreadPoolExecutor(len(wave)) as followers:
            for scenario in wave:
                if scenario.prepare is not None:
                    faults.enter_context(scenario.prepare(made))
            for scenario in wave:
                watch = Watch(made, scenario, _find_rule(scenario), number)
                watches.append(watch)
                limit = self.limit or notification_limit(watch.rule, scaled=scenario.scaled)
                self.say(f"  {scenario.alert}: {scenario.fault}; waits for its notification, at most {limit:.0f} s")
                following.append(followers.submit(watch.follow_alert, limit))
                try:
                    faults.enter_context(scenario.make(made))
                except (Impossible, TimeoutError) as error:
                    watch.give_up(str(error))
            for followed in following:
                followed.result()  # what broke a follower must not pass for an alert that arrived
        for watch in watches:
            watch.mark_mended()
        if self.resolve:
            awaited = [watch for watch in watches if watch.scenario.delivered and not watch.given_up]
            limits = [resolution_limit(watch.rule, scaled=watch.scenario.scaled) for watch in awaited]
            for watch, seconds in zip(awaited, limits, strict=True):
                self.say(
                    f"  {watch.scenario.alert}: mended; waits for the notice that it is over, at most {seconds:.0f} s"
                )
            with ThreadPoolExecutor(len(wave)) as followers:
                list(followers.map(Watch.follow_resolved, awaited, limits))
        lines = [watch.timeline for watch in watches]
        for line in lines:
            self.say(_format_timeline(line))
        return lines


def _find_rule(scenario: AlertScenario) -> Rule:
    rules, labels = load_rules()[scenario.alert], scenario.labels
    return next(rule for rule in rules if labels.items() <= {**labels, **rule["labels"]}.items())


def _format_timeline(line: Timeline) -> str:
    times = [
        f"{name} {when:.1f} s"
        for name in ("pending", "firing", "mail", "slack", "switch", "resolved")
        if (when := getattr(line, name))
    ]
    return f"  {line.alert}: {', '.join(times)}" + "".join(f"; {problem}" for problem in line.problems)
