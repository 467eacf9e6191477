"""``python -m sql_synthesizer.monitoring.mixin build|check``."""

from __future__ import annotations

import sys
from pathlib import Path

from sql_synthesizer.monitoring.mixin import docs

ROOT = Path(__file__).parents[3]


def files() -> dict[Path, str]:
    """Every generated file with the text it must have."""
    return {ROOT / "docs" / name: text for name, text in docs.pages().items()}


def stale() -> list[Path]:
    """The generated files that differ from what the code says now."""
    return [path for path, text in files().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def main(arguments: list[str]) -> int:
    """Writes or checks the files; the exit status is 1 when one is stale."""
    if arguments == ["build"]:
        for path, text in files().items():
            path.write_text(text, encoding="utf-8")
        return 0
    if arguments == ["check"]:
        for path in stale():
            sys.stderr.write(
                f"{path.relative_to(ROOT)} is stale: run 'python -m sql_synthesizer.monitoring.mixin build'\n"
            )
        return 1 if stale() else 0
    sys.stderr.write("usage: python -m sql_synthesizer.monitoring.mixin build|check\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
