"""The report of a drill: a table, JSON, and a page with a timeline of every alert."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from html import escape
from math import ceil
from pathlib import Path

from sql_synthesizer.errors import ConfigurationError
from sql_synthesizer_proof.drill.faults.escalation import EscalationCheck
from sql_synthesizer_proof.drill.run import load_rules
from sql_synthesizer_proof.drill.scenario import Timeline

FAST_P95, FAST_MAX = 90.0, 120.0
"""Seconds from the fault to the notification that alerts marked ``detection: fast`` may take."""
STEPS = (
    ("pending", "#bf8700"),
    ("firing", "#cf222e"),
    ("notified", "#0969da"),
    ("mended", "#57606a"),
    ("resolved", "#1a7f37"),
)

_STYLE = """
body { margin: 0 auto; max-width: 70rem; padding: 1rem; font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; }
table { border-collapse: collapse; width: 100%; } td, th { border-bottom: 1px solid #d0d7de; padding: .3rem .5rem;
text-align: left; vertical-align: top; } td.n { text-align: right; font-variant-numeric: tabular-nums; }
.bad { color: #cf222e; } small { color: #57606a; } svg { width: 100%; height: 14px; background: #f6f8fa; }
.key span { padding: 0 .4rem; color: #fff; border-radius: 3px; margin-right: .4rem; }
"""


def nearest_rank_percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of one value or more, ``share`` from 0 to 1."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class AlertResult:
    """One alert: how often it was fired, and seconds from fault to notification."""

    alert: str
    fast: bool
    scaled: bool
    runs: int
    median: float | None
    p95: float | None
    most: float | None
    problems: tuple[str, ...]

    @property
    def kept(self) -> bool:
        """Whether the alert met its objective."""
        late = self.fast and (self.p95 is None or self.p95 > FAST_P95 or (self.most or 0.0) > FAST_MAX)
        return not self.problems and not late


@dataclass(frozen=True)
class Seen:
    """The results of drills: timelines of alerts, and checks of their escalation."""

    lines: tuple[Timeline, ...]
    checks: tuple[EscalationCheck, ...] = ()

    def merge_earlier(self, others: Sequence[Seen]) -> Seen:
        """These results and those of earlier drills."""
        return Seen(
            (*(line for other in others for line in other.lines), *self.lines),
            (*(check for other in others for check in other.checks), *self.checks),
        )

    @property
    def kept(self) -> bool:
        """Whether every objective was met, and every check passed."""
        return all(row.kept for row in build_rows(self.lines)) and all(check.kept for check in self.checks)


def read_report(file: Path) -> Seen:
    """What an earlier drill wrote as JSON. Raises ConfigurationError."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        known = {field.name for field in fields(Timeline)}
        lines = [Timeline(**{k: v for k, v in line.items() if k in known}) for line in document["timelines"]]
        return Seen((*lines,), (*(EscalationCheck(**check) for check in document.get("checks", ())),))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ConfigurationError(f"{file} is no report of a drill: {type(error).__name__}.") from None


def build_rows(lines: Sequence[Timeline]) -> list[AlertResult]:
    """Every alert that was fired, in the order of the rule file; scaled timelines are apart from the others."""
    made = []
    for name, found in load_rules().items():
        fast = any("detection" in rule["labels"] for rule in found)
        for scaled in (False, True):
            ours = [line for line in lines if line.alert == name and line.scaled == scaled]
            if ours:
                made.append(_build_row(name, fast, scaled, ours))
    return made


def _build_row(name: str, fast: bool, scaled: bool, lines: Sequence[Timeline]) -> AlertResult:
    times = [line.notified for line in lines if line.notified is not None]
    median, p95, most = (nearest_rank_percentile(times, share) if times else None for share in (0.5, 0.95, 1.0))
    problems = tuple(f"run {line.run}: {problem}" for line in lines for problem in line.problems)
    return AlertResult(name, fast, scaled, len(lines), median, p95, most, problems)


def describe_machine() -> dict[str, object]:
    """Where and when the drill was run."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
    }


def as_json(seen: Seen, about: Mapping[str, object]) -> str:
    """All results."""
    document = {
        "about": about,
        "limits": {"p95_seconds": FAST_P95, "most_seconds": FAST_MAX},
        "alerts": [{**asdict(row), "kept": row.kept} for row in build_rows(seen.lines)],
        "checks": [asdict(check) for check in seen.checks],
        "timelines": [{**asdict(line), "notified": line.notified} for line in seen.lines],
    }
    return json.dumps(document, indent=2) + "\n"


def as_text(seen: Seen) -> str:
    """One line an alert, then what went wrong, then the checks."""
    head = f"{'alert':44} {'runs':>4} {'median':>7} {'p95':>7} {'most':>7}"
    table = [head, *(_text_row(row) for row in build_rows(seen.lines))]
    wrong = [f"{row.alert}: {problem}" for row in build_rows(seen.lines) for problem in row.problems]
    checks = [f"{'passed' if check.kept else 'FAILED'}: {check.name}: {check.seen}" for check in seen.checks]
    return "\n".join([*table, *wrong, *checks]) + "\n"


def _text_row(row: AlertResult) -> str:
    figures = " ".join(f"{_format_figure(value):>7}" for value in (row.median, row.p95, row.most))
    marks = [mark for mark, given in (("fast", row.fast), ("scaled", row.scaled), ("FAILED", not row.kept)) if given]
    return f"{row.alert:44} {row.runs:>4} {figures}  {' '.join(marks)}"


def _format_figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def as_html(seen: Seen, about: Mapping[str, object]) -> str:
    """A page of its own, without scripts."""
    key = "".join(f'<span style="background:{colour}">{name}</span>' for name, colour in STEPS)
    machine = ", ".join(f"{name} {value}" for name, value in about.items())
    summary = "".join(_html_row(row) for row in build_rows(seen.lines))
    timelines = "".join(_html_timeline(line) for line in sorted(seen.lines, key=lambda line: (line.alert, line.run)))
    checks = "".join(_html_check(check) for check in seen.checks)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Alert drill</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head><body>'
        f"<h1>Alert drill</h1><p>{escape(machine)}</p>"
        f"<p>Seconds from the fault to the first notification of a person. The objective of alerts marked fast is "
        f"{FAST_MAX:g} s at most, {FAST_P95:g} s at the 95th percentile. Scaled ones ran against rules with shortened "
        "windows: they show that the alert arrives, not how soon.</p>"
        "<table><tr><th>alert<th><th>runs<th>median<th>p95<th>most<th>problems</tr>"
        f"{summary}</table><h2>Escalation</h2><table>{checks}</table>"
        f'<h2>Every run</h2><p class="key">{key}</p><table>{timelines}</table></body></html>\n'
    )


def _html_check(check: EscalationCheck) -> str:
    name = escape(check.name) if check.kept else f'<span class="bad">{escape(check.name)}</span>'
    return f"<tr><td>{name}<td><small>{escape(check.seen)}</small></tr>"


def _html_row(row: AlertResult) -> str:
    figures = "".join(f'<td class="n">{_format_figure(value)}' for value in (row.median, row.p95, row.most))
    marks = " ".join(mark for mark, given in (("fast", row.fast), ("scaled", row.scaled)) if given)
    problems = "<br>".join(escape(problem) for problem in row.problems)
    name = escape(row.alert) if row.kept else f'<span class="bad">{escape(row.alert)}</span>'
    return f'<tr><td>{name}<td><small>{marks}</small><td class="n">{row.runs}{figures}<td class="bad">{problems}</tr>'


def _html_timeline(line: Timeline) -> str:
    """A bar from the fault to the resolved notice, with a mark for each step."""
    times = [(name, colour, getattr(line, name)) for name, colour in STEPS]
    end = max([when for _, _, when in times if when is not None], default=1.0)
    marks = "".join(
        f'<rect x="{98 * when / end:.2f}%" width="4" height="14" fill="{colour}">'
        f"<title>{name} {when:.1f} s</title></rect>"
        for name, colour, when in times
        if when is not None
    )
    steps = ", ".join(f"{name} {when:.1f}" for name, _, when in times if when is not None)
    return (
        f"<tr><td>{escape(line.alert)}<br><small>run {line.run}: {escape(line.fault)}</small>"
        f'<td style="width:55%"><svg role="img" aria-label="{steps}">{marks}</svg><small>{steps} s</small></tr>'
    )
