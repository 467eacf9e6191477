"""The proof of the audit record, in small; ``sql-synthesizer prove audit`` is the whole."""

from __future__ import annotations

import os
from pathlib import Path

from sql_synthesizer_proof.evidence.disk import prove_disk
from sql_synthesizer_proof.evidence.edits import EDITS, prove_edits
from sql_synthesizer_proof.evidence.kills import prove_kills


def test_whatever_was_answered_is_on_record_after_kills_and_edits_are_found(tmp_path: Path) -> None:
    claims, ended = prove_kills(tmp_path / "kills", 6)
    assert [str(claim) for claim in claims if not claim.kept] == []
    found = prove_edits(ended.state / "audit", ended.child.log, tmp_path)
    assert [str(claim) for claim in found if not claim.kept] == []
    assert len(found) == len(EDITS)


def test_nothing_is_answered_unrecorded_while_the_disk_fails(tmp_path: Path) -> None:
    claims = prove_disk(tmp_path)
    assert [str(claim) for claim in claims if claim.kept is False] == []
    if os.geteuid() == 0:
        assert len(claims) == 4
