"""The proof of traces without its service: ``sql-synthesizer prove traces`` is the whole."""

from __future__ import annotations

import json

from sql_synthesizer_proof.evidence.traces import KINDS, SIGNALS, as_json, as_text, make_requests


def test_every_kind_is_sent_and_each_request_has_a_trace_of_its_own() -> None:
    sent = make_requests(500)
    assert {one.kind for one in sent} == set(KINDS)
    assert abs(len(sent) - 500) <= len(KINDS)
    assert len({one.trace_id for one in sent}) == len(sent)
    assert {one.kind for one in make_requests(1)} == set(KINDS)


def test_the_table_says_what_is_missing_and_of_whom() -> None:
    sent = make_requests(1)
    for one in sent:
        one.status, one.found = (one.kind.statuses or (0,))[0], set(SIGNALS)
    assert all(one.complete for one in sent)
    assert f"{len(sent)} of {len(sent)} requests" in as_text(sent)

    lost, orphaned, slow = sent[0], sent[1], next(one for one in sent if one.kind.name == "slow")
    lost.found = {"spans", "audit"}
    orphaned.orphans = 1
    slow.found = set(SIGNALS) - {"exemplars"}
    wrong = {one.trace_id for one in (lost, orphaned, slow)}
    text = as_text(sent)
    assert f"{len(sent) - len(wrong)} of {len(sent)} requests" in text
    assert all(trace_id in text for trace_id in wrong)
    assert "0.0 %" in text
    assert {row["trace_id"] for row in json.loads(as_json(sent)) if not row["complete"]} == wrong
