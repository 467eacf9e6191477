"""A record of three writers, to be changed and verified."""

from __future__ import annotations

from pathlib import Path

import pytest

from sql_synthesizer.audit.anchor import Checkpoint
from sql_synthesizer.audit.keyring import Keyring
from sql_synthesizer.audit.verify import verify_record
from tests.support.audit import Bench

RECORDS = 12


@pytest.fixture
def kept(tmp_path):
    """Two writers that have ended, the second with two segments, and one that still writes; with an anchor of each."""
    benches = [Bench(tmp_path), Bench(tmp_path, audit_segment_bytes=10_000), Bench(tmp_path)]
    for number, bench in enumerate(benches):
        for count in range(RECORDS * (3 if number == 1 else 1)):
            bench.ask(f"question {count}", actor=f"key-{number}", sql=f"SELECT {count} FROM orders")
        if number < 2:
            bench.log.close()
    benches[2].log._checkpoints.emit_checkpoint(now=True)
    made = Kept(tmp_path, benches)
    assert made.verify().sound
    yield made
    benches[2].log.close()


class Kept:
    def __init__(self, root: Path, benches: list[Bench]):
        self.directory = root / "audit"
        self.keyring = Keyring(root / "audit.key")
        self.benches = benches
        told = [event.details for bench in benches for event in bench.reported("audit_checkpoint")]
        self.anchors = [Checkpoint(**details) for details in told]

    def verify(self, *, anchored=False, **options):
        anchors = self.anchors if anchored else []
        return verify_record(self.directory, self.keyring, anchors=anchors, **options)

    def path(self, number: int, segment: int = 0) -> Path:
        return self.directory / f"{self.benches[number].log.writer}-{segment:06d}.jsonl"

    def lines(self, path: Path) -> list[bytes]:
        return path.read_bytes().splitlines(keepends=True)

    def edit(self, path: Path, change) -> None:
        lines = self.lines(path)
        change(lines)
        path.write_bytes(b"".join(lines))
