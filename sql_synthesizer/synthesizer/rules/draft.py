"""What the reader hands to the resolver: the question's parts, not yet bound to one table each."""

from __future__ import annotations

from dataclasses import dataclass, field

from sql_synthesizer.synthesizer.rules.linking import Item


class NotUnderstood(Exception):
    """Part of the question carries a meaning that no rule accounts for."""


@dataclass(slots=True)
class Mention:
    """Something asked for or sorted by; ``item`` is None for a bare count, ``adjective`` grades a dimension."""

    item: Item | None
    aggregate: str = ""
    distinct: bool = False
    adjective: str = ""
    owner: Item | None = None


@dataclass(slots=True)
class Condition:
    """A narrowing; ``subject`` is the column's item where the question names one, ``near`` the last table before it."""

    subject: Item | None
    operator: str
    values: list[Item] = field(default_factory=list)
    negated: bool = False
    adjective: str = ""
    joined_by_and: bool = False
    alternative: bool = False
    owner: Item | None = None
    near: Item | None = None


@dataclass(slots=True)
class Having:
    """A condition on how many rows of a table belong to each."""

    counted: Item
    operator: str
    number: float


@dataclass(slots=True)
class Sorting:
    """A sort key as asked."""

    mention: Mention
    descending: bool = False


@dataclass(slots=True)
class Draft:
    """All parts of one question, in reading order; ``show_measure`` where a ranking names what it ranks by."""

    select: list[Mention] = field(default_factory=list)
    tables: list[Item] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    having: list[Having] = field(default_factory=list)
    absent: list[Item] = field(default_factory=list)
    groups: list[Item] = field(default_factory=list)
    bucket: str = ""
    orders: list[Sorting] = field(default_factory=list)
    limit: int | None = None
    distinct: bool = False
    everything: bool = False
    show_measure: bool = False
    popular: list[Item] = field(default_factory=list)
