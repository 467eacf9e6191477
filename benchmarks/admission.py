"""What 1 to 128 clients see of one service: answers a second, refusals and waits, beside another version of it.

Usage: python -m benchmarks.admission [--seconds N] [--rounds N] [--before DIR] [--clients N,N…] [--json FILE]
Each arm is `sql-synthesizer serve` with shipped defaults but for the rate limit, on the demo shop. ``--before`` is a
checkout of another version. Clients ask one question after the other, every second one for the first time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from sql_synthesizer.operate.child import SERVE, Child
from sql_synthesizer.operate.programs import free_port
from sql_synthesizer.settings import child_environment

CLIENTS = (1, 2, 4, 7, 8, 16, 32, 64, 128)
CACHED = "how many customers are there"
UNCACHED = "how many products have price over {}"
_numbers = count(1)


@dataclass
class Seen:
    """What all clients of a turn got: replies by status, and the milliseconds of the answers."""

    statuses: Counter[int] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def row(self) -> tuple[float, float, float, float]:
        """Answers a second, percent refused, median and 99th percentile of the answers' milliseconds."""
        cuts = statistics.quantiles(self.milliseconds, n=100) if len(self.milliseconds) > 1 else [0.0] * 99
        total = sum(self.statuses.values()) or 1
        return self.statuses[200] / self.seconds, 100 * (1 - self.statuses[200] / total), cuts[49], cuts[98]


def ask(port: int, end: float, seen: Seen, lock: threading.Lock) -> None:
    """A client that keeps its connection and asks until the end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    statuses: Counter[int] = Counter()
    spent: list[float] = []
    while (began := time.monotonic()) < end:
        number = next(_numbers)
        question = UNCACHED.format(number) if number % 2 else CACHED
        with suppress(OSError, http.client.HTTPException):
            body = json.dumps({"question": question})
            connection.request("POST", "/api/query", body, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            reply.read()
            statuses[reply.status] += 1
            if reply.status == http.client.OK:
                spent.append((time.monotonic() - began) * 1000)
    connection.close()
    with lock:
        seen.statuses += statuses
        seen.milliseconds += spent


def turn(port: int, clients: int, seconds: float, seen: Seen) -> None:
    """Lets so many clients ask for so long."""
    lock, began = threading.Lock(), time.monotonic()
    threads = [threading.Thread(target=ask, args=(port, began + seconds, seen, lock)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen.seconds += time.monotonic() - began


@contextmanager
def serving(checkout: Path) -> Iterator[int]:
    """The port of a service that runs from this checkout."""
    with tempfile.TemporaryDirectory() as state:
        port = free_port()
        given = {"state_dir": state, "port": port, "metrics_port": free_port(), "rate_limit": ""}
        environment = child_environment(given, PYTHONPATH=str(checkout))
        log, options = Path(state) / "log", {"cwd": checkout}
        with Child("service", SERVE, lambda: ready(port), log, environment=environment, options=options):
            turn(port, 2, 2.0, Seen())
            yield port


def ready(port: int) -> bool:
    """Whether the service takes questions."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == http.client.OK
    return False


def main() -> None:
    """Prints the curve of each arm."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path)
    parser.add_argument("--clients", default=",".join(map(str, CLIENTS)))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    checkouts = {"before": options.before, "now": Path(__file__).parents[1]}
    with ExitStack() as stack:
        ports = {arm: stack.enter_context(serving(place)) for arm, place in checkouts.items() if place}
        found = {(arm, int(n)): Seen() for n in options.clients.split(",") for arm in ports}
        for number in range(options.rounds):
            for arm, clients in sorted(found, key=lambda key: (key[1], key[0]), reverse=bool(number % 2)):
                print(f"round {number + 1}: {clients} clients, {arm}", file=sys.stderr)
                turn(ports[arm], clients, options.seconds, found[arm, clients])
    print(f"{'clients':>7}  {'arm':<8} {'answers/s':>9} {'refused':>8} {'median ms':>9} {'p99 ms':>8}")
    for (arm, clients), seen in found.items():
        rate, refused, median, high = seen.row()
        print(f"{clients:>7}  {arm:<8} {rate:>9.0f} {refused:>7.2f}% {median:>9.1f} {high:>8.0f}")
    if options.json:
        rows = [{"arm": arm, "clients": n, "seen": seen.row()} for (arm, n), seen in found.items()]
        options.json.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
