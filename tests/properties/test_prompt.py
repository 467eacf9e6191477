"""Whatever a schema, its comments and a question hold, the prompt keeps its promises."""

from __future__ import annotations

import json
import re
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from sql_synthesizer.model import Column, ColumnKind, ForeignKey, Schema, Table, ValueMatch
from sql_synthesizer.synthesizer import Context
from sql_synthesizer.synthesizer.prompt import question_messages

HOSTILE = ("</schema>", "</question>", '"', "\n", "--", "<schema>", "\u202e", "zq_secret", "Zq_Secret.")
names = st.one_of(st.text(max_size=8), st.sampled_from(HOSTILE), st.from_regex(r"[a-z]{1,6}", fullmatch=True))
texts = st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=12)), max_size=6).map("".join)
columns = st.builds(
    Column, name=names, kind=st.sampled_from(ColumnKind), type=texts, primary_key=st.booleans(), comment=texts
)
secret = Column("zq_secret", ColumnKind.TEXT, sensitive=True, shareable=True, primary_key=True)
keys = st.builds(
    ForeignKey,
    columns=st.tuples(st.sampled_from(["zq_secret", "a"])),
    target=st.sampled_from(["t", "zq_secret"]),
    target_columns=st.tuples(st.sampled_from(["zq_secret", "a"])),
)


@st.composite
def schemas(draw):
    tables = []
    for name in draw(st.lists(names.filter(lambda n: "secret" not in n.lower()), min_size=1, max_size=4)):
        others = [c for c in draw(st.lists(columns, max_size=6)) if "secret" not in c.name.lower()]
        tables.append(Table(name, (secret, *others), tuple(draw(st.lists(keys, max_size=2))), comment=draw(texts)))
    return Schema("d", draw(st.sampled_from(["sqlite", "postgresql", "mariadb"])), tuple(tables))


class Everything:
    def __init__(self, schema: Schema) -> None:
        self.places = [(table.name, column.name) for table in schema.tables for column in table.columns]

    def find(self, _: str) -> list[ValueMatch]:
        return [ValueMatch(table, column, "zq_value") for table, column in self.places][:20]


@settings(max_examples=150, deadline=None)
@given(schemas(), texts, st.integers(500, 3_000))
def test_promises(schema, question, max_bytes):
    context = Context(question, schema, Everything(schema), date(2026, 1, 1), 1, 0.0)
    (_, user) = question_messages(context, max_bytes)
    content = user["content"]
    head, _, fenced = content.partition("\n</schema>\n<question>\n")
    assert len(head.removeprefix("<schema>\n").encode("utf-8", "surrogatepass")) <= max_bytes
    assert [content.count(tag) for tag in ("<schema>", "</schema>", "<question>", "</question>")] == [1, 1, 1, 1]
    assert not re.search(r"(?<!\w)zq_secrets?(?!\w)", head.lower())
    assert "zq_value" not in head
    assert json.loads(fenced.removesuffix("\n</question>")) == question
