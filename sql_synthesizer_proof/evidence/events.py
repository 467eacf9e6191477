"""Causes every type of security event, and verifies its record, its count and its log line.

A scenario causes events of one type; what it leaves is found by the trace id of the reply. A type without a scenario
is a red row, so that a new type needs one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sql_synthesizer.operate.child import becomes_true
from sql_synthesizer.telemetry.vocabulary import SECURITY_EVENTS
from sql_synthesizer_proof.evidence.scenarios import SCENARIOS, Caused, EventScenario
from sql_synthesizer_proof.evidence.world import Pair, SeenRecord, SeenSignals, World

LEVELS = {"info": "info", "low": "info", "medium": "warning", "high": "error", "critical": "critical"}
"""Severity -> level of the log line."""


@dataclass(frozen=True, slots=True)
class EventResult:
    """The signals of one scenario, with those ``missing``; ``counted`` is of the whole run, all scenarios."""

    type: str
    words: str
    severity: str = ""
    trace_id: str = ""
    records: int = 0
    counted: int = 0
    level: str = ""
    missing: tuple[str, ...] = ()


def run_scenarios(world: World, scenarios: Sequence[EventScenario] = SCENARIOS) -> list[EventResult]:
    """Runs the scenarios one after the other; a row for each, and one for each type that has none."""
    before = world.signals()
    made = [(scenario, _run_scenario(scenario, world)) for scenario in scenarios]

    def build_rows() -> list[EventResult]:
        after = world.signals()
        return [_build_row(scenario, caused, before, after) for scenario, caused in made]

    becomes_true(lambda: not any(row.missing for row in build_rows()), world.patience)
    rows = build_rows()
    types = {scenario.type for scenario in scenarios}
    rows += [EventResult(name, "", missing=("no scenario",)) for name in SECURITY_EVENTS if name not in types]
    return sorted(rows, key=lambda row: [*SECURITY_EVENTS].index(row.type))


def _run_scenario(scenario: EventScenario, world: World) -> Caused | str:
    """What it caused, or why it could not be made."""
    try:
        return scenario.run(world)
    except Exception as error:  # noqa: BLE001  # whatever it is, the other scenarios go on
        return f"not made: {type(error).__name__}"


def _build_row(scenario: EventScenario, caused: Caused | str, before: SeenSignals, after: SeenSignals) -> EventResult:
    if isinstance(caused, str):
        return EventResult(scenario.type, scenario.words, missing=(caused,))
    severity = caused.severity or SECURITY_EVENTS[scenario.type].severity
    own = {"event_type": scenario.type, "trace_id": caused.reply.trace_id}
    records = [record for record in after.records if own.items() <= record.items()]
    counted = (after.counted - before.counted)[scenario.type, severity]
    on_record = (_by_pair(after) - _by_pair(before))[scenario.type, severity]
    lines = {"event": scenario.type, "trace_id": caused.reply.trace_id}
    levels = [str(line["level"]) for line in after.lines if lines.items() <= line.items()]
    missing = [
        *_reply_faults(caused),
        *_record_faults(caused, severity, records),
        *([] if counted and counted == on_record else [f"{counted} counted, {on_record} on record"]),
        *([] if levels == [LEVELS[severity]] * caused.logged else [f"logged as {', '.join(levels) or 'nothing'}"]),
    ]
    level = ", ".join(levels) if caused.logged else "(command)"
    trace = caused.reply.trace_id
    return EventResult(scenario.type, scenario.words, severity, trace, len(records), counted, level, tuple(missing))


def _reply_faults(caused: Caused) -> list[str]:
    faults = [] if caused.reply.trace_id else ["no trace id"]
    return faults if caused.reply.status == caused.status else [*faults, f"status {caused.reply.status}"]


def _record_faults(caused: Caused, severity: str, records: list[SeenRecord]) -> list[str]:
    if len(records) != 1:
        return [f"{len(records)} records"]
    (record,) = records
    actor = record["actor"] or record["details"].get("identity", "")
    found = {"severity": record["severity"], "actor": actor, "address": record["address"]}
    wanted = {"severity": severity, "actor": caused.actor, "address": caused.address}
    return [f"{name} '{found[name]}' on record" for name in wanted if found[name] != wanted[name]]


def _by_pair(signals: SeenSignals) -> Counter[Pair]:
    found: Counter[Pair] = Counter()
    for record in signals.records:
        found[record["event_type"], record["severity"]] += int(record["count"])
    return found


# --- reports ---------------------------------------------------------------------------------


def complete_types(rows: Sequence[EventResult]) -> set[str]:
    """The types of which nothing is missing."""
    return {row.type for row in rows} - {row.type for row in rows if row.missing}


def as_text(rows: Sequence[EventResult]) -> str:
    """A table, and in the last line of how many types every signal was seen."""
    line = "{:<27}{:<10}{:<10}{:<8}{:<9}{:<11}{:<62}{}".format
    lines = [line("event", "severity", "trace", "record", "counter", "log", "scenario", "seen")]
    for row in rows:
        cells = row.type, row.severity, row.trace_id[:8], row.records, row.counted, row.level, row.words
        lines.append(line(*cells, "; ".join(row.missing) or "ok"))
    return "\n".join([*lines, f"{len(complete_types(rows))} of {len(SECURITY_EVENTS)} types"])


def as_json(rows: Sequence[EventResult]) -> str:
    """Everything that was seen."""
    return json.dumps(
        {"types": len(SECURITY_EVENTS), "kept": sorted(complete_types(rows)), "rows": [*map(asdict, rows)]}
    )
