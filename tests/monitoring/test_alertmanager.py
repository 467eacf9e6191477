"""Alertmanager's configuration: routes, inhibition and templates, in amtool and in the real server."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from sql_synthesizer.operate.inbox import POSTED, Inbox, Notification
from sql_synthesizer_proof.drill.receivers import find_receiver, load_receivers
from tests.support.monitoring import (
    ALERTMANAGER,
    PROMETHEUS,
    Server,
    alertmanager,
    duration_seconds,
    hours,
    hurried,
    post_alerts,
    run,
)
from tests.support.serving import HANG, until

CONFIG_FILE = ALERTMANAGER / "config.yml"
CONFIG = yaml.safe_load(CONFIG_FILE.read_text())
RECEIVERS = {receiver["name"]: receiver for receiver in CONFIG["receivers"]}
TEMPLATES = sorted((ALERTMANAGER / "templates").glob("*"))
SECRETS = "/etc/alertmanager/secrets/"

RUNBOOK = "http://127.0.0.1:8000/HighErrorRate.html"
ANNOTATIONS = {
    "summary": "Questions fail & <b>fail</b>",
    "description": "12.5% of the questions of sql-synthesizer fail, more than 5%.",
    "runbook_url": RUNBOOK,
    "dashboard_url": "http://127.0.0.1:3000/d/application?a=1&b=2",
}


def alert(name: str, severity: str, **labels: str) -> dict[str, str]:
    own = {"alertname": name, "severity": severity, "service": "sql-synthesizer", "team": "operations"}
    return {**own, "job": "sql-synthesizer", **labels}


def everything(part: Any) -> Iterator[tuple[str, Any]]:
    """Each key of the configuration with its value, at every depth; in lists, the key of the list."""
    for key, value in part.items():
        for item in value if isinstance(value, list) else [value]:
            yield key, item
            if isinstance(item, dict):
                yield from everything(item)


# What no tool checks


def test_amtool_accepts_it() -> None:
    checked = run("amtool", "check-config", CONFIG_FILE)
    assert checked.returncode == 0, checked.stdout


def test_nothing_deprecated_and_nothing_to_fill_in() -> None:
    keys = {key for key, _ in everything(CONFIG)}
    old = {
        "match",
        "match_re",
        "source_match",
        "source_match_re",
        "target_match",
        "target_match_re",
        "mute_time_intervals",
    }
    assert not keys & old
    for path in [CONFIG_FILE, *TEMPLATES]:
        assert not re.search(
            r"example\.(com|org)|your[_-]|change.?me|todo|hooks\.slack", path.read_text(), re.IGNORECASE
        )


def test_secrets_are_files_in_one_directory() -> None:
    secret = re.compile("password|secret|token|api_key|api_url|credential|auth_identity")
    named = {key: value for key, value in everything(CONFIG) if secret.search(key)}
    assert set(named.values()) == {SECRETS + "slack_api_url", SECRETS + "smtp_password"}
    assert all(key.endswith("_file") for key in named)


def test_template_globs_match() -> None:
    found = {path for pattern in CONFIG["templates"] for path in ALERTMANAGER.glob(pattern)}
    assert found == set(TEMPLATES)


def test_each_template_that_is_used_is_defined_and_the_other_way_round() -> None:
    text = CONFIG_FILE.read_text() + "".join(path.read_text() for path in TEMPLATES)
    used = set(re.findall(r'template "([^"]+)"', text))
    assert used == set(re.findall(r'define "([^"]+)"', text))


def test_people_hear_of_the_end_and_the_dead_mans_switch_does_not() -> None:
    blocks = [
        (name, block) for name, receiver in RECEIVERS.items() for key, block in everything(receiver) if "configs" in key
    ]
    assert len(blocks) == 7
    assert {name for name, block in blocks if block["send_resolved"]} == RECEIVERS.keys() - {"dead-mans-switch"}


def test_business_hours_have_a_place() -> None:
    names = {interval["name"] for interval in CONFIG["time_intervals"]}
    assert all(spec["location"] for interval in CONFIG["time_intervals"] for spec in interval["time_intervals"])
    assert {value for key, value in everything(CONFIG["route"]) if key == "active_time_intervals"} == names


# Routes


def shipped() -> list[dict[str, str]]:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())
    found = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    return [{"alertname": rule["alert"], **rule["labels"]} for rule in found]


FOREIGN = [
    {"alertname": "Foreign", "severity": "none"},
    {"alertname": "Foreign", "severity": "page"},
    {"alertname": "Foreign"},
    {"alertname": "Foreign", "severity": "none", "team": "security"},
    {"alertname": "Watchdog", "severity": "critical"},
]


def test_every_alert_reaches_its_receiver() -> None:
    alerts = [*shipped(), *FOREIGN]
    assert {find_receiver(labels) for labels in alerts} == RECEIVERS.keys() == load_receivers().keys()
    for labels in {tuple(sorted(labels.items())): labels for labels in alerts}.values():
        pairs = [f"{name}={value}" for name, value in labels.items()]
        options = [f"--config.file={CONFIG_FILE}", f"--verify.receivers={find_receiver(labels)}"]
        routed = run("amtool", "config", "routes", "test", *options, *pairs)
        assert routed.returncode == 0, f"{labels}: {routed.stdout}"


def route(**wanted: str) -> dict[str, Any]:
    """The settings that an alert with these labels meets, inherited ones included."""
    met, candidates = {}, [CONFIG["route"]]
    while candidates:
        current = candidates.pop(0)
        if all(matcher in [f'{k}="{v}"' for k, v in wanted.items()] for matcher in current.get("matchers", [])):
            met |= current
            candidates = list(current.get("routes", []))
    return met


@pytest.mark.parametrize(
    ("labels", "waits"),
    [
        ({"alertname": "Watchdog"}, ("0s", "1m", "1m")),
        ({"team": "security", "severity": "critical"}, ("5s", "30s", "1h")),
        ({"team": "security", "severity": "warning"}, ("30s", "5m", "12h")),
        ({"team": "operations", "severity": "critical"}, ("10s", "30s", "4h")),
        ({"team": "operations", "severity": "warning"}, ("30s", "5m", "24h")),
        ({}, ("30s", "5m", "12h")),
    ],
)
def test_waits(labels: dict[str, str], waits: tuple[str, str, str]) -> None:
    met = route(**labels)
    assert (met["group_wait"], met["group_interval"], met["repeat_interval"]) == waits
    assert duration_seconds(waits[2]) % duration_seconds(waits[1]) == 0
    assert {"alertname", "service", "job"} <= set(met["group_by"])


def test_alerts_that_are_named_exist() -> None:
    named = set(re.findall(r'alertname!?="([^"]+)"', CONFIG_FILE.read_text()))
    assert len(named) > 5
    assert named <= {labels["alertname"] for labels in shipped()}


# Templates


def data(status: str, *statuses: str) -> dict[str, Any]:
    ends = {"startsAt": "2026-03-01T10:00:00Z", "endsAt": "2026-03-01T10:05:00Z"}
    labels = alert("HighErrorRate", "critical")
    alerts = [{"status": each, "labels": labels, "annotations": ANNOTATIONS, **ends} for each in statuses]
    common = {"groupLabels": {"alertname": "HighErrorRate", "job": "sql-synthesizer"}, "commonLabels": labels}
    return {"receiver": "on-call", "status": status, "alerts": alerts, "externalURL": "http://127.0.0.1:9093", **common}


def strings() -> dict[str, str]:
    """Each templated string of the receivers with its kind."""
    found = everything({"receivers": CONFIG["receivers"]})
    return {text: "html" if key == "html" else "text" for key, text in found if isinstance(text, str) and "{{" in text}


@pytest.mark.parametrize("statuses", [("firing", "firing"), ("firing", "firing", "resolved"), ("resolved", "resolved")])
@pytest.mark.parametrize(("text", "kind"), strings().items())
def test_templates_render(text: str, kind: str, statuses: tuple[str, ...], tmp_path: Path) -> None:
    case = tmp_path / "case.json"
    case.write_text(json.dumps(data(*statuses)))
    options = [f"--template.type={kind}", f"--template.data={case}", f"--template.text={text}"]
    rendered = run("amtool", "template", "render", f"--template.glob={ALERTMANAGER}/templates/*.tmpl", *options)
    assert rendered.returncode == 0, rendered.stdout
    assert rendered.stdout.strip()
    assert "no value" not in rendered.stdout
    assert "ZgotmplZ" not in rendered.stdout


def test_templates_bear_an_alert_without_annotations(tmp_path: Path) -> None:
    bare = data("firing", "firing")
    bare |= {"groupLabels": {}, "commonLabels": {}, "alerts": [bare["alerts"][0] | {"labels": {}, "annotations": {}}]}
    case = tmp_path / "case.json"
    case.write_text(json.dumps(bare))
    for text, kind in strings().items():
        options = [f"--template.type={kind}", f"--template.data={case}", f"--template.text={text}"]
        rendered = run("amtool", "template", "render", f"--template.glob={ALERTMANAGER}/templates/*.tmpl", *options)
        assert rendered.returncode == 0, rendered.stdout
        assert "Runbook" not in rendered.stdout


# Inhibition, in the real server: each case has a job of its own

HERE, THERE = {"instance": "a:8080"}, {"instance": "b:8080"}
DOWN = {"alertname": "SqlSynthesizerDown", "severity": "critical"}
DEPENDENCY = {"alertname": "SqlSynthesizerDependencyDown", "severity": "critical"}
ERRORS = {"alertname": "HighErrorRate", "severity": "critical"}
ATTACK = {"alertname": "SQLInjectionAttempts", "severity": "critical", "team": "security"}
BURN = {"alertname": "SqlSynthesizerErrorBudgetBurn"}
FULL = {"alertname": "SqlSynthesizerConnectionPoolExhausted", "severity": "critical", "instance": "a:8080"}
BUSY = {"alertname": "SqlSynthesizerConnectionPoolSaturated", "severity": "warning", "instance": "a:8080"}
WAITED = {"alertname": "SqlSynthesizerConnectionPoolTimeouts", "severity": "warning", "instance": "a:8080"}
DEGRADED = {"instance": "a:8080", "alertname": "SqlSynthesizerDependencyDegraded", "severity": "warning"}
NO_CACHE = HERE | {"alertname": "SqlSynthesizerCacheDown", "severity": "critical", "cache_type": "redis"}
CACHE_ERRORS = {"alertname": "SqlSynthesizerCacheErrors", "severity": "warning", "instance": "a:8080"}
NO_MODEL = {"alertname": "SqlSynthesizerLLMFailures", "severity": "critical", "instance": "a:8080"}

CASES: dict[str, tuple[dict[str, str], dict[str, str], bool]] = {
    "down mutes a critical follower": (DOWN, ERRORS, True),
    "down mutes a warning": (DOWN, CACHE_ERRORS | {"cache_type": "redis"}, True),
    "down does not mute security": (DOWN, ATTACK, False),
    "down does not mute another job": (DOWN, ERRORS | {"job": "elsewhere"}, False),
    "down does not mute what has no job": (DOWN, {"alertname": "Watchdog", "severity": "none", "job": ""}, False),
    "critical mutes warning": (BURN | {"severity": "critical"}, BURN | {"severity": "warning", "long": "1d"}, True),
    "critical does not mute another name": (ERRORS, BURN | {"severity": "warning"}, False),
    "critical does not mute another dependency": (
        DEPENDENCY | {"dependency": "store"},
        DEPENDENCY | {"dependency": "cache", "severity": "warning"},
        False,
    ),
    "a full pool mutes a busy one": (FULL | {"database": "shop"}, BUSY | {"database": "shop"}, True),
    "a full pool mutes what comes of it": (FULL | {"database": "shop"}, WAITED | {"database": "shop"}, True),
    "a full pool does not mute what comes of another": (FULL, WAITED | THERE, False),
    "a full pool does not mute another": (FULL | {"database": "shop"}, BUSY | {"database": "books"}, False),
    "no cache mutes its errors": (NO_CACHE, CACHE_ERRORS | {"cache_type": "redis"}, True),
    "no cache does not mute another's errors": (NO_CACHE, CACHE_ERRORS | {"cache_type": "memory"}, False),
    "no cache mutes its ping": (NO_CACHE, DEGRADED | {"dependency": "cache"}, True),
    "no cache does not mute another's ping": (NO_CACHE, DEGRADED | THERE | {"dependency": "cache"}, False),
    "no cache does not mute the model's ping": (NO_CACHE, DEGRADED | {"dependency": "model"}, False),
    "errors mute no cause": (ERRORS, DEPENDENCY | {"dependency": "store"}, False),
    "no model does not mute the cache's ping": (NO_MODEL, DEGRADED | {"dependency": "cache"}, False),
    "no model mutes its ping": (NO_MODEL, DEGRADED | {"dependency": "model"}, True),
}


@pytest.fixture(scope="module")
def muted(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The cases whose second alert is muted."""

    def read(server: Server) -> set[str]:
        found = server.get("/api/v2/alerts")
        return {
            each["labels"]["case"] for each in found if each["status"]["inhibitedBy"] and "target" in each["labels"]
        }

    with Inbox() as inbox, alertmanager(tmp_path_factory.mktemp("inhibition"), inbox) as server:
        for name, (source, target, _) in CASES.items():
            job = {"job": name, "case": name}
            post_alerts(server, [alert("", "", **job) | source, alert("", "", **job, target="1") | target], ANNOTATIONS)
        last = next(reversed(CASES))  # alerts are taken in order, so that the others are decided when it is
        until(lambda: last in read(server))
        return read(server)


