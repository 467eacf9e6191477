"""Faults of the monitoring."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import yaml

from sql_synthesizer.operate.child import wait_until
from sql_synthesizer.operate.watchers import Change, Watcher, run_prometheus
from sql_synthesizer_proof.drill.beside import add_target, only_targets
from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.drill.faults.attacks import INJECTION
from sql_synthesizer_proof.drill.faults.load import SETTINGS, load_scenario, redis_crowded
from sql_synthesizer_proof.drill.faults.locks import run_in_background
from sql_synthesizer_proof.drill.scenario import AlertScenario, lasting_fault

NOBODY = "127.0.0.1:9"
CUT = 150.0
"""Seconds that Prometheus is cut from Alertmanager: longer than the interval at which it sends a firing alert again."""
ATTACK_INTERVAL = 45.0
"""Seconds between attacks, so that the security channel always has notifications."""
LOADED = 30.0
"""Seconds within which a program reads its configuration again."""
FAILING = 'label_replace(label_replace(up, "instance", "one", "", ""), "job", "one", "", "")'
"""Makes series of different targets the same, which is an error."""


@contextmanager
def path_cut(chain: Chain) -> Iterator[None]:
    """Prometheus is cut from Alertmanager, and connected again in time for the alert to arrive."""
    later = threading.Timer(CUT, chain.delivery.open)
    later.daemon = True
    try:
        chain.delivery.close()
        later.start()
        yield
    finally:
        later.cancel()
        chain.delivery.open()


def prometheus_killed(chain: Chain) -> AbstractContextManager[None]:
    """Another Prometheus, which ours watches too, is killed."""
    return lasting_fault(chain.programs["prometheus"].kill, chain.programs["prometheus"].start)


@contextmanager
def second_prometheus(chain: Chain) -> Iterator[None]:
    """A second Prometheus without targets, whose alerts are sent nowhere."""
    with (
        run_prometheus(chain.home / "second-prometheus", {"alertmanager": [NOBODY]}) as second,
        add_target(chain, "prometheus", second.address),
    ):
        chain.programs["prometheus"] = second.child
        yield


def config_changed(watcher: Watcher, change: Change) -> AbstractContextManager[None]:
    """A watcher reads a configuration that was changed, and the one before afterwards."""
    before = watcher.config.read_text(encoding="utf-8")

    def change_config() -> None:
        watcher.edit(change)
        watcher.reload()

    def restore_config() -> None:
        watcher.config.write_text(before, encoding="utf-8")
        watcher.reload()

    return lasting_fault(change_config, restore_config)


def rules_failing(chain: Chain) -> AbstractContextManager[None]:
    """A rule whose evaluation fails is added."""
    return rule_added(chain, "failing", {"record": "drill:failing", "expr": FAILING})


@contextmanager
def rule_added(chain: Chain, name: str, rule: dict[str, str], **group: str) -> Iterator[None]:
    """A group with one more rule, in a file of its own, is loaded; ``group`` may give its interval."""
    file = chain.prometheus.config.with_name(f"{name}.yml")
    file.write_text(yaml.safe_dump({"groups": [{"name": name, **group, "rules": [rule]}]}), encoding="utf-8")
    with config_changed(chain.prometheus, lambda config: config["rule_files"].append(file.name)):
        wait_until(lambda: name in _loaded_groups(chain), LOADED, f"the rules of {file.name} are not loaded")
        wait_until(lambda: _has_alertmanager(chain), LOADED, "Prometheus does not find Alertmanager again")
        yield


def _loaded_groups(chain: Chain) -> set[str]:
    return {group["name"] for group in chain.prometheus.get("/api/v1/rules")["data"]["groups"]}


def _has_alertmanager(chain: Chain) -> bool:
    """Whether Prometheus knows its Alertmanager: after a reload it does not for some seconds, and drops alerts."""
    return bool(chain.prometheus.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"])


@contextmanager
def slack_refuses(chain: Chain) -> Iterator[None]:
    """Slack no longer has the webhook of the security channel, while attacks continue."""
    secret = chain.alertmanager.config.parent / "secrets" / "gone"
    secret.write_text(f"http://127.0.0.1:{chain.inbox.http_port}/gone", encoding="ascii")

    def redirect_slack(config: dict[str, Any]) -> None:
        receiver = next(found for found in config["receivers"] if found["name"] == "security")
        receiver["slack_configs"][0]["api_url_file"] = str(secret.resolve())

    def send_attacks(stop: threading.Event) -> None:
        with chain.service.client() as client:
            while not stop.is_set():
                client.send("POST", "/api/query", {"question": INJECTION})
                stop.wait(ATTACK_INTERVAL)

    with config_changed(chain.alertmanager, redirect_slack):
        wait_until(
            lambda: str(secret) in _running_config(chain), LOADED, "Alertmanager does not read its configuration"
        )
        with run_in_background(send_attacks):
            yield


def _running_config(chain: Chain) -> str:
    return str(chain.alertmanager.get("/api/v2/status")["config"]["original"])


def prometheus_misconfigured(chain: Chain) -> AbstractContextManager[None]:
    """Prometheus is to read a configuration with a section that does not exist."""
    return config_changed(chain.prometheus, lambda config: config.update(no_such_section=1))


def alertmanager_misconfigured(chain: Chain) -> AbstractContextManager[None]:
    """Alertmanager is to read a configuration with a section that does not exist."""
    return config_changed(chain.alertmanager, lambda config: config.update(no_such_section=1))


def no_alertmanager(chain: Chain) -> AbstractContextManager[None]:
    """Prometheus is given no Alertmanager."""
    return only_targets(chain, "alertmanager", [])


def no_fault(_: Chain) -> AbstractContextManager[None]:
    """None: the alert always fires."""
    return nullcontext()


monitoring_scenario = partial(AlertScenario, wave="monitoring", settings=SETTINGS, ballast=True)

SCENARIOS = (
    load_scenario("MonitoringTargetDown", prometheus_killed, labels={"job": "prometheus"}, prepare=second_prometheus),
    monitoring_scenario("SqlSynthesizerDependencyDegraded", redis_crowded),
    monitoring_scenario("PrometheusRuleFailures", rules_failing),
    monitoring_scenario("AlertmanagerNotificationsFailing", slack_refuses),
    monitoring_scenario("PrometheusConfigReloadFailed", prometheus_misconfigured),
    monitoring_scenario("AlertmanagerConfigReloadFailed", alertmanager_misconfigured),
    load_scenario("Watchdog", no_fault, delivered=False, instead="the dead man's switch hears it"),
    monitoring_scenario("PrometheusNotificationsDropped", path_cut),
)
