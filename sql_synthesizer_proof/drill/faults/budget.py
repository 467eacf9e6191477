"""Faults that last, for alerts that look back for hours; windows and holds of their rules are divided."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from math import ceil

from sql_synthesizer.operate.traffic import ASKED, RequestKind, Traffic
from sql_synthesizer.settings import environment_name
from sql_synthesizer_proof.drill.beside import extra_instance, only_targets
from sql_synthesizer_proof.drill.chain import ANEW, Chain
from sql_synthesizer_proof.drill.faults.locks import COUNT, lock_table, owner_connection, run_in_background
from sql_synthesizer_proof.drill.faults.monitoring import no_alertmanager, rule_added
from sql_synthesizer_proof.drill.scenario import AlertScenario, MakeFault, share_fault

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


def burn_budget(failed: float, slow: float) -> MakeFault:
    """A share of all statements fails, as one table is locked for good, and one is slow, as another is for seconds."""

    @contextmanager
    def make_fault(chain: Chain) -> Iterator[None]:
        ordinary = chain.query_value('sum(rate(sql_synthesizer_queries_total{success="success"}[30s]))') or 1.0
        slow_rate = ordinary * slow / (1 - slow)
        failed_rate = (ordinary + slow_rate) * failed / (1 - failed)
        with ExitStack() as stack:
            stack.enter_context(lock_table(chain, "countries", 86_400.0))
            stack.enter_context(_repeat_step(1 / failed_rate, lambda: _send_statement(chain, "countries")))
            batch = ceil(slow_rate * (SLOW + 0.2))
            stack.enter_context(_repeat_step(batch / slow_rate, lambda: _send_slow_batch(chain, batch)))
            yield

    make_fault.__doc__ = f"{failed:.1%} of the statements fail, and {slow:.0%} are slow."
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


def _repeat_step(seconds: float, step: Callable[[], None]) -> AbstractContextManager[None]:
    """Starts ``step`` in a thread every ``seconds``, however long one takes."""

    def run_steps(stop: threading.Event) -> None:
        due = time.monotonic()
        while not stop.wait(max(0.0, due - time.monotonic())):
            threading.Thread(target=step, daemon=True).start()
            due += seconds

    return run_in_background(run_steps)


@contextmanager
def only_new_questions(chain: Chain) -> Iterator[None]:
    """Nearly all questions are new."""

    def make_request(chance: random.Random) -> tuple[str, str, dict[str, str]]:
        return "POST", "/api/query", {"question": f"{ANEW}{chance.randrange(10_000_000) / 100}"}

    with Traffic(chain.service.url, chain.service.key, MISSES, (RequestKind("asked anew", 1, make_request),), seed=2):
        yield


@contextmanager
def expensive_reply(chain: Chain) -> Iterator[None]:
    """A reply of the model costs 24 US dollars."""
    chain.model.reply("SELECT count(*) FROM customers", usage=DEAR)
    yield


def group_too_slow(chain: Chain) -> AbstractContextManager[None]:
    """A rule takes longer than the interval at which it is to be evaluated."""
    return rule_added(chain, "heavy", {"record": "drill:heavy", "expr": HEAVY}, interval=HEAVY_INTERVAL)


@contextmanager
def cache_off(chain: Chain) -> Iterator[None]:
    """The only instance that is watched runs with its cache switched off, which a command beside it uses."""
    service = chain.others["uncached"]
    service.run("ask", ASKED[0], variables={environment_name("cache"): "memory"})
    kind = RequestKind("asked before", 1, lambda chance: ("POST", "/api/query", {"question": chance.choice(ASKED[:2])}))
    with (
        Traffic(service.url, service.key, 2.0, (kind,)),
        only_targets(chain, "sql-synthesizer", [service.metrics_address]),
    ):
        yield


GENTLY, GREATLY = share_fault(burn_budget(*GENTLE)), share_fault(burn_budget(*GREAT))
WINDOWS = (("1d", "2h", GENTLY), ("3d", "6h", GENTLY), ("1h", "5m", GREATLY), ("6h", "30m", GREATLY))
"""Long and short window of each burn-rate alert, and the fault that fires it."""

scaled_scenario = partial(AlertScenario, settings=SETTINGS, scaled=True)

SCENARIOS = (
    AlertScenario("SqlSynthesizerBrownout", burn_budget(*GREAT), "brownout", settings=SETTINGS),
    *(
        scaled_scenario(
            f"SqlSynthesizer{budget}BudgetBurn", make, make.__doc__ or "", labels={"long": long, "short": short}
        )
        for long, short, make in WINDOWS
        for budget in ("Error", "Latency")
    ),
    scaled_scenario("PrometheusMissedRuleEvaluations", group_too_slow, "misses"),
    scaled_scenario("SqlSynthesizerCacheHitRatioLow", only_new_questions, "misses"),
    scaled_scenario("SqlSynthesizerLLMSpend", expensive_reply, "misses"),
    scaled_scenario("SqlSynthesizerCacheUnused", cache_off, "unused", prepare=extra_instance("uncached", cache="off")),
    scaled_scenario(
        "PrometheusNotConnectedToAlertmanagers",
        no_alertmanager,
        "unconnected",
        delivered=False,
        instead="the dead man's switch is no longer heard",
    ),
)
