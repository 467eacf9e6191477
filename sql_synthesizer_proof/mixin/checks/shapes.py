"""The tables of the question guard: each row has its examples, and the document lists its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sql_synthesizer.guard.question.fragment import TABLES
from sql_synthesizer.guard.question.intent import load_intent_model, verdict_reasons


def shape_faults(document: Path) -> Iterator[str]:
    """Rows without examples, and reasons that the table of ``document`` lacks or that no verdict has."""
    rows = [*(shape for table in TABLES.values() for shape in table), *load_intent_model()[0].rows]
    for row in rows:
        for name, texts in (("catches", row.catches), ("passes", row.passes)):
            if not any(texts):
                yield f"shape {row.reason} {row.pattern[:40]}: it has no text that it {name}"
    section = document.read_text(encoding="utf-8").partition("\n## Reasons\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))
    given = {*(row.reason for row in rows), *verdict_reasons()}
    yield from (f"shape {reason}: {document.name} does not list the reason" for reason in sorted(given - listed))
    yield from (f"{document.name}: no shape has the reason {reason}" for reason in sorted(listed - given))
