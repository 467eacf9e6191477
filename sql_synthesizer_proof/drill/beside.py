"""Further instances beside the chain's own, and the targets of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from sql_synthesizer.operate.child import wait_until
from sql_synthesizer.operate.watchers import write_targets
from sql_synthesizer_proof.drill.chain import SETTINGS, Chain
from sql_synthesizer_proof.service import ServiceProcess

NOTICED = 60.0
"""Seconds within which Prometheus scrapes a new target."""


def watch_targets(chain: Chain, job: str, addresses: Sequence[str]) -> None:
    """Gives a job of Prometheus these targets, and returns when it has scraped the last of them."""
    chain.targets[job] = list(addresses)
    write_targets(chain.prometheus.config.parent, job, addresses)
    last = addresses[-1] if addresses else ""
    wait_until(
        lambda: not last or chain.query_value(f'up{{instance="{last}"}}') is not None, NOTICED, f"{last} is not scraped"
    )


@contextmanager
def only_targets(chain: Chain, job: str, addresses: Sequence[str]) -> Iterator[None]:
    """These targets of a job, and no others."""
    before = chain.targets[job]
    try:
        watch_targets(chain, job, addresses)
        yield
    finally:
        watch_targets(chain, job, before)


@contextmanager
def add_target(chain: Chain, job: str, address: str) -> Iterator[None]:
    """A further target of a job."""
    try:
        watch_targets(chain, job, [*chain.targets[job], address])
        yield
    finally:
        watch_targets(chain, job, [known for known in chain.targets[job] if known != address])


def extra_instance(name: str, **settings: object) -> Callable[[Chain], AbstractContextManager[ServiceProcess]]:
    """Makes a further instance of the service on the same database, found in ``others`` and scraped like the first."""

    @contextmanager
    def start_instance(chain: Chain) -> Iterator[ServiceProcess]:
        given = {**SETTINGS, "database_url": chain.owner, "cache": "memory", **settings}
        with ServiceProcess(chain.home / name, given) as service:
            chain.others[name] = service
            with add_target(chain, "sql-synthesizer", service.metrics_address):
                yield service

    return start_instance
