"""The questions that are asked in the background."""

from __future__ import annotations

from sql_synthesizer.monitoring import slo
from sql_synthesizer_proof.mixin import signals
from sql_synthesizer_proof.mixin.dashboards.panel import HOUR, P, Panel, PanelQuery, PanelRow, W, one_query

JOBS = PanelRow(
    "Jobs",
    (
        Panel(
            "Questions of jobs",
            "Questions that wait, and those in the hand of a worker. Every process knows of all.",
            (
                PanelQuery(signals.jobs_waiting(P), "waiting"),
                PanelQuery(P("job_questions_running").grouped("max", "job"), "running"),
            ),
            width=6,
        ),
        Panel(
            "Oldest job that nobody began",
            "How long the job that waits longest has waited for a worker.",
            one_query(signals.job_age(P), "{{job}}"),
            "s",
            width=6,
            bounds=(slo.JOB_AGE_SECONDS,),
        ),
        Panel(
            "Last sign of a job worker",
            "How long ago a worker last said that it lives, which each does twice a second.",
            one_query(signals.job_silence(P), "{{job}}"),
            "s",
            width=6,
            bounds=(slo.JOB_SILENCE_SECONDS,),
            empty="No worker ever",
        ),
        Panel(
            "Jobs",
            "Jobs submitted, begun, and ended by how, within an hour.",
            one_query(P("job_changes_total").increase(HOUR, keep=("change",)), "{{change}}"),
            width=6,
        ),
        Panel(
            "Tries by outcome",
            "Tries per second to answer a question of a job. Those that failed for a passing reason are repeated.",
            one_query(P("job_questions_total").rate(W, keep=("outcome",)), "{{outcome}}"),
            "reqps",
            width=6,
            stacked=True,
        ),
        Panel(
            "Wait and run",
            "95th percentile of the time that questions of jobs waited for a worker, and of a try.",
            (
                PanelQuery(P("job_wait_seconds").quantile(0.95, W), "wait", exemplars=True),
                PanelQuery(P("job_run_seconds").quantile(0.95, W), "run", exemplars=True),
            ),
            "s",
            width=6,
            empty="No jobs",
        ),
        Panel(
            "Repeated questions",
            "Questions of jobs that were asked again within an hour, by why.",
            one_query(P("job_retries_total").increase(HOUR, keep=("reason",)), "{{reason}}"),
            width=6,
        ),
        Panel(
            "Dead letters",
            "Questions of jobs that were given up within five minutes, after all tries.",
            one_query(signals.dead_letters(P, slo.USUAL), "{{job}}"),
            width=6,
            bounds=(0.0,),
        ),
        Panel(
            "Schedules",
            "Due times of schedules within an hour by what became of them, and changes of schedules.",
            one_query(P("schedule_changes_total").increase(HOUR, keep=("change",)), "{{change}}"),
            width=6,
        ),
        Panel(
            "Webhooks",
            "Calls per second that told the address of a job that it has ended. Those that failed are repeated.",
            one_query(P("job_webhooks_total").rate(W, keep=("outcome",)), "{{outcome}}"),
            "reqps",
            width=6,
            stacked=True,
        ),
        Panel(
            "Webhooks given up",
            "Jobs whose address could not be told within five minutes, after all tries.",
            one_query(signals.lost_webhooks(P, slo.USUAL), "{{job}}"),
            width=6,
            bounds=(0.0,),
        ),
    ),
)
