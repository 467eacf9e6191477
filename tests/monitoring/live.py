"""The dashboards and rules on a live run: ``python -m tests.monitoring.live`` prints what each panel returned."""

from __future__ import annotations

import json
import re
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sql_synthesizer.operate.inbox import Inbox
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.mixin.build import ROOT
from tests.monitoring.load import ENVIRONMENT, Load, scripted
from tests.support import monitoring
from tests.support.serving import Service, free_port, service, until

DASHBOARDS = sorted((ROOT / "monitoring/grafana/dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "2m", "$job": ".+", "$instance": ".+"}
ROUNDS = 4
CANARIES = """
canaries:
  customers: {question: how many customers are there, rows: [[2500]]}
  gone: {question: how many colours are there, sql: SELECT colour FROM customers}
"""
"""One that is answered rightly, and one whose column is gone."""


@dataclass(frozen=True)
class Target:
    """A query of a panel, as it stands in the committed file."""

    dashboard: str
    panel: str
    expr: str


def targets() -> Iterator[Target]:
    """Every query of every dashboard, annotations included."""
    for file in DASHBOARDS:
        page = json.loads(file.read_text(encoding="utf-8"))
        for panel in page["panels"]:
            for target in panel.get("targets", ()):
                yield Target(file.stem, panel["title"], target["expr"])
        for annotation in page["annotations"]["list"]:
            yield Target(file.stem, f"annotation {annotation['name']}", annotation["expr"])


@dataclass(frozen=True)
class Live:
    """The service, watched by the real programs, after the load."""

    served: Service
    prometheus: monitoring.Server
    inbox: Inbox

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What an instant query returns, with Grafana's variables filled in."""
        for variable, value in VARIABLES.items():
            expr = expr.replace(variable, value)
        path = "/api/v1/query?" + urllib.parse.urlencode({"query": expr})
        reply = self.prometheus.get(path)
        assert reply["status"] == "success", reply
        found: list[dict[str, Any]] = reply["data"]["result"]
        return found


def _quick(config: dict[str, Any]) -> None:
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}


def _rules() -> dict[str, str]:
    texts = {name: (monitoring.PROMETHEUS / name).read_text() for name in ("alerts.yml", "recording.yml")}
    every = re.compile(r"^(\s+)interval: \w+", re.MULTILINE)
    return {name: every.sub(r"\1interval: 1s", text) for name, text in texts.items()}


@contextmanager
def running(directory: Path) -> Iterator[Live]:
    """The whole chain on free ports; scrapes and evaluations come every second, so that a minute is enough."""
    with ExitStack() as stack:
        model = stack.enter_context(FakeOpenAI(scripted))
        canaries, port = directory / "canaries.yml", free_port()
        canaries.write_text(CANARIES)
        environment = {
            **ENVIRONMENT,
            "OPENAI_BASE_URL": model.base_url,
            "OPENAI_API_KEY": "none",
            "SQL_SYNTHESIZER_CANARY_FILE": str(canaries),
            "SQL_SYNTHESIZER_PROMETHEUS_URL": f"http://127.0.0.1:{port}",
        }
        served = stack.enter_context(service(directory, **environment))
        inbox = stack.enter_context(Inbox())
        manager = stack.enter_context(monitoring.alertmanager(directory, inbox, monitoring.hurried(10)))
        addresses = {
            "sql-synthesizer": f"127.0.0.1:{served.metrics_port}",
            "alertmanager": manager.url.removeprefix("http://"),
        }
        features = "--enable-feature=exemplar-storage"
        prometheus = stack.enter_context(
            monitoring.prometheus(directory, addresses, features, port=port, rules=_rules(), change=_quick)
        )
        live = Live(served, prometheus, inbox)
        _drive(live, Load(served, model))
        yield live


def _drive(live: Live, load: Load) -> None:
    until(lambda: live.query('up{job="sql-synthesizer"} == 1'))
    load.once()
    for number in range(ROUNDS):
        load.round(number)
        load.twins(number)
        load.crowd()
    load.flood()
    until(lambda: live.query("sql_synthesizer_job_run_seconds_count > 0"))
    for late in ("audit_clock_lead_seconds", "schema_drift"):  # after the first verification, and the first look
        until(lambda name=late: live.query(f"sql_synthesizer_{name}"))
    until(lambda: live.query('rate(sql_synthesizer_security_events_total{event_type="rate_limit_exceeded"}[30s]) > 0'))


def table(live: Live) -> list[tuple[str, str, int, str]]:
    """Dashboard, panel, number of series and first value of every query."""
    rows = []
    for target in targets():
        series = live.query(target.expr)
        rows.append((target.dashboard, target.panel, len(series), _shown(series)))
    return rows


def _shown(series: list[dict[str, Any]]) -> str:
    if not series:
        return "nothing"
    labels = ", ".join(v for k, v in series[0]["metric"].items() if k not in ("job", "instance", "__name__"))
    return f"{float(series[0]['value'][1]):.6g}" + (f" ({labels})" if labels else "")


def main() -> int:
    """Prints the table; the exit status is 1 when a panel is empty."""
    with tempfile.TemporaryDirectory() as directory, running(Path(directory)) as live:
        rows = table(live)
    sys.stdout.write("| dashboard | panel | series | first value |\n| --- | --- | ---: | --- |\n")
    for row in rows:
        sys.stdout.write("| " + " | ".join(map(str, row)) + " |\n")
    return int(any(count == 0 for _, _, count, _ in rows))


if __name__ == "__main__":
    sys.exit(main())
