"""What a reading does, in plain sentences: what is shown, from which rows, and what each word was read as."""

from __future__ import annotations

from sql_synthesizer.model import Column, Table
from sql_synthesizer.synthesizer.engine.draft import Draft, Slot
from sql_synthesizer.synthesizer.engine.plan import Condition, Constant, Order, Plan, Term
from sql_synthesizer.synthesizer.engine.resolve import Assignment
from sql_synthesizer.synthesizer.rules.text import readable_name

_AGGREGATES = {"avg": "average", "sum": "total", "max": "highest", "min": "lowest", "count": "number of"}
_BUCKETS = {"%Y": "year", "%Y-%m": "month", "%Y-%m-%d": "day"}
_OPERATORS = {
    "=": "is", "!=": "is not", ">": "is more than", "<": "is less than", ">=": "is at least", "<=": "is at most",
    "contain": "contains", "start": "starts with", "end": "ends with", "in": "is one of", "between": "is between",
}  # fmt: skip
WORDS = 12
"""How many readings of words are listed at most."""


def explain_plan(plan: Plan) -> str:
    """One sentence that says what a plan asks for."""
    text = f"Shows {_join_texts([f'the {_term_text(term)}' for term in plan.select])}{_rows_text(plan)}"
    if plan.groups:
        text += f" for each {_join_texts([_term_text(term) for term in dict.fromkeys(plan.groups)])}"
    if plan.having:
        text += f" with {_join_texts([_condition_text(condition) for condition in plan.having])}"
    if plan.combined is not None:
        text += f", where there is one for which that holds and one{_where_text(plan.combined[1])}"
    if plan.orders:
        text += f", sorted by {_join_texts([_order_text(order) for order in plan.orders])}"
    if plan.over:
        text = f"Shows the {_AGGREGATES[plan.over]} of all of these values. {text}"
    if plan.share:
        text += f", as a percentage of those{_where_text(Plan(where=plan.share))}"
    if plan.within:
        text += f", within each {_join_texts([_term_text(term) for term in plan.within])}"
    if plan.limit is not None:
        text += f", only the first{'' if plan.limit == 1 else f' {plan.limit}'}"
    return f"{text}{', each once' if plan.distinct else ''}."


def explain_words(draft: Draft, assignment: Assignment) -> str:
    """What each word was read as, and those that were left out."""
    found: dict[str, str] = {}
    slots = [*(o.slot for o in draft.outs), *draft.groups, *draft.mentions, *(slot for slot, _ in draft.absent)]
    slots += [*(test.left.slot for test in draft.tests), *(out.slot for out, _ in draft.orders)]
    for slot in slots:
        if slot is not None and slot.item is not None and id(slot) in assignment.chosen:
            found.setdefault(slot.item.text, _meaning(slot, assignment))
    listed = [f"“{text}” as {meaning}" for text, meaning in list(found.items())[:WORDS]]
    parts = [f"Read {_join_texts(listed)}."] if listed else []
    if draft.notes:
        parts.append(f"Not understood and left out: {', '.join(f'“{note}”' for note in dict.fromkeys(draft.notes))}.")
    return " ".join(parts)


def _meaning(slot: Slot, assignment: Assignment) -> str:
    table, column = assignment.of(slot)
    return _place_text(table, column)


def _place_text(table: Table, column: Column | None) -> str:
    return table.name if column is None else f"{table.name}.{column.name}"


def _join_texts(texts: list[str], word: str = "and") -> str:
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {word} {texts[-1]}"


def _term_text(term: Term) -> str:
    if term.ref is None:
        return f"number of {readable_name(term.table.name)} rows" if term.table else "number of rows"
    name = readable_name(term.ref.column.name)
    if term.bucket:
        return f"{_BUCKETS.get(term.bucket, 'part')} of {name}"
    distinct = "different " if term.distinct else ""
    return f"{_AGGREGATES[term.aggregate]} {distinct}{name}" if term.aggregate else name


def _rows_text(plan: Plan) -> str:
    names = [readable_name(table.name) for table in plan.tables()]
    return f" of {_join_texts(names)}{_where_text(plan)}" if names else ""


def _where_text(plan: Plan) -> str:
    said = [_join_texts([_condition_text(condition) for condition in either], "or") for either in plan.where]
    return f" where {_join_texts(said)}" if said else ""


def _condition_text(condition: Condition) -> str:
    term = _term_text(condition.term)
    if condition.plan is not None:
        inner = _join_texts([_term_text(shown) for shown in condition.plan.select])
        rows = _rows_text(condition.plan)
        if condition.operator == "in":
            return f"{term} is {'not ' if condition.negated else ''}among the {inner}{rows}"
        return f"{term} {'not ' if condition.negated else ''}{_OPERATORS[condition.operator]} the {inner}{rows}"
    if condition.other is not None:
        turned = "not " if condition.negated else ""
        return f"{term} {turned}{_OPERATORS[condition.operator]} {_term_text(condition.other)}"
    if condition.operator == "null":
        return f"{term} is {'known' if condition.negated else 'missing'}"
    values = _join_texts([_constant_text(value) for value in condition.values])
    text = f"{term} {_OPERATORS[condition.operator]} {values}"
    return f"it is not so that {text}" if condition.negated else text


def _constant_text(value: Constant) -> str:
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e6 else f"{value:.15g}"
    return f"'{value}'"


def _order_text(order: Order) -> str:
    return f"{_term_text(order.term)} {'from high to low' if order.descending else 'from low to high'}"
