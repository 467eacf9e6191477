"""Faults that last, for alerts that look back for hours; windows and holds of their rules are divided."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from math import ceil

from sql_synthesizer.operate.traffic import ASKED, RequestKind, Traffic
from sql_synthesizer.settings import environment_name
from sql_synthesizer_proof.drill.beside import extra_instance, only_targets
from sql_synthesizer_proof.drill.chain import ANEW, Chain
from sql_synthesizer_proof.drill.faults.locks import COUNT, lock_table, owner_connection
from sql_synthesizer_proof.drill.faults.monitoring import no_alertmanager, rule_added
from sql_synthesizer_proof.drill.scenario import AlertScenario, MakeFault, share_fault
from sql_synthesizer_proof.service import ServiceProcess

SETTINGS: tuple[tuple[str, object], ...] = (
    ("pool_size", 40),
    ("threads", 48),
    ("statement_timeout", 4.0),
    ("value_index", False),
)
"""Room for many statements that wait at the same time."""
SLOW = 2.4
"""Seconds that a slow statement waits: over the objective of two, under the service's limit."""
GENTLE, GREAT = (0.026, 0.26), (0.12, 0.86)
"""Shares of failed and of slow statements: three times the budget's pace but not six, and over 14.4 times."""
MISSES = 8.0
"""Questions a second that were never asked before."""
DEAR = (60_000_000, 1_000)
"""Tokens in and out of a reply that costs more than is planned for an hour."""
HEAVY = 'count(last_over_time({__name__=~".+"}[10m]))'
"""Takes longer than its group's interval."""
HEAVY_INTERVAL = "5ms"


def budget_burn(failed: float, slow: float) -> MakeFault:
    """A share of all statements fails, as one table is locked for good, and one is slow, as another is for seconds."""

    @contextmanager
    def make_fault(chain: Chain) -> Iterator[None]:
        ordinary = chain.value('sum(rate(sql_synthesizer_queries_total{success="success"}[30s]))') or 1.0
        slow_rate = ordinary * slow / (1 - slow)
        failed_rate = (ordinary + slow_rate) * failed / (1 - failed)
        with ExitStack() as stack:
            stack.enter_context(lock_table(chain, "countries", 86_400.0))
            stack.enter_context(_repeat_step(1 / failed_rate, lambda: _send_statement(chain, "countries")))
            batch = ceil(slow_rate * (SLOW + 0.2))
            stack.enter_context(_repeat_step(batch / slow_rate, lambda: _send_slow_batch(chain, batch)))
            yield

    return make_fault


def _send_statement(chain: Chain, table: str) -> None:
    with chain.service.client() as client:
        client.send("POST", "/api/sql", {"sql": COUNT + table})


def _send_slow_batch(chain: Chain, batch: int) -> None:
    """So many statements wait together for a table that is locked as long as one may take to be called slow."""
    with owner_connection(chain) as connection:
        connection.execute("LOCK TABLE suppliers IN ACCESS EXCLUSIVE MODE")
        threads = [
            threading.Thread(target=_send_statement, args=(chain, "suppliers"), daemon=True) for _ in range(batch)
        ]
        for thread in threads:
            thread.start()
        time.sleep(SLOW)
        connection.rollback()


@contextmanager
def _repeat_step(seconds: float, step: Callable[[], None]) -> Iterator[None]:
    """Starts ``step`` in a thread every ``seconds``, however long one takes."""
    stop = threading.Event()

    def run_steps() -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            threading.Thread(target=step, daemon=True).start()
            due += seconds

    thread = threading.Thread(target=run_steps, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def only_new_questions(chain: Chain) -> Iterator[None]:
    """Nearly all questions are new."""

    def make_request(chance: random.Random) -> tuple[str, str, dict[str, str]]:
        return "POST", "/api/query", {"question": f"{ANEW}{chance.randrange(10_000_000) / 100}"}

    with Traffic(chain.service.url, chain.service.key, MISSES, (RequestKind("asked anew", 1, make_request),), seed=2):
        yield


@contextmanager
def expensive_reply(chain: Chain) -> Iterator[None]:
    """The model uses a great many tokens."""
    chain.model.reply("SELECT count(*) FROM customers", usage=DEAR)
    yield


def group_too_slow(chain: Chain) -> AbstractContextManager[None]:
    """A rule takes longer than the interval at which it is to be evaluated."""
    return rule_added(chain, "heavy", {"record": "drill:heavy", "expr": HEAVY}, interval=HEAVY_INTERVAL)


@contextmanager
def cache_off(chain: Chain) -> Iterator[None]:
    """The only instance that is watched works without the cache that it was given, as a command once did not."""
    service = chain.others["uncached"]
    service.run("ask", ASKED[0], variables={environment_name("cache"): "memory"})
    with _repeated_traffic(service), only_targets(chain, "sql-synthesizer", [service.metrics_address]):
        yield


def _repeated_traffic(service: ServiceProcess) -> Traffic:
    kind = RequestKind("asked before", 1, lambda chance: ("POST", "/api/query", {"question": chance.choice(ASKED[:2])}))
    return Traffic(service.url, service.key, 2.0, (kind,))


def _build_burn_scenarios(long: str, short: str, shares: tuple[float, float], make: MakeFault) -> list[AlertScenario]:
    wave = f"budget at {shares[1]:.0%}"
    labels = {"long": long, "short": short}
    failed, slow = f"{shares[0]:.1%} of the statements fail", f"{shares[1]:.0%} of the statements are slow"
    return [
        AlertScenario("SqlSynthesizerErrorBudgetBurn", failed, wave, make, labels, SETTINGS, scaled=True),
        AlertScenario("SqlSynthesizerLatencyBudgetBurn", slow, wave, make, labels, SETTINGS, scaled=True),
    ]


def _build_scaled_scenario(
    alert: str, fault: str, wave: str, make: MakeFault, prepare: MakeFault | None = None
) -> AlertScenario:
    return AlertScenario(alert, fault, wave, make, settings=SETTINGS, scaled=True, prepare=prepare)


GENTLY, GREATLY = share_fault(budget_burn(*GENTLE)), share_fault(budget_burn(*GREAT))

SCENARIOS = (
    *_build_burn_scenarios("1d", "2h", GENTLE, GENTLY),
    *_build_burn_scenarios("3d", "6h", GENTLE, GENTLY),
    *_build_burn_scenarios("1h", "5m", GREAT, GREATLY),
    *_build_burn_scenarios("6h", "30m", GREAT, GREATLY),
    _build_scaled_scenario(
        "PrometheusMissedRuleEvaluations", "a rule is slower than its interval", "misses", group_too_slow
    ),
    _build_scaled_scenario(
        "SqlSynthesizerCacheHitRatioLow", "only new questions are asked", "misses", only_new_questions
    ),
    _build_scaled_scenario(
        "SqlSynthesizerLLMSpend", "a reply of the model costs 24 US dollars", "misses", expensive_reply
    ),
    _build_scaled_scenario(
        "SqlSynthesizerCacheUnused",
        "an instance runs with its cache switched off",
        "unused",
        cache_off,
        prepare=extra_instance("uncached", cache="off"),
    ),
    AlertScenario(
        "PrometheusNotConnectedToAlertmanagers",
        "Prometheus is told of no Alertmanager",
        "unconnected",
        no_alertmanager,
        settings=SETTINGS,
        scaled=True,
        delivered=False,
        instead="the dead man's switch is no longer heard",
    ),
)
