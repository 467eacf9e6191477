"""The documents name files as they are, and decisions and changes have one form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sql_synthesizer import __version__
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
MADE = tuple(name for name in (ROOT / ".gitignore").read_text(encoding="utf-8").split() if name.endswith("/"))
"""Directories that are there only once they were made."""
SUFFIXES = {".html", ".json", ".jsonl", ".lock", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}


def paths(text: str) -> list[str]:
    """What looks like a file or directory of this repository; NAME stands for a name to be filled in."""
    found = re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text)
    return [
        path
        for path in found
        if "NAME" not in path
        and not path.startswith(MADE)
        and (path.split("/")[0] in TOPS or path.endswith("/") or Path(path).suffix in SUFFIXES)
    ]


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_paths_exist(page: Path) -> None:
    missing = [
        path for path in paths(page.read_text(encoding="utf-8")) if not any((place / path).exists() for place in PLACES)
    ]
    assert missing == []


def test_paths_are_recognised() -> None:
    assert paths(
        "`a/b.py`, `gone/`, `tests/none` but not `dist/a.html`, `600/minute`, `/metrics` or `runbooks/NAME.md`"
    ) == [
        "a/b.py",
        "gone/",
        "tests/none",
    ]


DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("page", DECISIONS, ids=[page.stem for page in DECISIONS])
def test_decisions_have_one_form(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    index = (page.parent / "README.md").read_text(encoding="utf-8")
    number, title = lines[0].removeprefix("# ").split(". ", 1)
    assert int(number) == int(page.stem[:4])
    assert f"| {number} | [{title}]({page.name}) |" in index
    assert len(lines) <= 40
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Context", "## Decision", "## Consequences", "## What would change it"]


def test_the_changelog_keeps_its_form() -> None:
    """Keep a Changelog 1.1.0: https://keepachangelog.com/en/1.1.0/."""
    lines = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").splitlines()
    versions = [line for line in lines if line.startswith("## ")]
    assert versions[0] == "## [Unreleased]"
    assert [line for line in versions[1:] if not re.fullmatch(r"## \[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", line)] == []
    assert f"## [{__version__}] - " in "\n".join(lines)
    kinds = {line.removeprefix("### ") for line in lines if line.startswith("### ")}
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    first = lines.index(versions[0])
    assert [line for line in lines[first:] if line and not line.startswith(("- ", "## ", "### "))] == []
