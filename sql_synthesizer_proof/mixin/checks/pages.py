"""Runbooks and documents: each alert has its page, and what a page names exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from sql_synthesizer.monitoring import catalog
from sql_synthesizer_proof.mixin import recording
from sql_synthesizer_proof.mixin.alert import Alert
from sql_synthesizer_proof.mixin.alerts import GROUPS as ALERT_GROUPS
from sql_synthesizer_proof.mixin.dashboards.panel import Dashboard
from sql_synthesizer_proof.mixin.lint import KNOWN, Lint

HEADINGS = (
    "Meaning",
    "How a user feels it",
    "First look",
    "Stop the bleeding",
    "Find the cause",
    "How it was tested",
)
INDEX = "README.md"
GROUPS = {*ALERT_GROUPS, *(str(group["name"]) for group in recording.rule_groups())}


def runbook_faults(
    place: Path, alerts: tuple[Alert, ...], pages: tuple[Dashboard, ...], recorded: frozenset[str]
) -> Iterator[str]:
    """Alerts without a page, pages without an alert, and pages that are not as a reader expects them."""
    titles = {page.key: page.title for page in pages}
    panels = {a.name: f"**{titles[a.panel[0]]} › {a.panel[1]}**" if a.panel[0] in titles else "" for a in alerts}
    facts = {name: [a for a in alerts if a.name == name] for name in panels}
    files = {file.stem: file for file in place.glob("*.md") if file.name != INDEX}
    yield from (f"alert {name}: there is no runbook {name}.md" for name in panels.keys() - files.keys())
    yield from (f"runbook {name}: there is no such alert" for name in files.keys() - panels.keys())
    index = (place / INDEX).read_text(encoding="utf-8") if (place / INDEX).exists() else ""
    for name in sorted(panels.keys() & files.keys()):
        text = files[name].read_text(encoding="utf-8")
        if f"({name}.md)" not in index:
            yield f"runbook {name}: the index does not list it"
        yield from (f"runbook {name}: {fault}" for fault in _text_faults(name, text, panels[name], recorded))
        yield from (f"runbook {name}: {fault}" for fault in _introduction_faults(text, facts[name]))


def _introduction_faults(text: str, alerts: list[Alert]) -> Iterator[str]:
    introduction = " ".join("".join(text.split("\n\n", 2)[1:2]).split())
    for word in sorted({alert.severity for alert in alerts} | {alert.team for alert in alerts}):
        if f"**{word}**" not in introduction:
            yield f"its first paragraph does not say **{word}**"


def _text_faults(name: str, text: str, panel: str, recorded: frozenset[str]) -> Iterator[str]:
    if not text.startswith(f"# {name}\n"):
        yield "it does not begin with its name"
    if tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) != HEADINGS:
        yield f"its headings are not: {', '.join(HEADINGS)}"
    if panel not in " ".join(text.split()):
        yield f"it does not name its panel {panel}"
    queries = re.findall(r"```promql\n(.*?)```", text, re.DOTALL)
    if not queries or "```sh\n" not in text:
        yield "it needs a query and a command to try"
    for query in queries:
        yield from (f"query '{query.strip()[:40]}…': {fault}" for fault in Lint(recorded).check_expression(query))


def alert_name_faults(files: list[Path], alerts: tuple[Alert, ...]) -> Iterator[str]:
    """Alerts that a runbook names and nobody defines."""
    names = {alert.name for alert in alerts}
    for file in files:
        linked = re.findall(r"\]\((\w+)\.md\)", file.read_text(encoding="utf-8"))
        yield from (f"{file.name}: there is no alert {name}" for name in sorted(set(linked) - names - {"README"}))


PACKAGE = "proof"
"""The end of this package's own name, which begins as metrics do."""


def name_faults(files: list[Path], recorded: frozenset[str]) -> Iterator[str]:
    """Metrics that a document names and nothing exports."""
    for file in files:
        text = file.read_text(encoding="utf-8")
        full = re.findall(rf"\bsql_synthesizer_(?!{PACKAGE}\b)[a-z_]+[a-z]\b(?![/*]|\.[a-z])", text)
        short = [catalog.PREFIX + name for name in re.findall(r"`_([a-z_]+_[a-z]+)`", text)]
        for name in sorted({*full, *short}):
            known = name in KNOWN or name in catalog.BY_NAME or any(f":{name}:" in record for record in recorded)
            if not known and not name.startswith("sql_synthesizer_exporter_") and name not in GROUPS:
                yield f"{file.name}: there is no metric {name}"
