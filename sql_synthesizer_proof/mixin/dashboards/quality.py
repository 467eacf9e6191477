"""Whether answers are right, as far as the service itself can tell."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import recording, signals
from sql_synthesizer_proof.mixin.dashboards.panel import HOUR, P, Panel, PanelQuery, PanelRow, one_query

QUALITY = PanelRow(
    "Answer quality",
    (
        Panel(
            "Declined, empty, mended, fallen back",
            "Shares of questions that were declined, of answers without a row, of replies of the model that it had to "
            "mend, and of questions that went to the embedded engine because the model failed.",
            tuple(PanelQuery(recording.quality_ratio(name), name.replace("_", " ")) for name in recording.QUALITY),
            "percentunit",
            width=6,
            empty="No questions",
        ),
        Panel(
            "Canaries",
            "Questions with known results that the service asked itself within an hour, by what came of them.",
            one_query(P("canary_questions_total").increase(HOUR, keep=("result",)), "{{result}}"),
            width=6,
            empty="No canaries",
        ),
        Panel(
            "Canaries not answered rightly",
            "How often each was not within five minutes. It is asked again every half minute until it is.",
            one_query(signals.canary_failures(P, slo.USUAL), "{{canary}}"),
            width=6,
            bounds=(slo.CANARY_FAILURES,),
            empty="No canaries",
        ),
        Panel(
            "Gone from the schema",
            "1 while a table or column is gone that questions with known results need.",
            one_query(signals.schema_drift(P), "{{database}} {{object}}"),
            width=6,
            bounds=(0.0,),
            empty="Nothing ever was",
        ),
        Panel(
            "Regressions",
            "1 while a series has taken a step that its own past weeks do not explain.",
            one_query(signals.regression(P), "{{series}}"),
            width=6,
            bounds=(0.0,),
            empty="Not looked for",
        ),
    ),
)