@pytest.mark.server
@pytest.mark.parametrize("name", CASES)
def test_inhibition(name: str, muted: set[str]) -> None:
    assert (name in muted) == CASES[name][2]


# Notifications, in the real server

SENT = {
    "HighErrorRate": (alert("HighErrorRate", "critical"), "oncall@company.com", "#alerts"),
    "SQLInjectionAttempts": (
        alert("SQLInjectionAttempts", "critical", team="security", event_type="sql_injection_attempt"),
        "security@company.com",
        "#security",
    ),
    "AuthFailureBurst": (alert("AuthFailureBurst", "warning", team="security"), "security@company.com", "#security"),
    "HighQueryLatency": (alert("HighQueryLatency", "warning"), "team@company.com", None),
    "Unknown": (alert("Unknown", "page"), "team@company.com", None),
}
HURRY = 10


def test_addresses_are_those_that_the_drills_expect() -> None:
    found = load_receivers()
    for labels, address, channel in SENT.values():
        assert found[find_receiver(labels)] == {"mail": address} | ({"slack": channel} if channel else {})
    assert found["dead-mans-switch"] == {"watchdog": "dead-mans-switch"}
    assert {kind for addresses in found.values() for kind in addresses} - POSTED.keys() == {"mail"}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Inbox, Server]]:
    """An Alertmanager that waits a tenth as long, in business hours, and what it told."""

    def change(config: dict[str, Any]) -> None:
        hurried(HURRY)(config)
        hours(config, open=True)

    with Inbox() as inbox, alertmanager(tmp_path_factory.mktemp("told"), inbox, change) as server:
        post_alerts(server, [labels for labels, _, _ in SENT.values()], ANNOTATIONS)
        post_alerts(server, [{"alertname": "Watchdog", "severity": "none"}], ANNOTATIONS)
        yield inbox, server


