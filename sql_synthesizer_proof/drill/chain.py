"""A private deployment to inject faults into: everything from the database to the inbox, on free ports."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from sql_synthesizer.demo import load_demo
from sql_synthesizer.operate.child import RUNNING, SERVE, Child
from sql_synthesizer.operate.inbox import Inbox
from sql_synthesizer.operate.programs import free_port
from sql_synthesizer.operate.traffic import ASKED, Traffic, request_mix
from sql_synthesizer.operate.watchers import Change, Watcher, leave_unchanged, run_alertmanager, run_prometheus
from sql_synthesizer_proof import servers
from sql_synthesizer_proof.drill.proxy import Proxy
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.service import ServiceProcess
from sql_synthesizer_proof.volume import mount_volume, unmount_below

SETTINGS: dict[str, object] = {
    "rate_limit": "",
    "failed_login_limit": "100000/minute",
    "allow_privileged_login": True,  # it asks as the owner of a server that it made for itself
    "pool_size": 4,
    "pool_wait": 1.0,
    "statement_timeout": 8.0,
    "cache": "redis",
    "model_retries": 0,
    "model_timeout": 3.0,
    "model_input_price": 0.4,
    "model_output_price": 1.6,
}
"""A small pool, so that few statements use it up, and a model with a price."""
ANEW = "how many products have price over "
ANSWER_ANEW = "SELECT count(*) FROM products WHERE price > {}"
MODEL_ANSWERS = (
    "SELECT count(*) FROM customers",
    "SELECT status, count(*) FROM orders GROUP BY status",
    "SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id ORDER BY n DESC LIMIT 5",
    "SELECT avg(price) FROM products",
    "SELECT category_id, count(*) FROM products GROUP BY category_id",
    "SELECT sum(quantity) FROM order_items",
)
ORDINARY = 3.0
"""Requests a second of the ordinary load."""
_places: set[Path] = set()
AUDIT_VOLUME = "1536m"
"""Size of the audit volume: above the free space below which an alert fires."""


class ActiveAlert(TypedDict):
    """What is looked at of an alert that Prometheus has pending or firing."""

    labels: dict[str, str]
    state: str


@dataclass
class Chain:
    """One running chain.

    ``scrape`` and ``delivery`` are proxies between Prometheus and the service, and Prometheus and Alertmanager;
    ``volume`` is the file system of the audit record, None where this account may not mount one.
    """

    home: Path
    inbox: Inbox
    database: Child
    cache: Child
    model: FakeOpenAI
    service: ServiceProcess
    scrape: Proxy
    delivery: Proxy
    prometheus: Watcher
    alertmanager: Watcher
    traffic: Traffic
    owner: str
    volume: Path | None
    targets: dict[str, list[str]]
    """What Prometheus watches, by job."""
    others: dict[str, ServiceProcess] = field(default_factory=dict)
    """Further instances, by a name of the scenario's."""
    programs: dict[str, Child] = field(default_factory=dict)
    """Other further programs, likewise."""
    made: set[object] = field(default_factory=set)
    """Active faults that several scenarios share."""

    def active_alerts(self) -> list[ActiveAlert]:
        """The active alerts, pending or firing."""
        found: list[ActiveAlert] = self.prometheus.get("/api/v1/alerts")["data"]["alerts"]
        return found

    def query_value(self, expr: str) -> float | None:
        """The first value of an instant query, if there is one."""
        found = self.prometheus.get("/api/v1/query", query=expr)["data"]["result"]
        return float(found[0]["value"][1]) if found else None


def extend_business_hours(config: dict[str, Any]) -> None:
    """Makes it business hours at any time, so that warnings are sent when they fire."""
    for interval in config["time_intervals"]:
        interval["time_intervals"] = [{"years": ["2000:2999"]}]


@contextmanager
def run_chain(
    home: Path,
    *,
    rules: Mapping[str, str] | None = None,
    change_prometheus: Change = leave_unchanged,
    change_alertmanager: Change = leave_unchanged,
    settings: Mapping[str, object] | None = None,
    command: Sequence[str] = SERVE,
    rate: float = ORDINARY,
    files: Path | None = None,
) -> Iterator[Chain]:
    """A chain with ordinary traffic on it; what it started is ended. Raises ConfigurationError.

    ``files`` is a directory like ``monitoring`` whose configuration is used instead of the shipped one.
    """
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    with ExitStack() as stack:
        inbox = stack.enter_context(Inbox())
        model = stack.enter_context(FakeOpenAI(answer_question))
        database, owner = servers.make_postgres(home / "postgres")
        stack.enter_context(database)
        load_demo(owner)
        cache, cache_url = servers.make_redis(home / "redis")
        stack.enter_context(cache)
        audit = home / "audit"
        volume = audit if stack.enter_context(mount_volume(audit, AUDIT_VOLUME)) else None
        parts = {"database_url": owner, "redis_url": cache_url, "audit_dir": audit / "record"}
        port = free_port()
        own = f"127.0.0.1:{port}"
        asked = {"prometheus_url": f"http://{own}", "openai_base_url": model.base_url, "openai_api_key": "none"}
        service = ServiceProcess(home / "service", {**SETTINGS, **parts, **asked, **(settings or {})}, command=command)
        stack.enter_context(service)

        def change(config: dict[str, Any]) -> None:
            extend_business_hours(config)
            change_alertmanager(config)

        source = files and files / "alertmanager"
        manager = stack.enter_context(run_alertmanager(home / "alertmanager", inbox, source=source, change=change))
        scrape = stack.enter_context(Proxy(service.metrics_port))
        delivery = stack.enter_context(Proxy(int(manager.address.rpartition(":")[2])))
        targets = {"sql-synthesizer": [scrape.address], "prometheus": [own], "alertmanager": [delivery.address]}
        watcher = stack.enter_context(
            run_prometheus(
                home / "prometheus",
                targets,
                port=port,
                source=files and files / "prometheus",
                rules=rules,
                change=change_prometheus,
            )
        )
        traffic = stack.enter_context(Traffic(service.url, service.key, rate, request_mix()))
        running = (home, inbox, database, cache, model, service, scrape, delivery, watcher, manager)
        yield Chain(*running, traffic, owner, volume, targets)


def answer_question(question: str) -> str | None:
    """What the stand-in for a model answers: the ordinary questions, with statements of its own."""
    if question.startswith(ANEW):
        return ANSWER_ANEW.format(float(question.removeprefix(ANEW)))
    return dict(zip(ASKED, MODEL_ANSWERS, strict=True)).get(question)


@contextmanager
def make_workspace(prefix: str) -> Iterator[Path]:
    """A temporary directory that other accounts may enter; ``end_chains`` removes it too."""
    with tempfile.TemporaryDirectory(prefix=prefix) as directory:
        home = Path(directory)
        home.chmod(0o755)
        _places.add(home)
        try:
            yield home
        finally:
            _places.discard(home)


def end_chains() -> None:
    """Ends every process of every chain at once, and leaves nothing behind."""
    for child in list(RUNNING):
        child.kill()
    for home in list(_places):
        unmount_below(home)
        shutil.rmtree(home, ignore_errors=True)


def end_on_signal() -> None:
    """Lets SIGTERM and SIGINT end this program with all that it started."""

    def end_program(number: int, _frame: object) -> None:
        end_chains()
        os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end_program)
