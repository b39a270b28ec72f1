"""Every metric that the code emits, as data: for who sends them, for Cloud Monitoring, and for docs/metrics.md.

Labels are words of which there are few: a pipeline, a mode, a phase, a kind. Never an id: each is a series for ever.
"""

from __future__ import annotations

from shared.core.measures import MetricKind, MetricSpec

TRANSITION = ("pipeline", "mode", "phase")

SECONDS = (1, 5, 15, 30, 60, 90, 120, 180, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400)
"""From a gate that opens at once to the four hours after which one gives up; 120 is where ready-not-fired begins."""

METRICS = (
    MetricSpec(
        name="tipoff.decisions",
        kind=MetricKind.COUNTER,
        unit="{decision}",
        does="Decisions of gates that changed, by what they are: wait, ask, open, block, fail, done.",
        labels=(*TRANSITION, "kind"),
    ),
    MetricSpec(
        name="tipoff.starts",
        kind=MetricKind.COUNTER,
        unit="{start}",
        does="Orders to processors that were claimed, to be sent.",
        labels=TRANSITION,
    ),
    MetricSpec(
        name="tipoff.transition.duration",
        kind=MetricKind.HISTOGRAM,
        unit="s",
        does="From the first opening of a phase until the gate behind it first let it pass.",
        labels=TRANSITION,
        bounds=SECONDS,
    ),
    MetricSpec(
        name="tipoff.ready.duration",
        kind=MetricKind.HISTOGRAM,
        unit="s",
        does="From when a gate could have opened until it did: ready and not fired.",
        labels=TRANSITION,
        bounds=SECONDS,
    ),
    MetricSpec(
        name="tipoff.slo.events",
        kind=MetricKind.COUNTER,
        unit="{event}",
        does="Runs and transitions as the SLOs judge them, by what is measured (kind) and result: good or bad.",
        labels=(*TRANSITION, "kind", "result"),
    ),
    MetricSpec(
        name="tipoff.slo.late",
        kind=MetricKind.COUNTER,
        unit="s",
        does="Seconds beyond what the SLOs allow, by what is measured (kind): what is spent of the late minutes.",
        labels=(*TRANSITION, "kind"),
    ),
    MetricSpec(
        name="tipoff.repairs",
        kind=MetricKind.COUNTER,
        unit="{repair}",
        does="Acts of the backup because the primary path had not done it, by kind.",
        labels=("pipeline", "mode", "kind"),
    ),
    MetricSpec(
        name="tipoff.incidents",
        kind=MetricKind.COUNTER,
        unit="{incident}",
        does="Incidents by cause (kind) and result: raised, escalated, acknowledged or resolved.",
        labels=("pipeline", "mode", "kind", "result"),
    ),
    MetricSpec(
        name="tipoff.batch.units",
        kind=MetricKind.COUNTER,
        unit="{unit}",
        does="Units of batches that have ended, by the state in which they did (kind).",
        labels=("pipeline", "mode", "kind"),
    ),
    MetricSpec(
        name="tipoff.sweep.duration",
        kind=MetricKind.HISTOGRAM,
        unit="s",
        does="How long a round of the timer took. Without one for minutes, nothing heals.",
        bounds=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
    ),
    MetricSpec(
        name="tipoff.heartbeat.age",
        kind=MetricKind.GAUGE,
        unit="s",
        does="How old the timer's heartbeat was when the next round came through.",
    ),
    MetricSpec(
        name="tipoff.dead_letters",
        kind=MetricKind.GAUGE,
        unit="{message}",
        does="Dead letters that the timer saw when it last looked; it looks while runs are open.",
    ),
)


class UnknownMetric(LookupError):
    """No metric of this name is declared; add it to METRICS in shared/config/metrics.py."""


def metric(name: str) -> MetricSpec:
    for spec in METRICS:
        if spec.name == name:
            return spec
    raise UnknownMetric(f"metric {name[:80]!r}: shared/config/metrics.py declares {', '.join(m.name for m in METRICS)}")
