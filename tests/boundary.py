"""Prints every pinned setting, turned the wrong way on each level: what a plain client and what the service then has.

.venv/bin/python -m tests.boundary
"""

from __future__ import annotations

from tests.support.boundary import MARIADB_WRONG, POSTGRES_WRONG, mariadb_place, postgres_place, read_matrix

LINE = "{:<12}{:<14}{:<32}{:<44}{}"


def main() -> None:
    print(LINE.format("server", "level", "setting", "plain client", "the service"))
    for place, wrong in ((postgres_place, POSTGRES_WRONG), (mariadb_place, MARIADB_WRONG)):
        with place() as found:
            for line in read_matrix(found, wrong):
                kind = "postgresql" if line.server == "postgres" else "mariadb"
                print(LINE.format(kind, line.level, line.setting, line.plain[:42], line.pinned))


if __name__ == "__main__":
    main()
