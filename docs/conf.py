"""The site of the documents: the Markdown pages of the repository as they stand, built by ``./run check``."""  # noqa: INP001

from __future__ import annotations

from pathlib import Path

from sphinx.application import Sphinx

project = html_title = "sql_synthesizer"
extensions = ["myst_parser"]
myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # its PromQL knows no colon in a name, and recorded series have some
root_doc = "README"
include_patterns = ["*.md", "benchmarks/*.md", "docs/**.md", "runbooks/*.md"]
exclude_patterns = [".*", "deploy", "dist", "sql_synthesizer*", "tests"]

html_theme = "furo"
html_copy_source = html_show_copyright = html_show_sphinx = html_use_index = False

PARTS = {
    "Use": ["docs/deployment", "docs/settings", "docs/access", "docs/errors"],
    "Watch": [
        "docs/alerts",
        "runbooks/README",
        "docs/metrics",
        "docs/events",
        "docs/tracing",
        "docs/drill",
        "docs/coverage",
    ],
    "Trust": ["docs/audit", "docs/statements", "docs/detection", "SECURITY"],
    "Change": [
        *("CONTRIBUTING", "docs/architecture", "docs/mutation"),
        *("docs/decisions/README", "benchmarks/README", "CHANGELOG"),
    ],
}
"""Heading of the navigation -> pages below it."""
NAMED = {name for names in PARTS.values() for name in names}
PARTS["More"] = sorted({f"docs/{page.stem}" for page in Path(__file__).parent.glob("*.md")} - NAMED)
FOLDERS = ("docs/decisions/README", "runbooks/README")
"""Pages that lead to all others of their folder."""


def contents(pages: list[str], caption: str = "") -> str:
    """A table of contents that fills the navigation and does not show in the page."""
    options = [":hidden:", ":glob:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["\n\n```{toctree}", *options, "", *pages, "```\n"])


def add_contents(_app: Sphinx, page: str, source: list[str]) -> None:
    """Add the navigation here and not in the files, where a forge would show it as text."""
    if page == root_doc:
        source[0] += "".join(contents([f"/{name}" for name in names], part) for part, names in PARTS.items())
    elif page in FOLDERS:
        source[0] += contents(["*"])


def add_entrance(app: Sphinx, failure: Exception | None) -> None:
    """Lead from the site's address to its first page."""
    if failure is None:
        entrance = Path(app.outdir) / "index.html"
        entrance.write_text('<meta http-equiv="refresh" content="0; url=README.html">\n', encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("source-read", add_contents)
    app.connect("build-finished", add_entrance)
