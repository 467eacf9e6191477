"""Prints every pinned setting, turned the wrong way on each level: what a plain client and what the service then has.

And how long the functions of SQLite take, which hears of no deadline in a row, with the largest values they are given.

.venv/bin/python -m tests.boundary
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.support.boundary import MARIADB_WRONG, POSTGRES_WRONG, mariadb_place, postgres_place, read_matrix
from tests.support.hostile import read_costs

LINE = "{:<12}{:<14}{:<32}{:<44}{}"


def main() -> None:
    print(LINE.format("server", "level", "setting", "plain client", "the service"))
    for place, wrong in ((postgres_place, POSTGRES_WRONG), (mariadb_place, MARIADB_WRONG)):
        with place() as found:
            for line in read_matrix(found, wrong):
                kind = "postgresql" if line.server == "postgres" else "mariadb"
                print(LINE.format(kind, line.level, line.setting, line.plain[:42], line.pinned))
    print("{:<12}{:<40}{}".format("server", "most calls of a statement, slowest first", "CPU time"))
    with tempfile.TemporaryDirectory() as directory:
        costs = list(read_costs(Path(directory) / "data.sqlite"))
    for call, seconds in sorted(costs, key=lambda cost: -cost[1])[:20]:
        print(f"{'sqlite':<12}{call[:38]:<40}{seconds:.3f} s")


if __name__ == "__main__":
    main()
