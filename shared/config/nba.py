"""The nba pipeline as data: what runs after what, in which mode, how much of it is enough, and by when."""

from __future__ import annotations

from shared.config.schedules import EASTERN, NBA_SCHEDULES
from shared.core.model import ModeSpec, PhaseSpec, PipelineSpec, ProcessorSpec, RunAfter
from shared.core.readings import COMPLETENESS, FRESHNESS, HEALTH, SANITY

OVERNIGHT = ("overnight",)
AHEAD = ("same_day", "tomorrow")
EVERY = (*OVERNIGHT, *AHEAD)

# A gate may open degraded when the done weight reaches the quorum. What is critical in any mode weighs three, the rest
# one: where a phase has optional processors its criticals alone stay below 0.80 of it, so the grace over, the gate
# still wants one of them at least, or all of them ended.
CRITICAL = 3.0
OPTIONAL = 1.0

# Reasons to skip a table of what is to come that leave nothing to do: nobody has played yet; or it is the day after the
# last one that the source answers for.
AS_OF_SKIPS = ("superseded", "no_history", "not_covered")

CORRECTIONS_DAYS = 2  # the league corrects schedules and box scores for about this long

NIGHT_GRACE_S = 1_800
"""A night that is late usually publishes within half an hour; after it, form without last night beats no page."""

# What gates read before they open. All but the last fail open: what the phases behind make of a fault is judged again
# before anything is published, and a check that is down must not stand between a night and its readers.
READ_BEFORE_ANALYTICS = (HEALTH, FRESHNESS, COMPLETENESS, SANITY)  # raw rows are what all else is made of
READ_BEFORE_PRECOMPUTE = (HEALTH, FRESHNESS, COMPLETENESS)
READ_BEFORE_PREDICTIONS = (HEALTH,)  # coordinator and worker; units with too little are weighed one by one there
READ_BEFORE_EXPORT = (HEALTH, COMPLETENESS, SANITY)
DECIDES_PUBLICATION = (COMPLETENESS, SANITY)  # a document that nobody could check is not published

MODES = (
    ModeSpec(
        name="overnight",
        starts_at="06:00",  # the last game on the west coast is final by 02:00
        start_days=1,
        deadline="09:00",
        deadline_days=1,
        as_of_days=1,  # what is known on the morning after
        precedence={"game_date": 3, "schedule_date": 3, "as_of": 2, "run": 1},
        writes_history=True,
    ),
    ModeSpec(
        name="same_day",
        starts_at="10:30",
        start_days=0,
        deadline="18:30",  # usually 30 minutes before the first tip-off, which only the schedule knows
        deadline_days=0,
        as_of_days=0,
        precedence={"game_date": 2, "schedule_date": 2, "as_of": 3, "run": 2},
        after=(RunAfter(mode="overnight", days=-1, phase="analytics", grace_s=NIGHT_GRACE_S),),
    ),
    ModeSpec(
        name="tomorrow",
        starts_at="17:00",
        start_days=-1,
        deadline="20:00",
        deadline_days=-1,
        as_of_days=0,
        precedence={"game_date": 1, "schedule_date": 1, "as_of": 1, "run": 1},
        after=(RunAfter(mode="overnight", days=-2, phase="analytics", grace_s=NIGHT_GRACE_S),),  # the night before
    ),
)

SCRAPE = PhaseSpec(
    name="scrape",
    label="1",
    completion_topic="nba-phase1-scrapers-complete",
    start_topic="nba-scrape-start",
    usual_s=600,
    processors=(
        ProcessorSpec(
            name="schedule",
            critical=EVERY,
            weight=CRITICAL,
            finds=("games", "next_games", "announced"),
            partition="schedule_date",
            timeout_s=120,  # two requests, and the source answers slowly when it answers at all
            late_days=CORRECTIONS_DAYS,
        ),
        ProcessorSpec(
            name="boxscores",
            critical=OVERNIGHT,
            needs=("schedule",),  # which games to fetch
            weight=CRITICAL,
            unit="games",
            timeout_s=570,  # one request per game, at most 15, at the source's pace
            grace_s=1_800,  # a game that ended late is final within half an hour
            late_days=CORRECTIONS_DAYS,
        ),
    ),
)

RAW = PhaseSpec(
    name="raw",
    label="2",
    completion_topic="nba-phase2-raw-complete",
    start_topic="nba-raw-start",
    usual_s=300,
    processors=(
        ProcessorSpec(
            name="raw_schedule",
            critical=EVERY,
            weight=CRITICAL,
            unit="games",
            partition="schedule_date",
            late_days=CORRECTIONS_DAYS,
        ),
        ProcessorSpec(
            name="player_boxscores",
            critical=OVERNIGHT,
            weight=CRITICAL,
            unit="games",
            late_days=CORRECTIONS_DAYS,
        ),
        ProcessorSpec(
            name="team_boxscores",
            critical=OVERNIGHT,
            weight=CRITICAL,
            unit="games",
            late_days=CORRECTIONS_DAYS,
        ),
    ),
)

