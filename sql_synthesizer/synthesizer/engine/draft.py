"""A draft: what the words of a question ask for, before it is settled which table or column each of them means."""

from __future__ import annotations

from dataclasses import dataclass, field

from sql_synthesizer.model import ValueMatch
from sql_synthesizer.synthesizer.engine.linking import Hit
from sql_synthesizer.synthesizer.engine.spans import Item


@dataclass(eq=False, slots=True)
class Slot:
    """Words that mean one table or column, of several; ``owner`` is the table that they are said to belong to."""

    item: Item | None
    hits: tuple[Hit, ...]
    owner: Slot | None = None
    dims: str = ""
    at: int = 0

    @property
    def is_table(self) -> bool:
        """Whether its best reading is a table."""
        return bool(self.hits) and self.hits[0].column is None


@dataclass(eq=False, slots=True)
class Out:
    """A value to show, to sort by or to compare: a slot, or an aggregate of one."""

    slot: Slot | None
    aggregate: str = ""
    distinct: bool = False
    bucket: str = ""


@dataclass(eq=False, slots=True)
class Value:
    """A constant, with the places where it is stored."""

    text: str
    number: float | None = None
    places: tuple[tuple[ValueMatch, float], ...] = ()
    quoted: bool = False
    unit: str = ""


@dataclass(eq=False, slots=True)
class Test:
    """``left operator right``; the right side is values, a nested aggregate, or another column."""

    left: Out
    operator: str
    values: list[Value] = field(default_factory=list)
    negated: bool = False
    joined: str = "and"  # to the test before it
    nested: str = ""  # avg, max or min over all rows
    end: int = 0  # the place of the item after it
    inner: bool = False  # the column stands before the negation
    block: int = 0  # tests of one block are negated together
    within: Test | None = None  # it narrows the rows over which that one is nested
    other: Slot | None = None  # the right side is this column


@dataclass(eq=False, slots=True)
class Draft:
    """What was read."""

    outs: list[Out] = field(default_factory=list)
    tests: list[Test] = field(default_factory=list)
    groups: list[Slot] = field(default_factory=list)
    buckets: list[Out] = field(default_factory=list)  # dates cut to months or years, to group by
    orders: list[tuple[Out, bool]] = field(default_factory=list)
    limit: int | None = None
    distinct: bool = False
    mentions: list[Slot] = field(default_factory=list)
    absent: list[tuple[Slot, int]] = field(default_factory=list)
    star: bool = False
    both: bool = False
    over: str = ""  # avg, max or min of what the groups have
    share: bool = False  # a percentage is asked for
    every: bool = False  # all values of a column are asked for
    cost: float = 0.0
    trust: float = 1.0  # less than 1 where the question asks for what no plan can say
    roles: list[tuple[int, int]] = field(default_factory=list)  # where a word tells an end, and which
    relatives: list[int] = field(default_factory=list)  # where who and that stand
    notes: list[str] = field(default_factory=list)
