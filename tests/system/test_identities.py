"""2,000 mixed requests by 32 clients: what was answered, counted and recorded is the same."""

from __future__ import annotations

import http.client
import json
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from sql_synthesizer.audit import read_records
from tests.support.serving import HANG, Service, fetch, service, until

CLIENTS, REQUESTS = 32, 2_000
KEY = {"Authorization": "Bearer {key}"}
WELL_FORMED = [
    ("/api/query", {"question": "how many customers are there"}),
    ("/api/query", {"question": "how many orders per status"}),
    ("/api/query", {"question": "how many products have price over {n}"}),
    ("/api/query", {"question": "what is the meaning of life {n}"}),
    ("/api/query", {"question": "' OR 1=1 UNION SELECT password FROM users --"}),
    ("/api/sql", {"sql": "SELECT count(*) FROM orders WHERE id > {n}"}),
    ("/api/sql", {"sql": "DELETE FROM orders WHERE id = {n}"}),
    ("/api/sql", {"sql": "SELECT nothing_{n} FROM orders"}),
    ("/api/sql", {"sql": "SELECT email FROM customers LIMIT 2"}),
]
OTHERS = [
    ("/api/query", {"question": ""}),
    ("/api/query", {"question": "x", "database": "nope"}),
    ("/api/query", {"query": "x"}),
    ("/api/nothing", {}),
]
STRANGERS = [("/api/query", {"question": "how many customers are there"})]


class Clients:
    """Sends requests over kept connections, and counts what came back."""

    def __init__(self, served: Service, key: str) -> None:
        self.served = served
        self.key = key
        self.replies: Counter[tuple[str, str]] = Counter()
        self.questions: Counter[bool] = Counter()
        """Those that the service attempted, and those that it refused."""

    def run(self, number: int) -> tuple[Counter[tuple[str, str]], Counter[bool]]:
        chosen = random.Random(number)
        connection = http.client.HTTPConnection("127.0.0.1", self.served.port, timeout=HANG)
        replies: Counter[tuple[str, str]] = Counter()
        questions: Counter[bool] = Counter()
        for _ in range(REQUESTS // CLIENTS + (number < REQUESTS % CLIENTS)):
            kind = chosen.choices((WELL_FORMED, OTHERS, STRANGERS), (80, 15, 5))[0]
            path, body = chosen.choice(kind)
            key = "sqs_000000000000_" + "x" * 43 if kind is STRANGERS else self.key
            text = json.dumps(body).replace("{n}", str(chosen.randrange(1000)))
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
            connection.request("POST", path, text, headers)
            reply = connection.getresponse()
            reply.read()
            route = "unmatched" if path == "/api/nothing" else path
            replies[route, f"{reply.status // 100}xx"] += 1
            questions[reply.status == 200 or reply.status >= 500] += kind is WELL_FORMED
        connection.close()
        return replies, questions

    def all(self) -> None:
        with ThreadPoolExecutor(CLIENTS) as pool:
            for replies, questions in pool.map(self.run, range(CLIENTS)):
                self.replies += replies
                self.questions += questions


def samples(served: Service, name: str) -> list[tuple[dict[str, str], float]]:
    text = fetch(served.metrics_url).body.decode()
    families = text_string_to_metric_families(text)
    return [(s.labels, s.value) for f in families for s in f.samples if s.name == "sql_synthesizer_" + name and s.value]


def by(served: Service, name: str, *labels: str) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for values, value in samples(served, name):
        found[tuple(values[label] for label in labels)] += int(value)
    return found


def requests(served: Service) -> Counter[tuple[str, str]]:
    """The requests that clients made, as the metrics count them by route and class of status."""
    counted = by(served, "http_requests_total", "route", "status")
    return Counter({key: value for key, value in counted.items() if key[0] in ("/api/query", "/api/sql", "unmatched")})


def test_answered_counted_and_recorded_agree(tmp_path: Path) -> None:
    environment = {
        "SQL_SYNTHESIZER_AUTH": "required",
        "SQL_SYNTHESIZER_RATE_LIMIT": "",
        "SQL_SYNTHESIZER_FAILED_LOGIN_LIMIT": "100000/minute",
    }
    with service(tmp_path, **environment) as served:
        key = (served.state / "first-api-key").read_text().strip()
        clients = Clients(served, key)
        clients.all()
        assert sum(clients.replies.values()) == REQUESTS
        until(lambda: requests(served).total() >= REQUESTS)  # each is counted after its reply, and after its question

        assert requests(served) == clients.replies
        assert served.counted("queries_total") == clients.questions[True]
        assert sum(by(served, "question_outcomes_total", "reason").values()) == clients.questions.total()
        assert served.counted("query_duration_seconds_count") == clients.questions[True]
        events = by(served, "security_events_total", "event_type")
        assert served.stop() == 0

    records: Counter[tuple[str]] = Counter()
    for record in read_records(served.state / "audit"):
        records[record["event_type"],] += record["count"]
    assert records == events
    assert records["query_execution",] == clients.questions.total()