ANALYTICS_GRACE_S = 600  # the phase's usual time over again: an optional one that takes longer has a fault
ANALYTICS = PhaseSpec(
    name="analytics",
    label="3",
    completion_topic="nba-phase3-analytics-complete",
    start_topic="nba-analytics-start",
    readings=READ_BEFORE_ANALYTICS,
    usual_s=600,
    quorum_by_mode={"same_day": 0.50, "tomorrow": 0.50},  # only two are planned: the players' context is enough
    processors=(
        ProcessorSpec(
            name="player_game_summary",
            critical=OVERNIGHT,
            needs=("team_offense_game_summary",),  # usage rates divide by the team's totals
            weight=CRITICAL,
            unit="games",
            grace_s=ANALYTICS_GRACE_S,
        ),
        ProcessorSpec(
            name="team_offense_game_summary",
            critical=OVERNIGHT,
            weight=CRITICAL,
            unit="games",
            grace_s=ANALYTICS_GRACE_S,
        ),
        ProcessorSpec(
            name="team_defense_game_summary",
            optional=OVERNIGHT,
            weight=OPTIONAL,
            unit="games",
            grace_s=ANALYTICS_GRACE_S,
        ),
        ProcessorSpec(
            name="upcoming_player_game_context",
            critical=AHEAD,
            optional=OVERNIGHT,
            weight=CRITICAL,
            unit="next_games",
            finds=("players",),
            partition="as_of",
            whole_skips=AS_OF_SKIPS,
            grace_s=ANALYTICS_GRACE_S,
        ),
        ProcessorSpec(
            name="upcoming_team_game_context",
            optional=EVERY,
            weight=OPTIONAL,
            unit="next_games",
            partition="as_of",
            whole_skips=AS_OF_SKIPS,
            grace_s=ANALYTICS_GRACE_S,
        ),
    ),
)

PRECOMPUTE_TIMEOUT_S = 570  # a season of history, and a slot to wait for when the warehouse is busy
PRECOMPUTE_GRACE_S = 900  # the phase's usual time over again
ZONES = ("team_defense_zone_analysis", "player_shot_zone_analysis")
PRECOMPUTE = PhaseSpec(
    name="precompute",
    label="4",
    completion_topic="nba-phase4-precompute-complete",
    start_topic="nba-precompute-start",
    readings=READ_BEFORE_PRECOMPUTE,
    usual_s=900,
    processors=(
        *(
            ProcessorSpec(
                name=zone,
                optional=EVERY,
                weight=OPTIONAL,
                partition="as_of",
                whole_skips=AS_OF_SKIPS,
                timeout_s=PRECOMPUTE_TIMEOUT_S,
                grace_s=PRECOMPUTE_GRACE_S,
            )
            for zone in ZONES
        ),
        ProcessorSpec(
            name="player_daily_cache",
            critical=EVERY,
            weight=CRITICAL,
            unit="players",
            partition="as_of",
            whole_skips=AS_OF_SKIPS,
            timeout_s=PRECOMPUTE_TIMEOUT_S,
            grace_s=PRECOMPUTE_GRACE_S,
        ),
        ProcessorSpec(
            name="player_composite_factors",
            optional=EVERY,
            after=(*ZONES, "player_daily_cache"),
            weight=OPTIONAL,
            unit="players",
            partition="as_of",
            whole_skips=AS_OF_SKIPS,
            timeout_s=PRECOMPUTE_TIMEOUT_S,
            grace_s=PRECOMPUTE_GRACE_S,
        ),
        ProcessorSpec(
            name="ml_feature_store",
            critical=AHEAD,
            optional=OVERNIGHT,
            needs=("player_daily_cache",),
            after=(*ZONES, "player_composite_factors"),  # a missing one leaves its features null and counted
            weight=CRITICAL,
            unit="players",
            partition="as_of",
            whole_skips=AS_OF_SKIPS,
            timeout_s=PRECOMPUTE_TIMEOUT_S,
            grace_s=PRECOMPUTE_GRACE_S,
        ),
    ),
)

PREDICTIONS = PhaseSpec(
    name="predictions",
    label="5",
    completion_topic="nba-phase5-predictions-complete",
    start_topic="nba-predictions-start",
    readings=READ_BEFORE_PREDICTIONS,
    usual_s=1_200,
    processors=(
        ProcessorSpec(
            name="predictions",
            critical=AHEAD,
            weight=CRITICAL,
            unit="players",
            partition="run",  # every run keeps what it predicted; the view `current` chooses
            timeout_s=2_400,  # twice the usual time of a whole batch: a slow worker must not fail the others
            learns_timeout=False,  # a batch has a window of its own, by how long like batches took (batch_window)
            grace_s=1_200,
            quality_min=0.5,  # of 16 features: with half of them unknown a prediction is hardly one
            whole_skips=("superseded", "no_history"),
        ),
    ),
)

GRADING = PhaseSpec(
    name="grading",
    label="5b",
    completion_topic="nba-grading-complete",
    start_topic="nba-grading-start",
    usual_s=300,
    processors=(
        ProcessorSpec(
            name="prediction_accuracy",
            optional=OVERNIGHT,
            weight=OPTIONAL,
            whole_skips=("superseded", "no_predictions"),
        ),
    ),
)

EXPORT = PhaseSpec(
    name="export",
    label="6",
    completion_topic="nba-phase6-export-complete",
    start_topic="nba-export-start",
    readings=READ_BEFORE_EXPORT,
    fails_closed=DECIDES_PUBLICATION,
    usual_s=300,
    processors=(
        ProcessorSpec(name="results", critical=OVERNIGHT, weight=CRITICAL, unit="games"),
        ProcessorSpec(name="tonight", critical=AHEAD, weight=CRITICAL, unit="games"),
        ProcessorSpec(name="status", optional=EVERY, weight=OPTIONAL),
    ),
)

NBA = PipelineSpec(
    name="nba",
    zone=EASTERN,
    modes=MODES,
    phases=(SCRAPE, RAW, ANALYTICS, PRECOMPUTE, PREDICTIONS, GRADING, EXPORT),
    schedules=NBA_SCHEDULES,
    expects="games",
    withdraws="announced",
)
