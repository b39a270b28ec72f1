"""What a run will do: chosen by mode, in dependency order, pinned by a hash, readable later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone

import pytest

from shared.config.nba import NBA
from shared.core.calendar import deadline, usual_start
from shared.core.codec import decode, encode
from shared.core.model import LatePolicy, Missing, PhaseSpec, ProcessorSpec, RunKey
from shared.core.plan import GIVE_UP, PUBLISHED_WITHIN, Given, Plan, build_plan, config_hash, fence, planned
from shared.core.timeouts import FLOOR, HISTORY_MIN, NO_DURATIONS, Durations

DAY = date(2024, 1, 15)
MODES = {mode.name: mode for mode in NBA.modes}


def plan_of(
    mode: str,
    *,
    late: timedelta = timedelta(0),
    generation: int = 1,
    given: Given | None = None,
    before: Durations = NO_DURATIONS,
) -> Plan:
    usual_start_at = usual_start(MODES[mode], DAY, NBA.zone)
    return build_plan(
        NBA,
        RunKey("nba", DAY, mode, generation),
        started_at=usual_start_at + late,
        usual_start_at=usual_start_at,
        deadline_at=deadline(MODES[mode], DAY, NBA.zone),
        labels={"data": "bootstrap"},
        given=given,
        before=before,
    )


AHEAD = {
    "scrape": {"schedule": True},
    "raw": {"raw_schedule": True},
    "analytics": {"upcoming_player_game_context": True, "upcoming_team_game_context": False},
    "precompute": {
        "team_defense_zone_analysis": False,
        "player_shot_zone_analysis": False,
        "player_daily_cache": True,
        "player_composite_factors": False,
        "ml_feature_store": True,
    },
    "predictions": {"predictions": True},
    "export": {"tonight": True, "status": False},
}
OVERNIGHT = {
    "scrape": {"schedule": True, "boxscores": True},
    "raw": {"raw_schedule": True, "player_boxscores": True, "team_boxscores": True},
    "analytics": {
        "team_offense_game_summary": True,
        "team_defense_game_summary": False,
        "upcoming_player_game_context": False,
        "upcoming_team_game_context": False,
        "player_game_summary": True,
    },
    "precompute": {
        "team_defense_zone_analysis": False,
        "player_shot_zone_analysis": False,
        "player_daily_cache": True,
        "player_composite_factors": False,
        "ml_feature_store": False,
    },
    "grading": {"prediction_accuracy": False},
    "export": {"results": True, "status": False},
}


@pytest.mark.parametrize(
    ("mode", "phases"),
    [
        pytest.param("overnight", OVERNIGHT, id="overnight plans all five of phase 3 and grades"),
        pytest.param("same_day", AHEAD, id="same_day plans two of phase 3 and predicts"),
        pytest.param("tomorrow", AHEAD, id="tomorrow plans what same_day does"),
    ],
)
def test_a_mode_plans_its_phases_and_what_is_critical_in_them(mode: str, phases: dict[str, dict[str, bool]]) -> None:
    plan = plan_of(mode)
    found = {phase.name: {p.name: p.critical for p in phase.processors} for phase in plan.phases}
    assert found == phases
    assert plan.gates == (*phases, "end")
    assert set(plan.phase_by_name) == set(phases)
    assert set(plan.phase_by_name["scrape"].by_name) == set(phases["scrape"])


@pytest.mark.parametrize("mode", MODES)
def test_every_processor_stands_behind_what_it_depends_on(mode: str) -> None:
    for phase in plan_of(mode).phases:
        seen: set[str] = set()
        for processor in phase.processors:
            assert seen.issuperset((*processor.needs, *processor.after))
            seen.add(processor.name)


def test_an_edge_to_what_the_mode_does_not_plan_is_left_out() -> None:
    phase = PhaseSpec(
        name="p",
        label="1",
        completion_topic="done",
        start_topic="go",
        processors=(
            ProcessorSpec(name="b", critical=("same_day", "overnight"), needs=("a",), after=("c",)),
            ProcessorSpec(name="a", critical=("overnight",)),
            ProcessorSpec(name="c", optional=("overnight",)),
        ),
    )
    assert [spec.name for spec in planned(phase, "overnight")] == ["a", "c", "b"]
    assert [spec.name for spec in planned(phase, "same_day")] == ["b"]
    plan = build_plan(
        replace(NBA, phases=(phase,)),
        RunKey("nba", DAY, "same_day"),
        started_at=datetime(2024, 1, 15, 15, tzinfo=timezone.utc),
        usual_start_at=datetime(2024, 1, 15, 15, tzinfo=timezone.utc),
        deadline_at=datetime(2024, 1, 15, 16, tzinfo=timezone.utc),
    )
    assert (plan.phases[0].by_name["b"].needs, plan.phases[0].by_name["b"].after) == ((), ())
    assert plan.labels == {}


@pytest.mark.parametrize(
    ("mode", "before"),
    [
        pytest.param("overnight", {}, id="overnight goes after nobody"),
        pytest.param("same_day", {"analytics": "overnight of 2024-01-14"}, id="same_day goes after last night"),
        pytest.param("tomorrow", {"analytics": "overnight of 2024-01-13"}, id="tomorrow goes after the same night"),
    ],
)
def test_a_run_goes_softly_after_the_night_before(mode: str, before: dict[str, str]) -> None:
    plan = plan_of(mode, late=timedelta(minutes=5))
    found = {phase.name: str(run) for phase in plan.phases for run in phase.runs_before}
    assert found == before
    assert [phase.name for phase in plan.phases if "runs_before" in phase.readings] == list(before)
    for run in plan.phase_by_name["analytics"].runs_before:
        assert run.wait_until == plan.started_at + timedelta(minutes=30)
    assert decode(Plan, encode(plan)) == plan


@pytest.mark.parametrize(
    ("mode", "asked"),
    [
        ("overnight", ["analytics", "precompute", "export"]),
        ("same_day", ["analytics", "precompute", "predictions", "export"]),
    ],
)
def test_the_plan_pins_what_its_gates_read_and_which_of_it_fails_closed(mode: str, asked: list[str]) -> None:
    plan = plan_of(mode)
    assert [phase.name for phase in plan.phases if "health" in phase.readings] == asked
    closed = {phase.name: phase.fails_closed for phase in plan.phases if phase.fails_closed}
    assert closed == {"export": ("completeness", "sanity")}


GIVEN = Given(
    run=RunKey("nba", DAY, "overnight"),
    phase="precompute",
    reason="bad zones",
    completeness=0.9,
    missing=(Missing(processor="boxscores", why="has 9 of 10", units=("g7",)),),
    expectations={"games": ("g1",)},
)


def test_a_replay_plans_the_phases_from_the_one_it_is_given_on() -> None:
    plan = plan_of("overnight", generation=2, given=GIVEN)
    assert list(plan.phase_by_name) == ["precompute", "grading", "export"]
    assert plan.given == GIVEN
    assert plan.phases[-1].deadline_at == plan.deadline_at - PUBLISHED_WITHIN
    assert decode(Plan, encode(plan)) == plan


def test_a_replay_from_a_phase_that_is_planned_no_more_says_so() -> None:
    with pytest.raises(ValueError, match="phase 'predictions' is not planned in overnight any more; planned: scrape"):
        plan_of("overnight", generation=2, given=replace(GIVEN, phase="predictions"))


def test_a_punctual_run_keeps_its_deadline_to_the_last_phase() -> None:
    plan = plan_of("overnight")
    assert plan.deadline_at == deadline(MODES["overnight"], DAY, NBA.zone)
    assert plan.phases[-1].deadline_at == plan.deadline_at - PUBLISHED_WITHIN
    assert {phase.deadline_from for phase in plan.phases} == {"derived"}


@pytest.mark.parametrize(
    ("late", "deadline_moves"),
    [
        pytest.param(timedelta(hours=2, minutes=59), False, id="a minute before the deadline nothing moves"),
        pytest.param(timedelta(hours=3), True, id="on the deadline the run gets as long as a punctual one had"),
        pytest.param(timedelta(days=100), True, id="a backfill gets as long as a punctual one had"),
    ],
)
def test_a_run_that_starts_after_its_deadline_is_measured_from_its_own_start(
    late: timedelta, deadline_moves: bool
) -> None:
    plan = plan_of("overnight", late=late)
    punctual = deadline(MODES["overnight"], DAY, NBA.zone)
    assert plan.deadline_at == (plan.started_at + timedelta(hours=3) if deadline_moves else punctual)
    assert all(phase.deadline_at >= plan.started_at + FLOOR for phase in plan.phases)
    assert all(phase.give_up_at == phase.deadline_at + GIVE_UP for phase in plan.phases)


@pytest.mark.parametrize(
    ("mode", "quorum"),
    [
        pytest.param("overnight", 0.80, id="the phase's quorum where the mode has none of its own"),
        pytest.param("same_day", 0.50, id="the mode's own quorum"),
    ],
)
def test_the_quorum_may_depend_on_the_mode(mode: str, quorum: float) -> None:
    assert plan_of(mode).phase_by_name["analytics"].quorum == quorum


@pytest.mark.parametrize(
    ("mode", "phase", "processor", "partition", "rank"),
    [
        pytest.param("overnight", "analytics", "player_game_summary", DAY, 3, id="a summary is written for the date"),
        pytest.param(
            "overnight",
            "precompute",
            "player_daily_cache",
            date(2024, 1, 16),
            2,
            id="overnight knows for the day after",
        ),
        pytest.param("same_day", "precompute", "player_daily_cache", DAY, 3, id="same_day replaces overnight's as_of"),
        pytest.param("tomorrow", "precompute", "player_daily_cache", DAY, 1, id="tomorrow's as_of yields to both"),
        pytest.param("overnight", "raw", "raw_schedule", DAY, 3, id="the final schedule replaces the others"),
    ],
)
def test_an_output_has_a_partition_and_a_rank_among_its_writers(
    mode: str, phase: str, processor: str, partition: date, rank: int
) -> None:
    found = plan_of(mode).phase_by_name[phase].by_name[processor]
    assert (found.partition, found.fence_rank) == (partition, rank)


def test_a_late_result_refreshes_until_its_days_are_over_or_never() -> None:
    plan = plan_of("overnight")
    assert plan.phase_by_name["scrape"].by_name["boxscores"].refresh_until == plan.deadline_at + timedelta(days=2)
    assert plan.phase_by_name["export"].by_name["status"].refresh_until == plan.deadline_at
    (phase,) = (phase for phase in NBA.phases if phase.name == "export")
    ignoring = tuple(replace(spec, late=LatePolicy.IGNORE) for spec in phase.processors)
    plan = build_plan(
        replace(NBA, phases=(replace(phase, processors=ignoring),)),
        plan.run,
        started_at=plan.started_at,
        usual_start_at=plan.started_at,
        deadline_at=plan.deadline_at,
    )
    assert plan.phases[0].by_name["status"].refresh_until is None


@pytest.mark.parametrize("mode", MODES)
def test_a_plan_reads_as_it_was_written(mode: str) -> None:
    plan = plan_of(mode)
    assert decode(Plan, encode(plan)) == plan
    assert encode(decode(Plan, encode(plan))) == encode(plan)


def test_the_hash_changes_exactly_when_the_declaration_does() -> None:
    assert config_hash(NBA) == config_hash(replace(NBA)) == plan_of("tomorrow").config_hash
    later = replace(NBA.modes[0], deadline="09:01")
    assert config_hash(replace(NBA, modes=(later, *NBA.modes[1:]))) != config_hash(NBA)


WRITERS = [
    pytest.param((1, 9_999, 9_999), (2, 1, 1), id="a higher rank replaces any generation and attempt"),
    pytest.param((1, 1, 9_999), (1, 2, 1), id="a later generation replaces any attempt"),
    pytest.param((1, 1, 1), (1, 1, 2), id="a later attempt replaces an earlier one"),
    pytest.param((0, 1, 1), (99, 9_999, 9_999), id="the ends of all ranges"),
]


@pytest.mark.parametrize(("older", "newer"), WRITERS)
def test_a_fence_orders_the_writers_of_a_partition(older: tuple[int, int, int], newer: tuple[int, int, int]) -> None:
    assert fence(*older) < fence(*newer)


@pytest.mark.parametrize(
    "writer",
    [
        pytest.param((-1, 1, 1), id="rank below 0"),
        pytest.param((100, 1, 1), id="rank above 99"),
        pytest.param((1, 0, 1), id="generation below 1"),
        pytest.param((1, 10_000, 1), id="generation above 9999"),
        pytest.param((1, 1, 0), id="attempt below 1"),
        pytest.param((1, 1, 10_000), id="attempt above 9999"),
    ],
)
def test_a_fence_that_would_overflow_into_its_neighbour_is_a_bug(writer: tuple[int, int, int]) -> None:
    with pytest.raises(AssertionError):
        fence(*writer)


# --- what the runs before it say --------------------------------------------------------------------------

STATIC = {spec.name: spec.timeout_s for phase in NBA.phases for spec in phase.processors}


def test_without_a_history_every_time_is_the_declared_one_and_says_so() -> None:
    plan = plan_of("same_day")
    processors = [processor for phase in plan.phases for processor in phase.processors]
    assert {p.name: p.timeout_s for p in processors} == {p.name: STATIC[p.name] for p in processors}
    assert {p.timeout_from for p in processors if p.name != "predictions"} == {"fallback"}
    assert {phase.usual_from for phase in plan.phases} == {"fallback"}
    assert [phase.usual_s for phase in plan.phases] == [p.usual_s for p in NBA.phases if p.name != "grading"]


def test_a_history_that_is_long_enough_decides_how_long_the_first_attempt_may_take() -> None:
    took = {"schedule": [5.0] * 12, "raw_schedule": [100.0] * 12, "status": [100.0] * (HISTORY_MIN - 1)}
    plan = plan_of("same_day", before=Durations(processors={**took, "tonight": [280.0] * 12}))
    found = {
        p.name: (p.timeout_of(1), p.timeout_from, p.timeout_of(2)) for phase in plan.phases for p in phase.processors
    }
    assert found["schedule"] == (60, "floor", 120)
    assert found["raw_schedule"] == (200, "history of 12", 300)
    assert found["status"] == (300, "fallback", 300)
    assert found["tonight"] == (300, "cap", 300)


def test_a_batch_has_its_declared_time_whatever_its_history_says() -> None:
    plan = plan_of("same_day", before=Durations(processors={"predictions": [10.0] * 20}))
    (predictions,) = plan.phase_by_name["predictions"].processors
    assert (predictions.timeout_s, predictions.timeout_from) == (2_400, "declared")


def test_a_phase_that_is_known_to_be_quick_leaves_those_before_it_more_time() -> None:
    quick = plan_of("same_day", before=Durations(phases={"predictions": [400.0] * 12}))
    usual, static = (plan.phase_by_name["precompute"] for plan in (quick, plan_of("same_day")))
    predictions = quick.phase_by_name["predictions"]
    assert (predictions.usual_s, predictions.usual_from) == (400, "history of 12")
    assert usual.deadline_at - static.deadline_at == timedelta(seconds=1_200 - 400)
    assert predictions.window_s == 2_400, "a later round has the declared limits, and the time for them"


def test_a_plan_that_was_written_before_there_was_a_history_still_reads() -> None:
    plan = plan_of("overnight")
    old = encode(plan)
    for field in (b'"timeout_from":"fallback",', b',"usual_from":"fallback"', b'"timeout_max_s":300,'):
        assert field in old
        old = old.replace(field, b"")
    (results, _) = decode(Plan, old).phase_by_name["export"].processors
    assert (results.timeout_of(1), results.timeout_of(2), results.timeout_from) == (300, 300, "")
