"""prometheus.yml and its target files: what promtool checks, what it does not, and the real server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sql_synthesizer.operate.inbox import Inbox
from tests.support.monitoring import PROMETHEUS, alertmanager, prometheus, run
from tests.support.serving import HANG, ROOT, service, until

CONFIG = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
JOBS = {job["job_name"]: job for job in CONFIG["scrape_configs"]}
PORTS = {"sql-synthesizer": 8080, "prometheus": 9090, "alertmanager": 9093}
DEPLOYED = ("monitoring", "deploy", "docker-compose.yml", "Dockerfile", "run")


def discovered(part: dict[str, Any]) -> list[str]:
    return [name for block in part["file_sd_configs"] for name in block["files"]]


@pytest.mark.parametrize("arguments", [["check", "config"], ["check", "config", "--lint=all", "--lint-fatal"]])
def test_promtool_accepts_it(arguments: list[str]) -> None:
    checked = run("promtool", *arguments, PROMETHEUS / "prometheus.yml")
    assert checked.returncode == 0, checked.stdout
    assert "rule files" in checked.stdout
    assert "WARNING" not in checked.stdout


def test_intervals_that_the_alert_latency_is_computed_from() -> None:
    assert CONFIG["global"]["scrape_interval"] == CONFIG["global"]["evaluation_interval"] == "15s"
    assert not any({"scrape_interval", "scrape_timeout"} & job.keys() for job in JOBS.values())


def test_rules_are_loaded_and_alerts_are_sent() -> None:
    assert CONFIG["rule_files"] == ["alerts.yml", "recording.yml"]
    assert all((PROMETHEUS / name).is_file() for name in CONFIG["rule_files"])
    (sender,) = CONFIG["alerting"]["alertmanagers"]
    assert discovered(sender) == ["targets/alertmanager.yml"]


@pytest.mark.parametrize("directory", ["targets", "targets/compose"])
def test_each_job_has_its_target_file_and_the_other_way_round(directory: str) -> None:
    assert JOBS.keys() == PORTS.keys()
    files = {name: f"{directory}/{name}.yml" for name in JOBS}
    assert {path.name for path in (PROMETHEUS / directory).glob("*.yml")} == {f"{name}.yml" for name in JOBS}
    for name, job in JOBS.items():
        assert discovered(job) == [f"targets/{name}.yml"]
        (group,) = yaml.safe_load((PROMETHEUS / files[name]).read_text())
        (address,) = group["targets"]
        assert int(address.rpartition(":")[2]) == PORTS[name]


@pytest.mark.parametrize("name", PORTS)
def test_scrapes_are_bounded(name: str) -> None:
    assert JOBS[name]["sample_limit"] == 5000
    assert JOBS[name]["body_size_limit"] == "10MB"


def test_no_endpoint_that_deletes_data_or_ends_the_server() -> None:
    files = [
        path for name in DEPLOYED for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))
    ]
    texts = {path: path.read_text(errors="ignore") for path in files if path.is_file()}
    assert PROMETHEUS / "prometheus.yml" in texts
    assert not [path for path, text in texts.items() if re.search(r"web\.enable-(admin-api|lifecycle)", text)]


@pytest.mark.server
def test_the_real_server_scrapes_evaluates_and_tells(tmp_path: Path) -> None:
    def quick(config: dict[str, Any]) -> None:
        config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}

    (tmp_path / "app").mkdir()
    with Inbox() as inbox, service(tmp_path / "app") as app, alertmanager(tmp_path, inbox) as notifier:
        targets = {
            "sql-synthesizer": f"127.0.0.1:{app.metrics_port}",
            "alertmanager": notifier.url.removeprefix("http://"),
        }
        # An alert that fires before Alertmanager is discovered is sent again after this delay, else after a minute.
        with prometheus(tmp_path, targets, "--rules.alert.resend-delay=1s", change=quick) as server:
            scraped = until(lambda: all_up(server.get("/api/v1/targets")["data"]["activeTargets"]))
            assert {target["labels"]["job"] for target in scraped} == PORTS.keys()
            assert len(server.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"]) == 1
            rules = until(lambda: evaluated(server.get("/api/v1/rules")["data"]["groups"]))
            assert {rule["health"] for rule in rules} == {"ok"}
            (samples,) = until(
                lambda: server.get('/api/v1/query?query=scrape_samples_scraped{job="sql-synthesizer"}')["data"][
                    "result"
                ]
            )
            assert 100 < float(samples["value"][1]) < 4000
            heard = inbox.wait_for(lambda message: message.kind == "watchdog", HANG)
            assert heard.content["receiver"] == "dead-mans-switch"


def all_up(targets: list[Any]) -> list[Any]:
    return targets if len(targets) == len(PORTS) and all(target["health"] == "up" for target in targets) else []


def evaluated(groups: list[Any]) -> list[Any]:
    """The rules of the groups that have no slower interval of their own, once each was evaluated."""
    rules = [rule for group in groups if group["interval"] == 1 for rule in group["rules"]]
    return rules if all(rule["health"] != "unknown" for rule in rules) else []
