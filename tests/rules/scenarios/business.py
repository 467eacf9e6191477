"""What a manager decides."""

from __future__ import annotations

from functools import partial

from tests.rules.scenario import OURS, Case, Text, gauge, own

used = partial(own, "team_budget_used_ratio", caller_team="sales")
SALES = f'caller_team="sales",{OURS}'

budget = partial(Case, "SqlSynthesizerTeamBudget", alerts=(SALES,))
CASES = [
    budget(
        "a team uses more and more, and another little",
        {used(): gauge((300, 0.79), (300, 0.81)), used(caller_team="lab"): gauge((600, 0.4))},
        firing=(300, 600),
        quiet=(285,),
        text=Text(
            "warning",
            "Team sales has used most of its budget",
            "The team sales of sql-synthesizer has used 81% of what it may in this month; at 100% its questions are "
            "refused.",
            "business",
            labels='caller_team="sales"',
        ),
    ),
    budget("exactly four fifths", {used(): gauge((300, 0.8))}, quiet=(300,)),
    budget("one process has yet to look", {used("a"): gauge((300, 0.0)), used("b"): gauge((300, 1.2))}, firing=(300,)),
    budget("the month ends", {used(): gauge((150, 1.01), (150, 0.0))}, firing=(135,), quiet=(165, 300)),
]
