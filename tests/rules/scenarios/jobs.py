"""The questions that are asked in the background."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import Case, Text, counter, gauge, own, ramp
from tests.rules.shapes import first

FAULT = 300
BEATS, LAST = gauge((900, 0)), f"{gauge((FAULT, 0))} {ramp(0, 1, 600)}"
beat, waiting = partial(own, "job_worker_beat_age_seconds"), partial(own, "job_questions_waiting")
age, letters = partial(own, "job_oldest_age_seconds"), partial(own, "job_dead_letters_total", reason="worker_lost")
SOME, NONE = gauge((900, 3)), gauge((900, 0))

stuck = partial(Case, "SqlSynthesizerJobWorkersStuck")
WORKERS_STUCK = [
    stuck(
        "the only worker says nothing any more, and three questions wait",
        {beat(): LAST, waiting(): SOME},
        firing=(405, 900),
        quiet=(FAULT, 390),
    ),
    stuck(
        "both processes know of none that lives", {beat(at): LAST for at in "ab"} | {waiting("a"): SOME}, firing=(405,)
    ),
    stuck("nothing waits any more", {beat(): LAST, waiting(): gauge((600, 3), (300, 0))}, firing=(585,), quiet=(615,)),
    stuck("another worker lives", {beat("a"): LAST, beat("b"): BEATS, waiting("a"): SOME}, quiet=(900,)),
    stuck("nothing waits", {beat(): LAST, waiting(): NONE}, quiet=(900,)),
    stuck(
        "one process has yet to look",
        {beat(): LAST, waiting("a"): SOME, waiting("b"): NONE},
        firing=(900,),
        text=Text(
            "critical",
            "Nobody asks the questions of jobs",
            "The last sign of a job worker of sql-synthesizer came 10m 0s ago, and questions wait.",
            "application-performance",
        ),
    ),
    stuck(
        "it is silent for a minute, again and again",
        {beat(): " ".join(["0 0 15 30 45"] * 3), waiting(): SOME},
        quiet=(75, 90, 150, 165),
    ),
]

backlog = partial(Case, "SqlSynthesizerJobBacklog")
BACKLOG = [
    backlog(
        "a job waits and waits",
        {age("a"): ramp(0, 1, 900), age("b"): gauge((900, 0))},
        firing=(360, 900),
        quiet=(300, 330),
    ),
    backlog(
        "a job has waited for ten minutes",
        {age(): gauge((900, 600))},
        firing=(600,),
        text=Text(
            "warning",
            "Jobs wait for long",
            "The oldest job of sql-synthesizer that nobody has begun has waited for 10m 0s.",
            "application-performance",
        ),
    ),
    backlog("all are begun at last", {age(): gauge((600, 600), (300, 0))}, firing=(585,), quiet=(615,)),
    backlog("each is begun within half a minute", {age(): gauge((900, 29))}, quiet=(900,)),
    backlog("one was begun at last", {age(): gauge((120, 0), (285, 200), (600, 0))}, quiet=(150, 390, 405)),
]

DEAD_LETTERS = [
    *first("SqlSynthesizerJobDeadLetters", letters, 300),
    Case(
        "SqlSynthesizerJobDeadLetters",
        "two reasons, on two instances",
        {letters("a"): counter((900, 0.02)), letters("b", reason="pool_timeout"): counter((900, 0.02))},
        firing=(900,),
        text=Text(
            "warning",
            "Questions of jobs were given up",
            "About 12 questions of jobs of sql-synthesizer were given up within 5 minutes, after all tries.",
            "application-performance",
        ),
    ),
]

lost = partial(own, "job_changes_total", change="undelivered")
WEBHOOKS_LOST = [
    *first("SqlSynthesizerWebhooksLost", lost, 300),
    Case(
        "SqlSynthesizerWebhooksLost",
        "on two instances, beside what was delivered",
        {lost("a"): counter((900, 0.02)), lost("b"): counter((900, 0.02)), lost(change="delivered"): counter((900, 1))},
        firing=(900,),
        text=Text(
            "warning",
            "Addresses were not told that jobs have ended",
            "About 12 jobs of sql-synthesizer have ended within 5 minutes without their address taking the message, "
            "after all tries.",
            "application-performance",
        ),
    ),
    Case(
        "SqlSynthesizerWebhooksLost",
        "all were delivered",
        {lost(): gauge((900, 0)), lost(change="delivered"): counter((900, 1))},
        quiet=(900,),
    ),
]

CASES = [*WORKERS_STUCK, *BACKLOG, *DEAD_LETTERS, *WEBHOOKS_LOST]
