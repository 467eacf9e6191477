"""The documents name files as they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house import PROOF, ROOT, SERVICE

PLACES = (ROOT, ROOT / SERVICE, ROOT / PROOF)
"""What a path in a document may be relative to."""
TOPS = {path.name for place in PLACES for path in place.iterdir()}
PAGES = [
    *(path for path in ROOT.glob("*.md") if path.name != "CHANGELOG.md"),  # which names what is gone
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "runbooks").glob("*.md"),
    ROOT / "benchmarks" / "README.md",
]
SUFFIXES = {".html", ".json", ".jsonl", ".lock", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}


def paths(text: str) -> list[str]:
    """What looks like a file or directory of this repository; NAME stands for a name to be filled in."""
    found = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)
    return [
        path
        for path in found
        if "NAME" not in path and (path.split("/")[0] in TOPS or path.endswith("/") or Path(path).suffix in SUFFIXES)
    ]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_paths_exist(page: Path) -> None:
    missing = [
        path for path in paths(page.read_text(encoding="utf-8")) if not any((place / path).exists() for place in PLACES)
    ]
    assert missing == []


def test_paths_are_recognised() -> None:
    assert paths("`a/b.py`, `gone/`, `tests/none` but not `600/minute`, `/metrics` or `runbooks/NAME.md`") == [
        "a/b.py",
        "gone/",
        "tests/none",
    ]