def about(kind: str, name: str, status: str = "FIRING") -> Any:
    return lambda message: message.kind == kind and f"[{status}:" in message.subject and name in message.subject


@pytest.mark.server
@pytest.mark.parametrize(("name", "row"), SENT.items())
def test_who_is_told_what(name: str, row: tuple[dict[str, str], str, str | None], told: tuple[Inbox, Server]) -> None:
    labels, address, channel = row
    mail = told[0].wait_for(about("mail", name), HANG)
    assert mail.to == (address,)
    assert mail.subject == f"[FIRING:1] {labels['severity']} {name} (sql-synthesizer)"
    assert [message.to for message in told[0].messages if name in message.subject and message.kind == "mail"] == [
        (address,)
    ]
    for part in (mail.text, mail.html):
        assert ANNOTATIONS["description"] in part
        assert RUNBOOK in part
        assert labels["alertname"] in part
    assert ANNOTATIONS["summary"] in mail.text
    assert "Questions fail &amp; &lt;b&gt;" in mail.html
    if channel:
        slack = told[0].wait_for(about("slack", name), HANG)
        assert (slack.to, slack.subject) == ((channel,), mail.subject)
        assert f"<{RUNBOOK}|Runbook>" in slack.text
        assert slack.content["attachments"][0]["color"] == ("danger" if labels["severity"] == "critical" else "warning")
    else:
        assert not [message for message in told[0].messages if message.kind == "slack" and name in message.subject]


