"""What the security officer is told, and the audit record."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import HERE, OURS, Case, Text, counter, expected, gauge, own, ramp
from tests.rules.shapes import born, count, first

events = partial(own, "security_events_total")
injection = partial(events, event_type="sql_injection_attempt", severity="high")
steering = partial(events, event_type="prompt_injection_attempt", severity="high")
unverified = partial(events, event_type="audit_verification_failed", severity="critical")
refused = partial(events, event_type="authentication_failure", severity="medium")
FAST = 'detection="fast"'
TEN = counter((600, 1 / 30))
"""Ten in five minutes."""


def typed(event_type: str) -> str:
    """The labels of an alert on one type of event."""
    return f'event_type="{event_type}",{OURS}'


def attack(rule: str, event_type: str, severity: str, fast: bool, text: Text, *, local: bool = False) -> list[Case]:
    """An alert on one type of event, of each instance alone where it is ``local``."""
    named = partial(events, event_type=event_type, severity=severity)
    alerts = (f'event_type="{event_type}",{HERE}' if local else typed(event_type),)
    case = partial(Case, rule, alerts=alerts)
    once, other = counter((60, 0), (15, 1 / 15), (240, 0)), counter((315, 1))
    return [
        *first(rule, named, 300, alerts=alerts, fast=fast),
        *born(rule, named, 2, 300, alerts=alerts),
        case("of two severities", {named(): TEN, named(severity="low"): TEN}, firing=(600,)),
        case(
            "three in five minutes on one instance" if local else "one on one instance, two on another",
            {named("a"): counter((600, 3 / 300))}
            if local
            else {named("a"): counter((600, 1 / 300)), named("b"): counter((600, 2 / 300))},
            firing=(600,),
            text=text,
        ),
        case("another type", {named(): counter((315, 0)), named(event_type="query_execution"): other}, quiet=(315,)),
        case("amid others", {named(): once, named(event_type="csrf_failure"): other}, firing=(90,), quiet=(60,)),
    ]


ATTACKS = [
    *attack(
        "SQLInjectionAttempts",
        "sql_injection_attempt",
        "high",
        True,
        Text(
            "critical",
            "SQL injection attempts",
            "Within 5 minutes sql-synthesizer refused SQL injection attempts: about 3.",
            "security-monitoring",
            "security",
            FAST,
        ),
    ),
    *attack(
        "SqlSynthesizerPromptInjectionAttempts",
        "prompt_injection_attempt",
        "high",
        False,
        Text(
            "warning",
            "Attempts to steer the model",
            "Within 5 minutes sql-synthesizer refused prompt injection attempts: about 3.",
            "security-monitoring",
            "security",
        ),
    ),
    *attack(
        "SqlSynthesizerAuditVerificationFailed",
        "audit_verification_failed",
        "critical",
        True,
        Text(
            "critical",
            "The audit record does not verify",
            "A verification of the audit record of a found records that were changed, removed or forged.",
            "security-monitoring",
            "security",
            FAST,
        ),
        local=True,
    ),
]

spike = partial(Case, "SecurityEventSpike")
FAULT = 300
SPIKE = [
    spike(
        "25 a second",
        {injection(): counter((FAULT, 0), (300, 25)), unverified(): counter((600, 0))},
        firing=(600,),
        quiet=(300,),
        fault=FAULT,
        text=Text(
            "critical",
            "Security events come in a burst",
            "25 security events of high or critical severity per second on sql-synthesizer.",
            "security-monitoring",
            "security",
            FAST,
        ),
    ),
    *(
        spike(
            f"{rate} a second, of two types and severities, by two instances",
            {
                injection("a"): counter((300, rate / 4)),
                injection("b"): counter((300, rate / 4)),
                unverified("a"): counter((300, rate / 2)),
            },
            **expected(fires, 300),
        )
        for rate, fires in ((10.4, True), (9.6, False))
    ),
    spike("all critical", {unverified(): counter((300, 11))}, firing=(300,)),
    spike("all high", {steering(): counter((300, 11))}, firing=(300,)),
    spike("a thousand a second at once", {injection(): counter((60, 0), (75, 1000))}, firing=(120,), quiet=(90,)),
    spike("1500 at once", {injection(): counter((60, 0), (15, 100), (300, 0))}, firing=(150,), quiet=(240,)),
    spike("1000 at once", {injection(): counter((60, 0), (15, 1000 / 15), (300, 0))}, quiet=(120, 150, 180)),
    spike(
        "200 benign ones a second",
        {events(event_type="query_execution", severity="info"): counter((300, 200)), injection(): counter((300, 0))},
        quiet=(300,),
    ),
    spike("20 of medium severity a second", {refused(): counter((300, 20))}, quiet=(300,)),
]

burst = partial(Case, "SqlSynthesizerAuthFailureBurst", alerts=(typed("authentication_failure"),))
BURST = [
    *count("SqlSynthesizerAuthFailureBurst", refused, 20, 600, alerts=(typed("authentication_failure"),)),
    *born("SqlSynthesizerAuthFailureBurst", refused, 30, 600, alerts=(typed("authentication_failure"),)),
    burst(
        "30 within 10 minutes, of two severities",
        {refused(): counter((900, 20 / 600)), refused(severity="high"): counter((900, 10 / 600))},
        firing=(900,),
        text=Text(
            "warning",
            "Authentication fails in a burst",
            "30 failed authentications on sql-synthesizer within 10 minutes.",
            "security-monitoring",
            "security",
        ),
    ),
    burst(
        "successes",
        {
            refused(): counter((900, 0)),
            refused(event_type="authentication_success", severity="info"): counter((900, 10)),
        },
        quiet=(900,),
    ),
]

unwritten = partial(own, "audit_write_failures_total", sink="file")
AUDIT_FAILURES = [
    *first("SqlSynthesizerAuditWriteFailures", unwritten, 300, alerts=(HERE,), fast=True),
    Case(
        "SqlSynthesizerAuditWriteFailures",
        "two kinds of record",
        {unwritten(): counter((900, 1 / 300)), unwritten(sink="other"): counter((900, 2 / 300))},
        firing=(900,),
        alerts=(HERE,),
        text=Text(
            "critical",
            "The audit record cannot be written",
            "About 3 writes of the audit record of a failed within 5 minutes. Answers are withheld until "
            "it can be written again.",
            "security-monitoring",
            "security",
            FAST,
        ),
    ),
]

GIB = 1024.0**3
free = partial(own, "audit_free_bytes")
filling = partial(Case, "SqlSynthesizerAuditVolumeFilling", alerts=(HERE,), step=60)
HOUR = 3600


def shrinking(gib: float, hours: float, seconds: float = 2 * HOUR) -> str:
    """Free bytes that are ``gib`` GiB at the end, and would be gone that many hours later."""
    pace = gib * GIB / (hours * HOUR)
    return ramp(gib * GIB + pace * seconds, -pace, seconds, step=60)


VOLUME = [
    filling(
        "half a GiB on one of two volumes",
        {free("a"): gauge((600, 20 * GIB), (900, GIB / 2), step=60), free("b"): gauge((1500, 20 * GIB), step=60)},
        firing=(960,),
        quiet=(600, 840),
        text=Text(
            "warning",
            "The audit volume fills up",
            "512MiB are free on the audit volume of a, and at the present pace not for long. When it is full, no "
            "answer leaves the service.",
            "security-monitoring",
            "security",
        ),
    ),
    filling("0.96 GiB", {free(): gauge((600, 0.96 * GIB), step=60)}, firing=(540,)),
    filling("1.04 GiB", {free(): gauge((600, 1.04 * GIB), step=60)}, quiet=(540,)),
    filling("9 GiB for 11 hours", {free(): shrinking(9, 11)}, firing=(2 * HOUR,)),
    filling("9 GiB for 13 hours", {free(): shrinking(9, 13)}, quiet=(2 * HOUR,)),
    filling("11 GiB for 8 hours", {free(): shrinking(11, 8)}, quiet=(2 * HOUR,)),
    filling(
        "fell to 9 GiB within half an hour, then stays",
        {free(): f"{shrinking(9, 2, HOUR / 2)} {gauge((3 * HOUR, 9 * GIB), step=60)}"},
        firing=(HOUR / 2 + 2400,),
        quiet=(HOUR / 2 + 4500,),
    ),
]

sound = partial(own, "audit_verified_age_seconds")
unseen = partial(Case, "SqlSynthesizerAuditNotVerified", alerts=(HERE,), step=60)
BEFORE = 93_000
"""Age at the start: 600 seconds later it is over the limit."""

UNVERIFIED = [
    unseen(
        "one of two instances",
        {sound("a"): ramp(BEFORE, 1, 1800, step=60), sound("b"): ramp(0, 1, 1800, step=60)},
        firing=(1020,),
        quiet=(840,),
        text=Text(
            "warning",
            "The audit record has not been verified",
            "The audit record of a was last found sound 1d 2h 7m 0s ago. A change since then would be unseen.",
            "security-monitoring",
            "security",
        ),
    ),
    unseen(
        "found sound at last",
        {sound(): f"{ramp(BEFORE, 1, 1800, step=60)} {ramp(0, 1, 600, step=60)}"},
        firing=(1800,),
        quiet=(1920,),
    ),
    unseen(
        "found sound meanwhile",
        {sound(): f"{ramp(BEFORE, 1, 840, step=60)} {ramp(0, 1, 1800, step=60)}"},
        quiet=(840, 1320, 2400),
    ),
]

ahead = partial(own, "audit_clock_lead_seconds")
jumped = partial(Case, "SqlSynthesizerAuditClockJumped", alerts=(HERE,), step=60)
CLOCK = [
    jumped(
        "a hundred days, on one of two instances",
        {ahead("a"): gauge((600, 0), (900, 100 * 86_400), step=60), ahead("b"): gauge((1500, 0), step=60)},
        firing=(960,),
        quiet=(600, 840),
        text=Text(
            "warning",
            "The clock went ahead, and retention does not follow",
            "The clock of a is 100d 0h 0m 0s ahead of the time that is known to have passed. Audit records are kept by "
            "that time until somebody says that the clock is right.",
            "security-monitoring",
            "security",
        ),
    ),
    jumped("a day and an hour", {ahead(): gauge((900, 90_000), step=60)}, firing=(840,)),
    jumped("23 hours", {ahead(): gauge((900, 82_800), step=60)}, quiet=(840,)),
    jumped(
        "set right again",
        {ahead(): gauge((900, 100 * 86_400), (900, 0), step=60)},
        firing=(840,),
        quiet=(960, 1740),
    ),
]

CASES = (*ATTACKS, *SPIKE, *BURST, *AUDIT_FAILURES, *VOLUME, *UNVERIFIED, *CLOCK)
