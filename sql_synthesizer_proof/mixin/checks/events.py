"""Security events: each is emitted, caused by a scenario, and named as other programs name it."""

from __future__ import annotations

from collections.abc import Iterator

from sql_synthesizer.audit.ocsf import MAPPING
from sql_synthesizer.telemetry.vocabulary import OPERATIONS, OTHER, SECURITY_EVENTS, SEVERITY
from sql_synthesizer_proof.evidence.scenarios import SCENARIOS
from sql_synthesizer_proof.mixin.checks.source import list_faults, words_beside


def event_faults() -> Iterator[str]:
    """What a row of ``SECURITY_EVENTS`` lacks, and what stands elsewhere for an event that has no row."""
    said = words_beside("telemetry/vocabulary.py", "audit/ocsf.py")
    emitted = {OTHER, *(operation.event for operation in OPERATIONS.values())}
    caused = {scenario.type for scenario in SCENARIOS}
    for name, event in SECURITY_EVENTS.items():
        expected = {
            "it has no help": event.help,
            f"{event.severity} is no severity": event.severity in SEVERITY,
            "it needs a name of OWASP's or the reason why it has none": bool(event.owasp) != bool(event.unnamed),
            "nothing in the service emits it": name in emitted or repr(name) in said,
            "audit/ocsf.py does not say what it is in OCSF": name in MAPPING,
            "no scenario in evidence/scenarios.py causes it": name in caused,
        }
        yield from list_faults(f"event {name}", expected)
    for name in sorted((caused | MAPPING.keys()) - SECURITY_EVENTS.keys()):
        yield f"event {name}: a scenario or audit/ocsf.py has it, but there is no such event"
