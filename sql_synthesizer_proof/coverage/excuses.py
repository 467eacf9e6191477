"""The paths that do not count, each by a line with a reason in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path as File

import yaml

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer_proof.coverage.path import Path

EXCUSED = File(__file__).with_name("excused.yml")


def read_excuses(paths: Sequence[Path], file: File = EXCUSED) -> dict[Path, str]:
    """Path -> why it does not count. Raises ConfigurationError where a line has no reason, or fits no path."""
    lines = yaml.safe_load(file.read_text(encoding="utf-8"))
    wrong = [line for line in lines if not line.get("reason") or not any(path.fits(line["path"]) for path in paths)]
    if wrong:
        raise ConfigurationError(
            f"{file.name}: {wrong[0]} has no reason, or is no path any more.", hint="Mend the line, or take it out."
        )
    found: dict[Path, str] = {}
    for line in lines:
        found |= {path: str(line["reason"]) for path in paths if path.fits(line["path"])}
    return found
