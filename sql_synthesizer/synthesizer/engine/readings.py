"""The readings of a question: plans with their SQL, what each of them costs, and how likely it is right."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.engine.assemble import Assembler
from sql_synthesizer.synthesizer.engine.conditions import Unplanned
from sql_synthesizer.synthesizer.engine.confidence import estimate_confidence
from sql_synthesizer.synthesizer.engine.draft import Draft
from sql_synthesizer.synthesizer.engine.explain import explain_plan, explain_words
from sql_synthesizer.synthesizer.engine.joins import Joins, joins_of
from sql_synthesizer.synthesizer.engine.linking import names_of
from sql_synthesizer.synthesizer.engine.plan import Plan
from sql_synthesizer.synthesizer.engine.reader import Reader
from sql_synthesizer.synthesizer.engine.render import Unjoined, to_sql
from sql_synthesizer.synthesizer.engine.resolve import Assignment, Resolver
from sql_synthesizer.synthesizer.engine.served import unserved
from sql_synthesizer.synthesizer.engine.spans import Item, Spans
from sql_synthesizer.synthesizer.engine.words import split_question

PLANS = 8
UNJOINED = 0.5
"""What it costs to leave out tables that were only spoken of and that nothing joins."""
_STRANGE = re.compile(r"[*\\#^|{}\[\]~]|--")
"""Signs that no question has."""
LEAST_CONFIDENCE = 0.66
"""Below it a question is declined: on databases set aside, 77 of 100 answers above it were right."""


@dataclass(slots=True)
class Reading:
    """One reading of a question; ``confidence`` is the probability that it is right."""

    sql: str
    plan: Plan
    draft: Draft
    assignment: Assignment
    cost: float
    features: dict[str, float]
    confidence: float = 0.0

    def explain(self) -> str:
        """What it does, what the words were read as, and which were left out."""
        return f"{explain_plan(self.plan)} {explain_words(self.draft, self.assignment)}"


def read_question(context: Context) -> list[Reading]:
    """The readings of a question, the likeliest first."""
    tokens = split_question(context.question)
    items = Spans(context, names_of(context.schema), tokens).items()
    draft = Reader(items).read()
    if _STRANGE.search(context.question):
        draft.trust *= 0.3
    found: dict[str, Reading] = {}
    joins = joins_of(context.schema)
    for assignment in Resolver(draft, joins).assignments()[:PLANS]:
        reading = _try_assignment(joins, draft, assignment, items)
        if reading is not None and (reading.sql not in found or reading.cost < found[reading.sql].cost):
            found[reading.sql] = reading
    readings = sorted(found.values(), key=lambda reading: (reading.cost, reading.sql))
    for place, reading in enumerate(readings):
        others = [other.cost for other in readings if other is not reading]
        reading.features["margin"] = min(min(others, default=reading.cost + 1.0) - reading.cost, 1.0)
        reading.features["words"] = len(tokens) / 10
        reading.confidence = draft.trust * estimate_confidence(reading.features) if place == 0 else 0.0
    return readings


def _try_assignment(joins: Joins, draft: Draft, assignment: Assignment, items: list[Item]) -> Reading | None:
    assembler = Assembler(draft, assignment, joins)
    try:
        plan = assembler.build()
        try:
            sql, distance = to_sql(plan, joins)
        except Unjoined:
            plan.needed, assembler.cost = [], assembler.cost + UNJOINED
            sql, distance = to_sql(plan, joins)
    except (Unplanned, Unjoined):
        return None
    cost = draft.cost + assignment.cost + assembler.cost + 0.1 * distance
    features = _features(draft, assignment, plan, distance, assembler.cost) | unserved(items, assignment, plan)
    return Reading(sql, plan, draft, assignment, cost, features)


def _features(draft: Draft, assignment: Assignment, plan: Plan, joins: float, assembled: float) -> dict[str, float]:
    conditions = [c for either in plan.where for c in either]
    unstored = sum(1 for t in draft.tests for v in t.values if v.number is None and not v.places)
    return {
        "unread": min(draft.cost + assembled, 4.0),
        "links": min(assignment.cost, 4.0),
        "joins": joins,
        "notes": len(draft.notes),
        "share": len(draft.notes) / max(1, len(draft.notes) + len(assignment.chosen) + len(draft.tests)),
        "unstored": unstored,
        "outs": max(0, len(plan.select) - 1),
        "conditions": len(conditions),
        "either": sum(len(either) > 1 for either in plan.where),
        "grouped": bool(plan.groups),
        "having": len(plan.having),
        "limit": plan.limit is not None,
        "nested": sum(c.plan is not None for c in conditions),
        "combined": plan.combined is not None,
        "unnamed": sum(t.left.slot is not None and t.left.slot.item is None for t in draft.tests),
        "graded": sum(out.slot is not None and bool(out.slot.dims) for out, _ in draft.orders),
        "tables": len(plan.tables()) - 1,
        "wide": len(plan.select) > 4,
        "ordered": len(plan.orders),
        "joined": joins > 0,
    }
