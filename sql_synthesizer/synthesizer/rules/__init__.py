"""The embedded rules: plain questions to SQL, with no model and no network; what is not understood is declined."""

from __future__ import annotations

from sql_synthesizer.errors import Declined
from sql_synthesizer.model import Statement
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.rules.binding import Ambiguous
from sql_synthesizer.synthesizer.rules.build import to_sql
from sql_synthesizer.synthesizer.rules.draft import NotUnderstood
from sql_synthesizer.synthesizer.rules.explain import explain_query
from sql_synthesizer.synthesizer.rules.joins import graph_of
from sql_synthesizer.synthesizer.rules.linking import Linker
from sql_synthesizer.synthesizer.rules.names import names_of
from sql_synthesizer.synthesizer.rules.query import Query
from sql_synthesizer.synthesizer.rules.reader import Reader
from sql_synthesizer.synthesizer.rules.resolver import resolve_draft
from sql_synthesizer.synthesizer.rules.suggest import candidate_questions
from sql_synthesizer.synthesizer.rules.text import tokenize_question
from sql_synthesizer.synthesizer.topics import topic_of

SUGGESTIONS = 3
_GROUPING = frozenset({"each", "every", "per"})


class RulesSynthesizer:
    """Answers plain questions deterministically, the same words always with the same SQL."""

    source = "rules"

    def synthesize(self, context: Context) -> Statement:
        """SQL that answers the question. Raises Declined, with questions that can be answered, when not sure."""
        try:
            query = parse_question(context)
        except Ambiguous as doubt:
            message = f"The question can be read in several ways ({doubt})."
            raise Declined(
                message,
                hint="Name the table and column you mean.",
                suggestions=_suggest_questions(context),
                topic="ambiguous",
            ) from None
        except NotUnderstood as doubt:
            message = f"I do not understand this part of the question well enough: {str(doubt)[:80]}."
            suggestions, topic = _suggest_questions(context), topic_of(context.question)
            raise Declined(message, suggestions=suggestions, topic=topic) from None
        return Statement(to_sql(query, context.schema.dialect), self.source, explain_query(query))


def parse_question(context: Context) -> Query:
    """The query that the question means. Raises NotUnderstood when part of it is not accounted for."""
    tokens = tokenize_question(context.question)
    if not tokens:
        raise NotUnderstood("its signs or its length")
    items = Linker(context, names_of(context.schema), tokens).items()
    query = resolve_draft(Reader(items).read(), context.schema, graph_of(context.schema))
    if not query.groups and any(t.aggregate for t in query.select) and any(t.lower in _GROUPING for t in tokens):
        raise NotUnderstood("what is meant by each")
    return query


def _suggest_questions(context: Context) -> tuple[str, ...]:
    """Questions over the same schema, each of which the rules can answer."""
    found: list[str] = []
    for question in candidate_questions(context):
        try:
            parse_question(
                Context(question, context.schema, context.values, context.today, context.max_rows, context.deadline)
            )
        except NotUnderstood:
            continue
        found.append(question)
        if len(found) == SUGGESTIONS:
            break
    return tuple(found)
