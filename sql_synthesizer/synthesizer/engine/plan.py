"""A plan: what a question asks for in terms of the schema, without FROM and joins."""

from __future__ import annotations

from dataclasses import dataclass, field

from sql_synthesizer.model import Column, Table

Constant = str | float


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a table; ``role`` tells two uses of the same table apart."""

    table: Table
    column: Column
    role: str = ""

    def __str__(self) -> str:
        return f"{self.table.name}.{self.column.name}"


@dataclass(frozen=True, slots=True)
class Term:
    """A column, an aggregate of it, or a count of the rows of ``table``."""

    ref: Ref | None = None
    aggregate: str = ""
    distinct: bool = False
    table: Table | None = None
    bucket: str = ""
    over: Term | None = None  # the value is divided by it

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that it reads."""
        own = tuple(t for t in (self.ref.table if self.ref else None, self.table) if t is not None)
        return own + (self.over.tables if self.over else ())


@dataclass(frozen=True, slots=True)
class Condition:
    """``term operator values``; ``operator`` is a comparison, in, between, contain, start, end, null or year."""

    term: Term
    operator: str
    values: tuple[Constant, ...] = ()
    negated: bool = False
    plan: Plan | None = None  # the right side is what it finds
    other: Term | None = None  # the right side is a column


@dataclass(frozen=True, slots=True)
class Order:
    """A sort key."""

    term: Term
    descending: bool = False


@dataclass(slots=True)
class Plan:
    """A whole query. ``where`` is a conjunction of alternatives; ``needed`` are tables that have to be joined."""

    select: list[Term] = field(default_factory=list)
    where: list[tuple[Condition, ...]] = field(default_factory=list)
    groups: list[Term] = field(default_factory=list)
    having: list[Condition] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    limit: int | None = None
    distinct: bool = False
    needed: list[Table] = field(default_factory=list)
    cue: int | None = None  # the end that the question speaks of, as an index into ROLES
    combined: tuple[str, Plan] | None = None  # intersect, except or union with another plan
    within: tuple[Term, ...] = ()  # the first rows of each of these are asked for, not of all
    over: str = ""  # the aggregate of what the groups have is asked for
    share: list[tuple[Condition, ...]] = field(default_factory=list)  # the percentage of rows that fulfil this

    def tables(self) -> list[Table]:
        """The tables that it reads, each once, the most telling first."""
        found: dict[str, Table] = {}
        terms = [
            *self.select,
            *self.groups,
            *self.within,
            *(o.term for o in self.orders),
            *(h.term for h in self.having),
        ]
        conditions = [c for either in (*self.where, *self.share) for c in either]
        terms += [t for c in conditions for t in (c.term, c.other) if t is not None]
        for term in terms:
            for table in term.tables:
                found.setdefault(table.name, table)
        for table in self.needed:
            found.setdefault(table.name, table)
        return list(found.values())
