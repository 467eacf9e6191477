"""The intermediate query: what was understood, in terms of the schema, before it becomes SQL."""

from __future__ import annotations

from dataclasses import dataclass, field

from sql_synthesizer.model import Column, Table
from sql_synthesizer.synthesizer.rules.dates import Span

Constant = str | float | bool | Span


@dataclass(frozen=True, slots=True)
class Ref:
    """A column of a table."""

    table: Table
    column: Column

    def __str__(self) -> str:
        return f"{self.table.name}.{self.column.name}"


@dataclass(frozen=True, slots=True)
class Term:
    """A value computed for a row or group: a column, an aggregate of one, or a count of a table's rows.

    ``aggregate`` is empty, count, sum, avg, min or max; ``bucket`` is a strftime format that a date is cut to.
    """

    ref: Ref | None = None
    aggregate: str = ""
    distinct: bool = False
    bucket: str = ""
    table: Table | None = None

    @property
    def computed(self) -> bool:
        """Whether this is more than a column's own value."""
        return bool(self.aggregate or self.bucket)

    def tables(self) -> list[Table]:
        """The tables that this term reads."""
        return [t for t in (self.ref.table if self.ref else None, self.table) if t is not None]


@dataclass(frozen=True, slots=True)
class Filter:
    """``term operator constants``; ``operator`` is a comparison, in, between, contain, start, end, null or span."""

    term: Term
    operator: str
    constants: tuple[Constant, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """A sort key."""

    term: Term
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """One join: ``columns`` of ``child`` refer to ``target_columns`` of ``parent``."""

    child: Table
    columns: tuple[str, ...]
    parent: Table
    target_columns: tuple[str, ...]


@dataclass(slots=True)
class Query:
    """A whole query; ``links`` are in the order in which tables join ``root``."""

    root: Table
    links: list[Link] = field(default_factory=list)
    select: list[Term] = field(default_factory=list)
    filters: list[Filter] = field(default_factory=list)
    either: bool = False  # the filters are alternatives
    absent: list[Link] = field(default_factory=list)
    groups: list[Term] = field(default_factory=list)
    having: list[Filter] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    limit: int | None = None
    distinct: bool = False

    def tables(self) -> list[Table]:
        """The tables that are joined, the root first."""
        joined = (table for link in self.links for table in (link.child, link.parent))
        return list({table.name: table for table in (self.root, *joined)}.values())
