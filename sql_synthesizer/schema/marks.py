"""What the settings of a database name, found among what it holds."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from sql_synthesizer.schema.definitions import WHOLE, Key
from sql_synthesizer.settings import DatabaseSettings

NEAR = 3
"""Near names told at most."""


class Names:
    """Every name of a table or column, as the settings may write it: also with the schema before, without case."""

    def __init__(self) -> None:
        self._places: dict[str, set[tuple[Key, str]]] = defaultdict(set)

    def add(self, key: Key, columns: Iterable[str], *, qualified: bool) -> None:
        """Adds a table; ``qualified``: its names need the schema before."""
        for start in (".".join(key), *(() if qualified else (key[1],))):
            self._places[start].add((key, WHOLE))
            for column in columns:
                self._places[f"{start}.{column}"].add((key, column))

    def find(self, names: Iterable[str]) -> dict[Key, set[str]]:
        """The tables and columns of these names."""
        found: dict[Key, set[str]] = defaultdict(set)
        for name in names:
            for key, column in self._places.get(name.casefold(), ()):
                found[key].add(column)
        return found

    def find_faults(self, config: DatabaseSettings) -> list[str]:
        """What the settings name and the database does not hold, each with near names."""
        tables = self._fitting(lambda _, column: column == WHOLE)
        columns = self._fitting(lambda _, column: column != WHOLE)
        fitting = {"tables": tables, "hidden": [*self._places], "sensitive": columns, "shareable": columns}
        return [
            f"{setting}: there is no {name}{self._suggest(name.casefold(), known)}"
            for setting, known in fitting.items()
            for name in getattr(config, setting)
            if name.casefold() not in known
        ]

    def _fitting(self, fits: Callable[[Key, str], bool]) -> list[str]:
        return [name for name, places in self._places.items() if any(fits(*place) for place in places)]

    @staticmethod
    def _suggest(folded: str, fitting: Sequence[str]) -> str:
        inside = [known for known in fitting if known.endswith(f".{folded}") or known.startswith(f"{folded}.")]
        return suggest_names(folded, fitting) if not inside else f"; near: {', '.join(inside[:NEAR])}"


def suggest_names(name: str, known: Sequence[str]) -> str:
    """The known names that are near, as the end of a sentence; empty when none is."""
    near = difflib.get_close_matches(name.casefold(), known, NEAR, cutoff=0.7)
    return f"; near: {', '.join(near)}" if near else ""
