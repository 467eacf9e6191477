"""Questions with known results, one for each way in which such a question may end."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sql_synthesizer_proof.coverage.faults import COUNT, DECLINED
from sql_synthesizer_proof.coverage.instance import Instance
from sql_synthesizer_proof.coverage.path import Path

_ASKED: dict[str, object] = {"question": "how many customers are there", "database": "plain"}
CANARIES: Mapping[str, Mapping[str, object]] = {
    "right": {**_ASKED, "sql": COUNT},
    "right_llm": {**_ASKED, "database": "shop", "question": "count for me", "sql": COUNT},
    "wrong": {**_ASKED, "rows": [["nobody"]]},
    "empty": {"question": "find nobody", "database": "shop", "rows": [[1]]},
    "declined": {"question": DECLINED, "database": "plain", "rows": []},
    "failed": {**_ASKED, "database": "empty", "sql": COUNT},
    "select": {**_ASKED, "sql": "SELECT id FROM customers"},
    "join": {**_ASKED, "sql": "SELECT o.id FROM orders o JOIN customers c ON c.id = o.customer_id"},
    "set": {**_ASKED, "sql": "SELECT id FROM customers UNION SELECT id FROM orders"},
    "gone": {**_ASKED, "sql": "SELECT id FROM nowhere"},
}
"""Name -> question, in the form of the product's file."""
ENDS: Mapping[str, str] = {"llm": "right_llm", "none": "declined", "unknown": "failed"}
"""What a path is about -> its canary, where that has another name."""
ONE = {"canaries": {"right": CANARIES["right"]}}


def ask_canary(instance: Instance, path: Path) -> str:
    """Has the service ask itself the question of a path."""
    canaries = instance.canaries
    if canaries is None:
        raise LookupError(path)
    name = ENDS.get(path.outcome, path.outcome)
    with instance.new_trace() as (trace_id, _):
        canaries.ask_canary(canaries._canaries[name if name in CANARIES else "right"])  # noqa: SLF001
    return trace_id


def write_one(instance: Instance) -> str:
    """A file with a canary that is answered rightly."""
    file = instance.home / "one.yml"
    file.write_text(json.dumps(ONE), encoding="utf-8")
    return str(file)
