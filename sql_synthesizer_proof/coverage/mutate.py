"""Removes every instrument, one at a time, and writes down which path tells that it is gone.

An instrument is a call that reports something, a listener, or the feed of a metric. This is a program of its own,
``python -m sql_synthesizer_proof.coverage.mutate FILE``, so that the calls can be replaced while the service is
imported. All paths are driven once, and it is noted which calls each of them makes; then those that make a call are
driven again without it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from sql_synthesizer_proof.coverage.calls import install_calls


def main(file: str) -> None:
    """Writes the table as JSON."""
    calls = install_calls()
    from sql_synthesizer_proof.coverage.removal import Removal  # noqa: PLC0415

    with TemporaryDirectory() as home:
        Path(home).chmod(0o755)
        table = sorted(Removal(calls, Path(home)).run())
    Path(file).write_text(json.dumps(table, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
