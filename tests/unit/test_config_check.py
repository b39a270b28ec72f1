"""`config check` finds every fault that can be planted in nba, and the shipped nba has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.adapters.pubsub import LEASE_S_MAX
from shared.config.check import FUNCTIONS_FILE, Problem, check
from shared.config.deployment import (
    ACK_DEADLINE_S,
    ENVIRONMENTS,
    UnknownEnvironment,
    account_of,
    environment,
    labels_of,
    secret_of,
    service_of,
    url_at,
    variables_of,
)
from shared.config.functions import (
    FUNCTIONS,
    NUDGE_TOPIC,
    PREDICTION_READY_TOPIC,
    FunctionKind,
    FunctionSpec,
    UnknownFunction,
    function,
    functions_of,
    ready_topic,
)
from shared.config.nba import MODES, NBA
from shared.config.orchestration_config import PIPELINES, UnknownPipeline, pipeline
from shared.config.settings import Cloud, Target, read_settings, url_of
from shared.core.batch import CHUNK_TIMEOUT_S
from shared.core.model import PhaseSpec, PipelineSpec, ProcessorSpec
from shared.core.plan import planned
from shared.core.timeouts import WORK_S_MAX

FILE = "shared/config/nba.py"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_shipped_pipeline_has_no_problem(name: str) -> None:
    assert check(pipeline(name), FUNCTIONS, f"shared/config/{name}.py") == ()


def with_pipeline(**changes: Any) -> PipelineSpec:
    return replace(NBA, **changes)


def with_mode(name: str, /, **changes: Any) -> PipelineSpec:
    return replace(NBA, modes=tuple(replace(mode, **changes) if mode.name == name else mode for mode in NBA.modes))


def with_phase(name: str, /, **changes: Any) -> PipelineSpec:
    return replace(NBA, phases=tuple(replace(p, **changes) if p.name == name else p for p in NBA.phases))


def with_processor(name: str, /, **changes: Any) -> PipelineSpec:
    def altered(phase: PhaseSpec) -> PhaseSpec:
        return replace(
            phase,
            processors=tuple(replace(spec, **changes) if spec.name == name else spec for spec in phase.processors),
        )

    return replace(NBA, phases=tuple(altered(phase) for phase in NBA.phases))


def with_schedule(name: str, /, **changes: Any) -> PipelineSpec:
    return replace(NBA, schedules=tuple(replace(s, **changes) if s.name == name else s for s in NBA.schedules))


EXPORT = "phases.export.processors"
STATUS = f"{EXPORT}.status"
ANALYTICS = "phases.analytics.processors"
PRECOMPUTE = "phases.precompute.processors"

NIGHT = MODES[1].after[0]

PLANTED = [
    # runs before
    pytest.param(
        with_mode("same_day", after=(replace(NIGHT, mode="nightly"),)),
        "modes.same_day.after.mode",
        "nightly",
        "is not a mode",
        "overnight, same_day, tomorrow",
        id="a run after one of an unknown mode",
    ),
    pytest.param(
        with_mode("same_day", after=(replace(NIGHT, phase="grading"),)),
        "modes.same_day.after.phase",
        "grading",
        "is not a phase that same_day plans",
        "scrape, raw, analytics",
        id="a run that waits before a phase that it does not plan",
    ),
    pytest.param(
        with_mode("same_day", after=(replace(NIGHT, days=0),)),
        "modes.same_day.after.days",
        "0",
        "starts no earlier than same_day",
        "earlier date",
        id="a run that waits for the night to come",
    ),
    pytest.param(
        with_mode("same_day", after=(replace(NIGHT, mode="same_day", days=0),)),
        "modes.same_day.after.days",
        "0",
        "starts no earlier",
        "earlier date",
        id="a run that waits for itself",
    ),
    pytest.param(
        with_mode("same_day", after=(replace(NIGHT, days=-8),)),
        "modes.same_day.after.days",
        "-8",
        "is out of range",
        "-7 to 7",
        id="a run after one of long ago",
    ),
    pytest.param(
        with_mode("same_day", after=(replace(NIGHT, grace_s=14_401),)),
        "modes.same_day.after.grace_s",
        "14401",
        "is out of range",
        "0 to 14400",
        id="a run that waits for longer than a phase may",
    ),
    # names
    pytest.param(with_pipeline(name="NBA"), "name", "NBA", "is not a name", "lower-case", id="a pipeline in capitals"),
    pytest.param(
        with_phase("grading", name="5b"),
        "phases.5b.name",
        "5b",
        "is not a name",
        "a letter first",
        id="a phase by number",
    ),
    pytest.param(
        with_phase("grading", name="end"),
        "phases.end.name",
        "end",
        "the gate behind",
        "otherwise",
        id="a phase named end",
    ),
    pytest.param(
        with_processor("status", name="sta-tus"),
        f"{EXPORT}.sta-tus.name",
        "sta-tus",
        "not a name",
        "underscores",
        id="a processor with a dash",
    ),
    pytest.param(
        with_schedule("same-day", name="Same day"),
        "schedules.Same day.name",
        "Same day",
        "is not the name of a schedule",
        "dashes",
        id="a schedule with a space",
    ),
    pytest.param(
        with_processor("status", name="results"),
        "phases.processors.results",
        "results",
        "declared twice",
        "rename",
        id="two processors of one name in a phase",
    ),
    pytest.param(
        with_processor("status", name="schedule"),
        "phases.processors.schedule",
        "schedule",
        "declared twice",
        "rename",
        id="two processors of one name in two phases",
    ),
    pytest.param(
        with_phase("grading", name="predictions"),
        "phases.predictions",
        "predictions",
        "declared twice",
        "rename",
        id="two phases of one name",
    ),
    pytest.param(
        with_pipeline(modes=(*NBA.modes, replace(NBA.modes[0], name="watch"))),
        "modes.watch.name",
        "watch",
        "record",
        "name it otherwise",
        id="a mode that is the record of what is about no run",
    ),
    pytest.param(
        with_pipeline(modes=(*NBA.modes, NBA.modes[0])),
        "modes.overnight",
        "overnight",
        "declared twice",
        "rename",
        id="two modes of one name",
    ),
    pytest.param(
        with_schedule("same-day", name="tomorrow"),
        "schedules.tomorrow",
        "tomorrow",
        "declared twice",
        "rename",
        id="two schedules of one name",
    ),
    # zone and modes
    pytest.param(
        with_pipeline(zone="America/Gotham"), "zone", "America/Gotham", "not a time zone", "IANA", id="a city of comics"
    ),
    pytest.param(with_pipeline(zone="America"), "zone", "America", "not a time zone", "IANA", id="a continent as zone"),
    pytest.param(
        with_pipeline(zone="../../passwd"), "zone", "../../passwd", "not a time zone", "IANA", id="a path as zone"
    ),
    pytest.param(
        with_schedule("same-day", zone="ET"),
        "schedules.same-day.zone",
        "ET",
        "not a time zone",
        "IANA",
        id="a schedule's zone by nickname",
    ),
    pytest.param(
        with_mode("overnight", starts_at="25:00", deadline_days=2),
        "modes.overnight.starts_at",
        "25:00",
        "not a time of day",
        "00:00 to 23:59",
        id="a start at 25:00",
    ),
    pytest.param(
        with_mode("overnight", deadline="9:00"),
        "modes.overnight.deadline",
        "9:00",
        "not a time of day",
        "HH:MM",
        id="a deadline with one digit",
    ),
    pytest.param(
        with_mode("overnight", deadline="05:59"),
        "modes.overnight.deadline",
        "05:59 +1 d",
        "not after the usual start, 06:00 +1 d",
        "move one",
        id="a deadline before the start",
    ),
    pytest.param(
        with_mode("overnight", deadline_days=0),
        "modes.overnight.deadline",
        "09:00 +0 d",
        "not after the usual start",
        "move one",
        id="a deadline on the day before the start",
    ),
    pytest.param(
        with_mode("tomorrow", start_days=-8),
        "modes.tomorrow.start_days",
        "-8",
        "range",
        "-7 to 7",
        id="a start a week off",
    ),
    pytest.param(
        with_mode("tomorrow", deadline_days=8),
        "modes.tomorrow.deadline_days",
        "8",
        "range",
        "-7 to 7",
        id="a deadline a week off",
    ),
    pytest.param(
        with_mode("tomorrow", as_of_days=99), "modes.tomorrow.as_of_days", "99", "range", "-7 to 7", id="a far as_of"
    ),
    pytest.param(
        with_mode("tomorrow", precedence={**NBA.modes[2].precedence, "as_of": 100}),
        "modes.tomorrow.precedence.as_of",
        "100",
        "range",
        "0 to 99",
        id="a precedence of three digits",
    ),
    # one phase
    pytest.param(
        with_phase("export", quorum=1.01), "phases.export.quorum", "1.01", "range", "0 to 1", id="a quorum above all"
    ),
    pytest.param(
        with_phase("export", quorum=float("nan")),
        "phases.export.quorum",
        "nan",
        "range",
        "0 to 1",
        id="a quorum of NaN",
    ),
    pytest.param(
        with_phase("export", quorum_by_mode={"same_day": -0.1}),
        "phases.export.quorum_by_mode.same_day",
        "-0.1",
        "range",
        "0 to 1",
        id="a mode's quorum below zero",
    ),
    pytest.param(
        with_phase("export", quorum_by_mode={"sameday": 0.5}),
        "phases.export.quorum_by_mode",
        "sameday",
        "is not a mode",
        "overnight, same_day, tomorrow",
        id="a quorum for an unknown mode",
    ),
    pytest.param(
        with_phase("export", usual_s=14_401), "phases.export.usual_s", "14401", "range", "1 to 14400", id="too usual"
    ),
    pytest.param(
        with_phase("export", readings=("health", "weather")),
        "phases.export.readings",
        "weather",
        "is not a reading",
        "use one of: health, freshness, completeness, sanity",
        id="a reading that nobody takes",
    ),
    pytest.param(
        with_phase("export", readings=("health", "sanity", "health"), fails_closed=()),
        "phases.export.readings",
        "health",
        "is asked for twice",
        "remove one of them",
        id="a reading twice",
    ),
    pytest.param(
        with_phase("export", readings=("health",), fails_closed=("sanity",)),
        "phases.export.fails_closed",
        "sanity",
        "is not a reading that this gate asks for",
        "use one of: health",
        id="a gate that fails closed by what it does not ask for",
    ),
    pytest.param(
        with_phase("grading", fails_closed=("sanity",)),
        "phases.grading.fails_closed",
        "sanity",
        "is not a reading that this gate asks for",
        "none is known yet",
        id="a gate that fails closed and asks for nothing",
    ),
    pytest.param(
        with_processor("status", quality_min=50.0),
        f"{STATUS}.quality_min",
        "50.0",
        "range",
        "from 0 (nothing asked) to 1",
        id="a share in per cent",
    ),
    pytest.param(
        with_processor("status", weight=0.0),
        f"{STATUS}.weight",
        "0.0",
        "range",
        "more than 0",
        id="a weight of nothing",
    ),
    pytest.param(
        with_processor("status", weight=100.5), f"{STATUS}.weight", "100.5", "range", "at most 100", id="too heavy"
    ),
    pytest.param(
        with_processor("status", weight=float("nan")),
        f"{STATUS}.weight",
        "nan",
        "range",
        "at most 100",
        id="weight NaN",
    ),
    pytest.param(
        with_processor("status", timeout_s=0), f"{STATUS}.timeout_s", "0", "range", "1 to 570", id="no time to work"
    ),
    pytest.param(
        with_processor("status", timeout_s=571),
        f"{STATUS}.timeout_s",
        "571",
        "range",
        "1 to 570",
        id="longer than a push is waited for",
    ),
    pytest.param(
        with_processor("status", grace_s=-1), f"{STATUS}.grace_s", "-1", "range", "0 to 14400", id="a negative grace"
    ),
    pytest.param(
        with_processor("status", attempts_max=21), f"{STATUS}.attempts_max", "21", "range", "1 to 20", id="21 attempts"
    ),
    pytest.param(
        with_processor("status", attempts_max=0), f"{STATUS}.attempts_max", "0", "range", "1 to 20", id="no attempts"
    ),
    pytest.param(with_processor("status", looks_max=0), f"{STATUS}.looks_max", "0", "range", "1 to 500", id="no looks"),
    pytest.param(with_processor("status", retry_s=0), f"{STATUS}.retry_s", "0", "range", "1 to 14400", id="no pause"),
    pytest.param(
        with_processor("status", look_again_s=99_999),
        f"{STATUS}.look_again_s",
        "99999",
        "range",
        "1 to",
        id="a long pause",
    ),
    pytest.param(
        with_processor("status", late_days=8), f"{STATUS}.late_days", "8", "range", "0 to 7", id="late by eight days"
    ),
    pytest.param(
        with_processor("results", critical=("overnite",)),
        f"{EXPORT}.results.critical",
        "overnite",
        "is not a mode: nothing plans it",
        "overnight, same_day, tomorrow",
        id="critical in a mode that does not exist",
    ),
    pytest.param(
        with_processor("status", optional=("same_day", "today")),
        f"{STATUS}.optional",
        "today",
        "is not a mode: nothing plans it",
        "overnight, same_day, tomorrow",
        id="optional in a mode that does not exist",
    ),
    pytest.param(
        with_processor("status", critical=("same_day",)),
        f"{STATUS}.optional",
        "same_day",
        "is critical in same_day too",
        "remove the mode from one",
        id="critical and optional in one mode",
    ),
    pytest.param(
        with_processor("status", optional=()),
        f"{STATUS}.critical",
        "()",
        "is in no mode",
        "overnight, same_day, tomorrow",
        id="a processor in no mode",
    ),
    pytest.param(
        with_processor("tonight", partition="season"),
        f"{EXPORT}.tonight.partition",
        "season",
        "has no precedence in same_day",
        "add season to modes.same_day.precedence",
        id="a partition without a precedence",
    ),
    # edges inside a phase
    pytest.param(
        with_processor("tonight", needs=("result",)),
        f"{EXPORT}.tonight.needs",
        "result",
        "is not a processor of phase export",
        "name one of: results, tonight, status",
        id="needs a name with a typo",
    ),
    pytest.param(
        with_processor("tonight", after=("predictions",)),
        f"{EXPORT}.tonight.after",
        "predictions",
        "is not a processor of phase export",
        "what comes before a phase is its gate's",
        id="runs after a processor of another phase",
    ),
    pytest.param(
        with_processor("tonight", needs=("status",)),
        f"{EXPORT}.tonight.needs",
        "status",
        "is optional in same_day, where tonight is critical",
        "make status critical in same_day, or run after it",
        id="a critical processor needs an optional one",
    ),
    pytest.param(
        with_processor("team_offense_game_summary", after=("player_game_summary",)),
        ANALYTICS,
        "player_game_summary -> team_offense_game_summary -> player_game_summary",
        "is a cycle",
        "remove one of its edges",
        id="a cycle of needs and after",
    ),
    pytest.param(
        with_processor("status", after=("status",)),
        EXPORT,
        "status -> status",
        "is a cycle",
        "remove one of its edges",
        id="a processor that waits for itself",
    ),
    # between phases
    pytest.param(
        with_phase("raw", completion_topic="nba-phase2-done"),
        "phases.raw.completion_topic",
        "nba-phase2-done",
        "is an edge without a gate",
        f"let a gate in {FUNCTIONS_FILE} listen",
        id="an edge without a gate",
    ),
    pytest.param(
        with_phase("raw", completion_topic="nba-export-start"),
        "phases.raw.completion_topic",
        "nba-export-start",
        "is an edge without a gate",
        "let a gate",
        id="a service is no gate",
    ),
    pytest.param(
        with_phase("raw", start_topic="nba-raw-begin"),
        "phases.raw.start_topic",
        "nba-raw-begin",
        "has no listener",
        f"let a service in {FUNCTIONS_FILE} listen",
        id="a start topic without a listener",
    ),
    pytest.param(
        with_phase("raw", start_topic="nba-phase2-raw-complete"),
        "phases.raw.start_topic",
        "nba-phase2-raw-complete",
        "has no listener",
        "let a service",
        id="a gate does no work",
    ),
    pytest.param(
        with_phase("raw", start_topic="nba-scrape-start"),
        "phases.topics",
        "nba-scrape-start",
        "is used twice",
        "its own",
        id="a start topic used twice",
    ),
    pytest.param(
        with_phase("raw", completion_topic="nba-grading-complete"),
        "phases.topics",
        "nba-grading-complete",
        "is used twice",
        "its own",
        id="a completion topic used twice",
    ),
    pytest.param(
        with_processor("results", unit="game"),
        f"{EXPORT}.results.unit",
        "game",
        "is not an expectation that a processor finds",
        "games, next_games, players",
        id="an unknown unit",
    ),
    pytest.param(
        with_pipeline(expects="teams"),
        "expects",
        "teams",
        "is not an expectation that a processor finds",
        "games, next_games, players",
        id="a pipeline that expects what nobody finds",
    ),
    pytest.param(
        with_pipeline(withdraws="tickets"),
        "withdraws",
        "tickets",
        "is not an expectation that a processor finds",
        "announced, games, next_games, players",
        id="a pipeline that withdraws what nobody finds",
    ),
    # schedules
    *(
        pytest.param(
            with_schedule("same-day", cron=cron),
            "schedules.same-day.cron",
            cron,
            f"is not a cron line: {reason}",
            "five fields, like 30 10 * * *",
            id=f"a cron line with {reason}",
        )
        for cron, reason in [
            ("30 25 * * *", "Bad hour"),
            ("0 30 10 * * *", "6 fields"),
            ("", "0 fields"),
            ("0 0 31 2 *", "Bad day-of-month"),
        ]
    ),
    pytest.param(
        with_schedule("same-day", act="run"),
        "schedules.same-day.act",
        "run",
        "not an act",
        "start, nudge, sweep, recover",
        id="an unknown act",
    ),
    pytest.param(
        with_schedule("same-day", mode="sameday"),
        "schedules.same-day.mode",
        "sameday",
        "is not a mode",
        "overnight, same_day, tomorrow",
        id="a schedule in an unknown mode",
    ),
    pytest.param(
        with_schedule("same-day", mode=""),
        "schedules.same-day.mode",
        "",
        "is not a mode",
        "overnight",
        id="a start without a mode",
    ),
    pytest.param(
        with_schedule("self-heal", mode="x"),
        "schedules.self-heal.mode",
        "x",
        "is not a mode",
        "overnight",
        id="a sweep of x",
    ),
    pytest.param(
        with_schedule("same-day", date="NOW"),
        "schedules.same-day.date",
        "NOW",
        "is not a date word",
        "YESTERDAY, TODAY, TOMORROW",
        id="an unknown date word",
    ),
    pytest.param(
        with_schedule("self-heal", date="NOW"),
        "schedules.self-heal.date",
        "NOW",
        "not a date",
        "TODAY",
        id="a sweep of now",
    ),
    pytest.param(
        with_schedule("stalled-batch-recovery", mode="x"),
        "schedules.stalled-batch-recovery.mode",
        "x",
        "is not a mode",
        "overnight",
        id="a recovery of x",
    ),
    pytest.param(
        with_schedule("stalled-batch-recovery", act="nudge"),
        "schedules.stalled-batch-recovery.mode",
        "",
        "is not a mode",
        "overnight",
        id="a nudge without a mode",
    ),
    pytest.param(
        with_schedule("self-heal", wakes=("self_heal", "raw_processor")),
        "schedules.self-heal.wakes",
        "raw_processor",
        "is not a function that hears nba-nudge",
        "self_heal, prediction_coordinator",
        id="a schedule that wakes one who would not understand it",
    ),
    pytest.param(
        with_schedule("self-heal", wakes=("self_heal", "self_heal")),
        "schedules.self-heal.wakes",
        "self_heal",
        "woken twice",
        "remove one",
        id="a schedule that wakes one twice",
    ),
    pytest.param(
        with_schedule("self-heal", wakes=()),
        "schedules.self-heal.wakes",
        "()",
        "wakes nobody",
        "name a function that hears nba-nudge",
        id="a schedule that wakes nobody",
    ),
]


@pytest.mark.parametrize(("spec", "key", "value", "problem", "remedy"), PLANTED)
def test_a_planted_fault_is_found_with_its_key_value_and_remedy(
    spec: PipelineSpec, key: str, value: str, problem: str, remedy: str
) -> None:
    found = [fault for fault in check(spec, FUNCTIONS, FILE) if (fault.key, fault.value) == (key, value)]
    assert any(problem in fault.problem and remedy in fault.remedy for fault in found), found
    assert {fault.file for fault in found} == {FILE}


@pytest.mark.parametrize(
    ("name", "where"),
    [
        pytest.param("Phase1", ("functions.Phase1.name", "Phase1"), id="a function in capitals"),
        pytest.param("self_heal", ("functions.self_heal", "self_heal"), id="two functions of one name"),
    ],
)
def test_a_fault_of_a_function_is_found_in_its_own_file(name: str, where: tuple[str, str]) -> None:
    functions = (*FUNCTIONS, FunctionSpec(name, (NUDGE_TOPIC,), FunctionKind.GATE))
    (fault,) = check(NBA, functions, FILE)
    assert (fault.file, fault.key, fault.value) == (FUNCTIONS_FILE, *where)


@pytest.mark.parametrize(
    ("changes", "field", "value", "problem", "remedy"),
    [
        pytest.param({"memory_mb": 64}, "memory_mb", "64", "out of range", "128 to 32768", id="hardly any memory"),
        pytest.param({"cpu": 9.0, "memory_mb": 4096}, "cpu", "9.0", "out of range", "0.08 to 8", id="nine processors"),
        pytest.param({"concurrency": 0}, "concurrency", "0", "out of range", "1 to 1000", id="no request at a time"),
        pytest.param(
            {"min_instances": 6, "max_instances": 9},
            "min_instances",
            "6",
            "out of range",
            "0 to 5",
            id="a costly minimum",
        ),
        pytest.param({"max_instances": 0}, "max_instances", "0", "out of range", "1 to 100", id="no instance"),
        pytest.param(
            {"min_instances": 4, "max_instances": 3},
            "max_instances",
            "3",
            "out of range",
            "4 to 100",
            id="fewer instances than the minimum",
        ),
        pytest.param(
            {"timeout_s": 601}, "timeout_s", "601", "out of range", "1 to 600", id="work that its message outruns"
        ),
        pytest.param(
            {"cpu": 0.5}, "cpu", "0.5", "several requests", "concurrency to 1", id="half a processor for eight"
        ),
        pytest.param(
            {"cpu": 0.25, "concurrency": 1, "memory_mb": 1024},
            "cpu",
            "0.25",
            "too little for 1024 MB",
            "0.5 or more",
            id="much memory for a quarter of a processor",
        ),
        pytest.param({"memory_mb": 8192}, "cpu", "1.0", "too little for 8192 MB", "2 or more", id="8 GB for one"),
        pytest.param(
            {"cpu": 4.0, "memory_mb": 1024},
            "memory_mb",
            "1024",
            "too little for 4 processors",
            "2048 or more",
            id="four processors that share little memory",
        ),
        pytest.param({"name": "gate"}, "name", "gate", "service account", "6 to 30", id="too short for an account"),
        pytest.param(
            {"name": "gate_of_all_the_phases_there_are"},
            "name",
            "gate_of_all_the_phases_there_are",
            "service account",
            "6 to 30",
            id="too long for an account",
        ),
        pytest.param({"secrets": ("key",)}, "secrets", "key", "name of a variable", "capitals", id="a secret's name"),
        pytest.param({"secrets": ("KEY", "KEY")}, "secrets", "KEY", "named twice", "remove", id="a secret twice"),
    ],
)
def test_what_google_would_refuse_or_not_keep_is_found_before(
    changes: dict[str, Any], field: str, value: str, problem: str, remedy: str
) -> None:
    spec = replace(function("raw_processor"), **{"name": "another_gate", "concurrency": 8, "cpu": 1.0, **changes})
    (fault,) = check(NBA, (*FUNCTIONS, spec), FILE)
    assert (fault.file, fault.key, fault.value) == (FUNCTIONS_FILE, f"functions.{spec.name}.{field}", value)
    assert problem in fault.problem
    assert remedy in fault.remedy


def test_a_function_is_stopped_when_its_message_comes_again_and_not_before_its_work_is_over() -> None:
    assert ACK_DEADLINE_S == LEASE_S_MAX
    working = [spec for spec in FUNCTIONS if spec.name.endswith("_processor")]
    assert {spec.timeout_s for spec in working} == {WORK_S_MAX + 30}
    assert all(spec.timeout_s > CHUNK_TIMEOUT_S for spec in FUNCTIONS if spec.name.endswith("_worker"))


def test_what_is_deployed_is_named_after_the_functions_folder() -> None:
    dev = environment("dev")
    assert service_of("self_heal") == "self-heal"
    assert account_of("self_heal", "tipoff-dev") == "self-heal@tipoff-dev.iam.gserviceaccount.com"
    assert url_at(dev, "self_heal") == "https://self-heal-100000000001.us-central1.run.app"
    assert secret_of("SLACK_WEBHOOK_URL") == "slack-webhook-url"
    with pytest.raises(UnknownEnvironment, match=r"environment 'test': shared/config/deployment.py declares dev, prod"):
        environment("test")


@pytest.mark.parametrize("name", [each.name for each in ENVIRONMENTS])
def test_a_deployed_function_can_read_its_variables(name: str) -> None:
    there = environment(name)
    settings = read_settings(variables_of(there, function("self_heal"), "0123abc"), needs=["TIPOFF_DATA"])
    assert settings.target is Target.GCP
    assert settings.cloud == Cloud(
        project=there.project, location=there.location, dataset_prefix="", exports=there.exports
    )
    assert url_of(settings.services, "self_heal") == url_at(there, "self_heal")
    assert labels_of(function("self_heal"), "0123abc", "f00")["commit"] == settings.commit


@pytest.mark.parametrize(("name", "threads"), [("self_heal", "8"), ("raw_processor", "4"), ("prediction_worker", "2")])
def test_a_function_has_a_thread_for_each_request_that_it_is_sent(name: str, threads: str) -> None:
    assert variables_of(environment("dev"), function(name), "0123abc")["THREADS"] == threads


def test_all_problems_come_at_once() -> None:
    spec = replace(with_processor("status", weight=0.0, timeout_s=0, needs=("x", "y")), zone="ET", expects="x")
    keys = [fault.key for fault in check(spec, FUNCTIONS, FILE)]
    assert keys == ["zone", f"{STATUS}.weight", f"{STATUS}.timeout_s", f"{STATUS}.needs", f"{STATUS}.needs", "expects"]


def test_a_wholly_broken_pipeline_is_described_and_breaks_nothing() -> None:
    processor = ProcessorSpec(name="", needs=("",), after=("",), critical=("",), unit="x")
    phase = PhaseSpec(name="", label="", completion_topic="", start_topic="", processors=(processor, processor))
    spec = PipelineSpec(name="", zone="", modes=(), phases=(phase, phase), schedules=(), expects="")
    assert len(check(spec, (), FILE)) > 10


def test_a_problem_reads_as_one_line() -> None:
    problem = Problem(file=FILE, key="zone", value="ET", problem="is not a time zone", remedy="use another")
    assert str(problem) == "shared/config/nba.py: zone = ET: is not a time zone; use another"


def test_a_phase_with_optional_processors_never_opens_on_its_criticals_alone() -> None:
    """Except phase 3 of the modes ahead, whose quorum says so."""
    alone = {
        f"{phase.name} {mode.name}"
        for phase in NBA.phases
        for mode in NBA.modes
        if (members := planned(phase, mode.name))
        and any(mode.name in spec.optional for spec in members)
        and sum(spec.weight for spec in members if mode.name in spec.critical)
        >= phase.quorum_by_mode.get(mode.name, phase.quorum) * sum(spec.weight for spec in members)
    }
    assert alone == {"analytics same_day", "analytics tomorrow"}


def test_an_unknown_pipeline_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownPipeline, match="pipeline: 'nfl' is not declared in shared/config; use one of: nba"):
        pipeline("nfl")


def test_a_pipelines_functions_are_its_own() -> None:
    every = [spec for name in ("nba", "mlb") for spec in functions_of(name)]
    assert sorted(spec.name for spec in every) == sorted(spec.name for spec in FUNCTIONS)
    assert functions_of("mlb") == (function("mlb_prediction_worker"),)
    assert not {topic for spec in functions_of("mlb") for topic in spec.listens} & {
        topic for spec in functions_of("nba") for topic in spec.listens
    }, "no order of one pipeline is done by the other's workers"
    assert functions_of("nfl") == ()


def test_each_pipelines_workers_speak_on_a_topic_of_their_own() -> None:
    assert (ready_topic("nba"), ready_topic("mlb")) == (PREDICTION_READY_TOPIC, "mlb-prediction-ready")
    assert PREDICTION_READY_TOPIC in function("prediction_coordinator").listens


def test_an_unknown_function_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnknownFunction, match="function 'referee': declared are phase1_to_phase2, "):
        function("referee")


def test_work_ends_before_the_push_that_ordered_it_comes_again() -> None:
    assert WORK_S_MAX + 30 <= LEASE_S_MAX
