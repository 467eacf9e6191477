"""The kinds of label values: closed vocabularies, and those that an application declares."""

from __future__ import annotations

import re
from collections.abc import Iterable

OTHER = "other"
_NAME = re.compile("[a-z][a-z0-9_]{0,63}")


class Vocabulary:
    """The values that a label may take; anything else is reported as ``other``.

    A vocabulary without values is *declared*: its values are names from the configuration (databases, models), which
    each application has in its ``Declared``. Of a ``partial`` one not every value is declared, and that is no fault.
    """

    def __init__(self, name: str, values: Iterable[str] = (), *, declared: bool = False, partial: bool = False) -> None:
        self.name = name
        self.declared = declared or partial
        self.partial = partial
        self._values: dict[str, str] = {value: value for value in values}

    def __contains__(self, value: object) -> bool:
        return value in self._values

    def __call__(self, value: object) -> str:
        """The value itself if it is known, else ``other``."""
        return self._values.get(value, OTHER)  # type: ignore[call-overload,no-any-return]

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that may be exported, without ``other`` unless it is one of the declared words."""
        return tuple(self._values)


ROUTE = Vocabulary("route", declared=True)


class Declared:
    """The values of declared vocabularies in one application, added at start and bounded by ``LIMIT`` for each."""

    LIMIT = 64
    FOREIGN_LIMIT = 16
    """Values that other programs may add to a closed vocabulary."""

    def __init__(self) -> None:
        self._values: dict[Vocabulary, dict[str, None]] = {}
        self._foreign: dict[Vocabulary, set[str]] = {}
        self.methods: dict[str, tuple[str, ...]] = {}
        """Route -> its methods."""

    def declare(self, vocabulary: Vocabulary, *values: str) -> None:
        """Adds configured values; those beyond ``LIMIT`` stay ``other``. Raises TypeError on a closed vocabulary."""
        if not vocabulary.declared:
            raise TypeError(f"vocabulary {vocabulary.name} is closed")
        known = self._values.setdefault(vocabulary, {})
        for value in values:
            if len(known) < self.LIMIT:
                known[value] = None

    def declare_foreign(self, vocabulary: Vocabulary, names: Iterable[str]) -> None:
        """Lets a closed vocabulary have values of other programs. Raises ValueError beyond ``FOREIGN_LIMIT``."""
        known = self._foreign.setdefault(vocabulary, set())
        new = {name for name in names if name not in vocabulary} - known
        if len(known) + len(new) > self.FOREIGN_LIMIT:
            raise ValueError(f"{vocabulary.name}: at most {self.FOREIGN_LIMIT} values can be declared")
        if wrong := sorted(name for name in new if not _NAME.fullmatch(name)):
            raise ValueError(f"{vocabulary.name}: {wrong[0][:64]!r} is no name of lower-case letters, digits and _")
        known.update(new)

    def declare_route(self, route: str, *methods: str) -> None:
        """Makes a URL rule a known label value, with the methods it takes."""
        self.declare(ROUTE, route)
        self.methods[route] = methods

    def values(self, vocabulary: Vocabulary) -> tuple[str, ...]:
        """Every value that may be exported, of a closed vocabulary too."""
        return tuple(self._values.get(vocabulary, ())) if vocabulary.declared else vocabulary.values

    def accepts(self, vocabulary: Vocabulary, value: object) -> bool:
        """Whether a label of this vocabulary may have the value."""
        if value == OTHER or value in (self._values.get(vocabulary, ()) if vocabulary.declared else vocabulary):
            return True
        return value in self._foreign.get(vocabulary, ())

    def is_foreign(self, vocabulary: Vocabulary, value: object) -> bool:
        """Whether another program declared the value."""
        return value in self._foreign.get(vocabulary, ())