@pytest.mark.server
def test_the_dead_mans_switch_is_heard(told: tuple[Inbox, Server]) -> None:
    heard = told[0].wait_for(lambda message: message.kind == "watchdog", HANG)
    assert [each["labels"]["alertname"] for each in heard.content["alerts"]] == ["Watchdog"]
    assert not [message for message in told[0].messages if message.kind != "watchdog" and "Watchdog" in message.subject]


@pytest.mark.server
def test_people_hear_of_the_end(told: tuple[Inbox, Server]) -> None:
    inbox, server = told
    inbox.wait_for(about("mail", "HighErrorRate"), HANG)
    post_alerts(server, [SENT["HighErrorRate"][0]], ANNOTATIONS, firing=False)
    mail = inbox.wait_for(about("mail", "HighErrorRate", "RESOLVED"), HANG)
    slack = inbox.wait_for(about("slack", "HighErrorRate", "RESOLVED"), HANG)
    assert mail.to == ("oncall@company.com",)
    assert ", until " in mail.html
    assert "#1a7f37" in mail.html
    assert "#cf222e" not in mail.html
    assert slack.content["attachments"][0]["color"] == "good"


@pytest.mark.server
def test_warnings_wait_for_business_hours(tmp_path: Path) -> None:
    def change(config: dict[str, Any], *, open: bool) -> None:
        hours(config, open=open)
        if not open:
            hurried(100)(config)

    def arrived(inbox: Inbox) -> list[Notification]:
        return [message for message in inbox.messages if "HighQueryLatency" in message.subject]

    said = "--log.level=debug"
    with Inbox() as inbox, alertmanager(tmp_path, inbox, partial(change, open=False), said) as server:
        post_alerts(server, [SENT["HighQueryLatency"][0], SENT["HighErrorRate"][0]], ANNOTATIONS)
        inbox.wait_for(about("mail", "HighErrorRate"), HANG)
        until(lambda: "route is not within active time" in server.child.log.read_text())
        assert not arrived(inbox)
        server.edit(partial(change, open=True))
        server.process.send_signal(signal.SIGHUP)
        assert inbox.wait_for(about("mail", "HighQueryLatency"), HANG).to == ("team@company.com",)
