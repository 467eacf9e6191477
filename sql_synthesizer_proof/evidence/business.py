"""Mixed questions while workers are killed: the report of the month beside the metrics."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from sql_synthesizer.audit import read_records
from sql_synthesizer.monitoring import business, catalog
from sql_synthesizer.operate.child import wait_until
from sql_synthesizer.operate.traffic import ASKED, STATEMENTS, UNKNOWN, WRITES
from sql_synthesizer.settings.business import MICRO
from sql_synthesizer.telemetry.facade import FOLD_INTERVAL
from sql_synthesizer_proof.drill.chain import ANEW, answer_question
from sql_synthesizer_proof.drill.faults.locks import run_in_background
from sql_synthesizer_proof.evidence.claim import Claim
from sql_synthesizer_proof.fakes.model_endpoint import FakeOpenAI
from sql_synthesizer_proof.service import ServiceProcess, parse_samples

WORKERS = 2
CALLERS = 6
TEAMS = ("sales", "lab", "")
SETTINGS: dict[str, object] = {
    "workers": WORKERS,
    "rate_limit": "",
    "audit_verify_minutes": 0,
    "model": "small",
    "model_prices": "small=0.37/1.61",
    "teams": "sales=100000questions, lab=0.01usd",
}
"""Prices that no sum of binary fractions meets, and a budget that is soon used."""
RATED = 0.05
"""Share of answers that are rated."""
SHOWN = 5
"""Series that are named in a claim."""
NAMES = {name for figures in business.FIGURES.values() for name, _ in figures}


class Questions:
    """So many questions of mixed kinds, from several callers of three teams; a rating now and then."""

    def __init__(self, service: ServiceProcess, count: int) -> None:
        self._service = service
        self._left = iter(range(count))
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()

    def ask(self, number: int, key: str) -> None:
        """One caller, until all are asked; one that got no answer is not asked again."""
        choose = random.Random(number)
        with self._service.client(key) as client:
            while self._take():
                answer = client.send("POST", *self._make(choose))
                if answer == "ok" and choose.random() < RATED:
                    rating = choose.choice(("up", "down"))
                    client.send("POST", "/api/feedback", {"trace_id": client.trace, "rating": rating})
                with self._lock:
                    self.answers[answer] += 1

    def _take(self) -> bool:
        with self._lock:
            return next(self._left, None) is not None

    @staticmethod
    def _make(choose: random.Random) -> tuple[str, Mapping[str, str]]:
        text, number = choose.choice((*ASKED, ANEW, ANEW, *UNKNOWN, *STATEMENTS, *WRITES)), choose.randrange(100_000)
        if text.split()[0].isupper():
            return "/api/sql", {"sql": text.format(n=number)}
        return "/api/query", {"question": f"{text}{number / 100:.2f}" if text == ANEW else text}


def read_series(exposition: str) -> Counter[business.Series]:
    """The metrics of the business as whole numbers, money and time in millionths."""
    found: Counter[business.Series] = Counter()
    for name in NAMES:
        order = catalog.BY_NAME[catalog.PREFIX + name].label_names
        scale = MICRO if name.endswith(("_usd_total", "_seconds_total")) else 1
        for labels, value in parse_samples(exposition, catalog.PREFIX + name):
            if amount := round(value * scale):
                found[name, tuple(labels[label] for label in order)] += amount
    return found


def prove_business(home: Path, count: int, kills: int) -> list[Claim]:
    """The claims after so many questions and kills of workers."""
    with FakeOpenAI(answer_question) as model:
        asked = {"openai_base_url": model.base_url, "openai_api_key": "none"}
        service = ServiceProcess(home, {**SETTINGS, **asked})
        with service:
            questions, seconds = _ask_questions(service, count, kills)
            seen: list[Counter[business.Series]] = []
            wait_until(lambda: _is_settled(service, seen), 60, "everything is folded")
            month = f"{datetime.now(UTC):%Y-%m}"
            report = json.loads(service.run("report", "--month", month, "--json").stdout)
    recorded = business.count_records(read_records(service.state / "audit", report=lambda *_: None))
    held = kills * math.ceil(count / seconds / WORKERS * FOLD_INTERVAL + CALLERS)
    return _build_claims(questions, recorded, seen[-1], report, held if kills else 0)


def _ask_questions(service: ServiceProcess, count: int, kills: int) -> tuple[Questions, float]:
    keys = [
        service.run("keys", "create", f"team {team}", "--role", "analyst", "--team", team).stdout.strip()
        for team in TEAMS
    ]
    questions, started = Questions(service, count), time.monotonic()

    def kill_workers(stop: threading.Event) -> None:
        for number in range(1, kills + 1):
            while sum(questions.answers.values()) < count * number / (kills + 1):
                if stop.wait(0.05):
                    return
            service.kill_worker()

    with run_in_background(kill_workers), ThreadPoolExecutor(CALLERS) as pool:
        for caller in [pool.submit(questions.ask, n, keys[n % len(keys)]) for n in range(CALLERS)]:
            caller.result()
    return questions, time.monotonic() - started


def _is_settled(service: ServiceProcess, seen: list[Counter[business.Series]]) -> bool:
    """Whether the metrics are what they were a moment ago, longer than a fold takes to come."""
    seen.append(read_series(service.exposition()))
    time.sleep(1.0)
    return len(seen) > 1 and seen[-1] == seen[-2]


def _build_claims(
    questions: Questions,
    recorded: Counter[business.Series],
    counted: Counter[business.Series],
    report: Mapping[str, int],
    held: int,
) -> list[Claim]:
    differing = {series: counted[series] - recorded[series] for series in {*recorded, *counted}}
    differing = {series: amount for series, amount in differing.items() if amount}
    asked = [_sum(totals, "business_questions_total") for totals in (recorded, counted)]
    spent = [_sum(totals, "question_cost_usd_total") for totals in (recorded, counted)]
    lost = asked[0] - asked[1]
    sent, unanswered = sum(questions.answers.values()), questions.answers["unreachable"]
    named = "".join(f"; {name}{labels}: {differing[name, labels]:+}" for name, labels in sorted(differing)[:SHOWN])
    figures = (report["questions"], report["cost_microusd"], report["answered"])
    total = sum(n for (name, labels), n in recorded.items() if (name, labels[1:]) == _ANSWERED)
    return [
        Claim(
            "each reply is a question on record",
            f"{sent:,} sent, {unanswered:,} without a reply, {asked[0]:,} on record",
            sent - unanswered <= asked[0] <= sent,
        ),
        Claim(
            "the report says what the record does",
            f"{figures[0]:,} questions, {figures[2]:,} answers, {figures[1]:,} millionths of a US dollar",
            figures == (asked[0], spent[0], total),
        ),
        Claim(
            f"report and metrics differ by {held:,} questions at most, which kills may hold back",
            f"{lost:,} questions and {spent[0] - spent[1]:,} millionths of a US dollar",
            0 <= lost <= held,
        ),
        Claim(
            "without kills no series differs",
            f"{len(differing):,} of {len({*recorded, *counted}):,} series differ{named}",
            None if held else not differing,
        ),
    ]


_ANSWERED = ("business_questions_total", ("answered",))


def _sum(totals: Counter[business.Series], metric: str) -> int:
    return sum(amount for (name, _), amount in totals.items() if name == metric)
