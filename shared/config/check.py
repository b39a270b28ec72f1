"""`config check`: everything that is wrong with a pipeline's declaration, before it is deployed, for its author."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from shared.config.deployment import ACK_DEADLINE_S, service_of
from shared.config.functions import NUDGE_TOPIC, PREDICTION_START_TOPIC, FunctionKind, FunctionSpec
from shared.core.calendar import DATE_WORDS
from shared.core.model import END, NAME, WATCH, ModeSpec, PhaseSpec, PipelineSpec, ProcessorSpec, RunAfter
from shared.core.readings import COMPLETENESS, FRESHNESS, HEALTH, SANITY
from shared.core.timeouts import WORK_S_MAX

FUNCTIONS_FILE = "shared/config/functions.py"
READINGS = (HEALTH, FRESHNESS, COMPLETENESS, SANITY)  # those that a phase may name; nobody reads another
ACTS = ("start", "nudge", "sweep", "recover", "summary")

JOB_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")  # a schedule's: people know them with dashes
CLOCK_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
CRON_FIELDS = 5  # Cloud Scheduler knows no seconds

WEIGHT_MAX = 100.0  # beyond it one processor alone decides every quorum
FENCE_RANK_MAX = 99  # two digits of the fence
DAYS_MAX = 7  # a run further from its date than a week is a backfill
PHASE_S_MAX = 14_400  # timeouts.CAP: the longest one phase may hold up the rest
BATCH_S_MAX = 3_600  # no request lasts as long as a batch: it is many
ATTEMPTS_MAX = 20  # further failures tell nothing new
LOOKS_MAX = 500  # at five minutes each, more than a day

# Of Cloud Functions of the second generation and Cloud Run, as documented.
MEMORY_MB = (128, 32_768)
CPU = (0.08, 8.0)
CPU_ABOVE_MB = ((512, 0.5), (1_024, 1.0), (4_096, 2.0), (8_192, 4.0), (16_384, 6.0), (24_576, 8.0))
"""More memory than this needs at least so many processors."""
MEMORY_MB_BY_CPU = ((6.0, 4_096), (4.0, 2_048))
"""So many processors need at least so much memory."""
CONCURRENCY_MAX = 1_000
INSTANCES_MAX = 100  # a region's quota for a new project; more has to be asked for
MIN_INSTANCES_MAX = 5  # each is paid for around the clock
ACCOUNT_LENGTH = (6, 30)  # of a service account's id, which is the function's name
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault: where it stands, what stands there, why that cannot work, and what to do."""

    file: str
    key: str
    value: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key} = {self.value}: {self.problem}; {self.remedy}"


Fault = tuple[str, object, str, str]
"""Key, value, problem, remedy."""


def check(spec: PipelineSpec, functions: Sequence[FunctionSpec], file: str) -> tuple[Problem, ...]:
    """All problems, not the first. A pipeline without any can be planned in each of its modes."""
    faults = chain(
        _names(spec),
        _duplicates(spec),
        _zones(spec),
        _modes(spec),
        chain.from_iterable(_phase(spec, phase) for phase in spec.phases),
        _topics(spec, functions),
        _expectations(spec),
        _schedules(spec, functions),
    )
    return (
        *(Problem(file=file, key=key, value=str(value), problem=why, remedy=do) for key, value, why, do in faults),
        *(
            Problem(file=FUNCTIONS_FILE, key=key, value=str(value), problem=why, remedy=do)
            for key, value, why, do in _functions(functions)
        ),
    )


# --- names --------------------------------------------------------------------------------------------


def _names(spec: PipelineSpec) -> Iterator[Fault]:
    yield from _bad_name("name", spec.name)
    for mode in spec.modes:
        yield from _bad_name(f"modes.{mode.name}.name", mode.name)
    for phase in spec.phases:
        yield from _bad_name(f"phases.{phase.name}.name", phase.name)
        if phase.name == END:
            yield f"phases.{END}.name", END, "is the gate behind the last phase", "name the phase otherwise"
        for processor in phase.processors:
            yield from _bad_name(f"{_key(phase, processor)}.name", processor.name)
    for schedule in spec.schedules:
        if not JOB_NAME.fullmatch(schedule.name):
            remedy = "use lower-case letters, digits and dashes, a letter first, 63 at most"
            yield f"schedules.{schedule.name}.name", schedule.name, "is not the name of a schedule", remedy


def _bad_name(key: str, name: str) -> Iterator[Fault]:
    if not NAME.fullmatch(name):
        remedy = "use lower-case letters, digits and underscores, a letter first, 63 at most"
        yield key, name, "is not a name", remedy


def _key(phase: PhaseSpec, processor: ProcessorSpec) -> str:
    return f"phases.{phase.name}.processors.{processor.name}"


def _duplicates(spec: PipelineSpec) -> Iterator[Fault]:
    names = {
        "modes": [mode.name for mode in spec.modes],
        "phases": [phase.name for phase in spec.phases],
        "phases.processors": [processor.name for phase in spec.phases for processor in phase.processors],
        "schedules": [schedule.name for schedule in spec.schedules],
    }
    for key, found in names.items():
        for name in _repeated(found):
            yield f"{key}.{name}", name, "is declared twice in this pipeline", "rename or remove one of them"


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def _functions(functions: Sequence[FunctionSpec]) -> Iterator[Fault]:
    for function in functions:
        yield from _bad_name(f"functions.{function.name}.name", function.name)
        yield from _deployed(f"functions.{function.name}", function)
    for name in _repeated([function.name for function in functions]):
        yield f"functions.{name}", name, "is declared twice", "rename or remove one of them"


def _deployed(key: str, function: FunctionSpec) -> Iterator[Fault]:
    """What Google would refuse after minutes of building, or take and not keep."""
    yield from _outside(f"{key}.memory_mb", function.memory_mb, *MEMORY_MB)
    yield from _outside(f"{key}.cpu", function.cpu, *CPU)
    yield from _outside(f"{key}.concurrency", function.concurrency, 1, CONCURRENCY_MAX)
    yield from _outside(f"{key}.min_instances", function.min_instances, 0, MIN_INSTANCES_MAX)
    yield from _outside(f"{key}.max_instances", function.max_instances, max(1, function.min_instances), INSTANCES_MAX)
    yield from _outside(f"{key}.timeout_s", function.timeout_s, 1, ACK_DEADLINE_S)  # longer, and it runs beside itself
    if function.cpu < 1 and function.concurrency > 1:
        problem = "is too little for several requests at a time"
        yield f"{key}.cpu", function.cpu, problem, "use 1 or more, or set concurrency to 1"
    cpu_min = max((cpu for above, cpu in CPU_ABOVE_MB if function.memory_mb > above), default=0.0)
    if function.cpu < cpu_min:
        problem = f"is too little for {function.memory_mb} MB"
        yield f"{key}.cpu", function.cpu, problem, f"use {cpu_min:g} or more, or less memory"
    for cpu, memory_mb in MEMORY_MB_BY_CPU:
        if function.cpu >= cpu and function.memory_mb < memory_mb:
            problem = f"is too little for {function.cpu:g} processors"
            yield f"{key}.memory_mb", function.memory_mb, problem, f"use {memory_mb} or more, or fewer processors"
            break
    if not ACCOUNT_LENGTH[0] <= len(service_of(function.name)) <= ACCOUNT_LENGTH[1]:
        problem = "cannot name a service account"
        yield f"{key}.name", function.name, problem, "use {} to {} characters".format(*ACCOUNT_LENGTH)
    for name in function.secrets:
        if not VARIABLE.fullmatch(name):
            yield f"{key}.secrets", name, "is not the name of a variable", "use capitals, digits and underscores"
    for name in _repeated(function.secrets):
        yield f"{key}.secrets", name, "is named twice", "remove one of them"


# --- zone, modes, amounts -----------------------------------------------------------------------------


def _zones(spec: PipelineSpec) -> Iterator[Fault]:
    zones = {"zone": spec.zone} | {f"schedules.{schedule.name}.zone": schedule.zone for schedule in spec.schedules}
    for key, zone in zones.items():
        try:
            ZoneInfo(zone)
        except (KeyError, ValueError, OSError):  # not found; not a key; a folder of zones
            yield key, zone, "is not a time zone", "use a name of the IANA database, like America/New_York"


def _modes(spec: PipelineSpec) -> Iterator[Fault]:
    for mode in spec.modes:
        key = f"modes.{mode.name}"
        if mode.name == WATCH:
            yield f"{key}.name", mode.name, "is the record of what is about no run", "name it otherwise"
        times = {"starts_at": mode.starts_at, "deadline": mode.deadline}
        for field, clock_time in times.items():
            if not CLOCK_TIME.fullmatch(clock_time):
                yield f"{key}.{field}", clock_time, "is not a time of day", "use HH:MM from 00:00 to 23:59"
        if (mode.deadline_days, mode.deadline) <= (mode.start_days, mode.starts_at):
            value = f"{mode.deadline} {mode.deadline_days:+d} d"
            start = f"{mode.starts_at} {mode.start_days:+d} d"
            yield f"{key}.deadline", value, f"is not after the usual start, {start}", "move one of them"
        for field, days in (
            ("start_days", mode.start_days),
            ("deadline_days", mode.deadline_days),
            ("as_of_days", mode.as_of_days),
        ):
            yield from _outside(f"{key}.{field}", days, -DAYS_MAX, DAYS_MAX)
        for column, rank in mode.precedence.items():
            yield from _outside(f"{key}.precedence.{column}", rank, 0, FENCE_RANK_MAX)
        for after in mode.after:
            yield from _run_after(spec, mode, after)


def _run_after(spec: PipelineSpec, mode: ModeSpec, after: RunAfter) -> Iterator[Fault]:
    """Whom a run waits for must begin before it: so no two ever wait for each other."""
    key = f"modes.{mode.name}.after"
    phases = [phase.name for phase in spec.phases if any(_class_in(processor, mode) for processor in phase.processors)]
    yield from _unknown(f"{key}.phase", after.phase, f"a phase that {mode.name} plans", phases)
    yield from _outside(f"{key}.grace_s", after.grace_s, 0, PHASE_S_MAX)
    yield from _outside(f"{key}.days", after.days, -DAYS_MAX, DAYS_MAX)
    yield from _unknown(f"{key}.mode", after.mode, "a mode", [known.name for known in spec.modes])
    for before in spec.modes:
        if before.name == after.mode:
            begins = (after.days + before.start_days, before.starts_at)
            if begins >= (mode.start_days, mode.starts_at):
                problem = f"starts no earlier than {mode.name}, which waits for it"
                yield f"{key}.days", after.days, problem, "name an earlier date"


def _outside(key: str, value: float, low: float, high: float) -> Iterator[Fault]:
    if not low <= value <= high:
        yield key, value, "is out of range", f"use {low:g} to {high:g}"


# --- one phase ----------------------------------------------------------------------------------------


def _phase(spec: PipelineSpec, phase: PhaseSpec) -> Iterator[Fault]:
    key = f"phases.{phase.name}"
    yield from _outside(f"{key}.quorum", phase.quorum, 0, 1)
    for mode, quorum in phase.quorum_by_mode.items():
        yield from _outside(f"{key}.quorum_by_mode.{mode}", quorum, 0, 1)
        yield from _unknown(f"{key}.quorum_by_mode", mode, "a mode", [mode.name for mode in spec.modes])
    if phase.usual_s is not None:
        yield from _outside(f"{key}.usual_s", phase.usual_s, 1, PHASE_S_MAX)
    for reading in phase.readings:
        yield from _unknown(f"{key}.readings", reading, "a reading", READINGS)
    for reading in _repeated(phase.readings):
        yield f"{key}.readings", reading, "is asked for twice", "remove one of them"
    for reading in phase.fails_closed:
        yield from _unknown(f"{key}.fails_closed", reading, "a reading that this gate asks for", phase.readings)
    for processor in phase.processors:
        fans_out = phase.start_topic == PREDICTION_START_TOPIC
        yield from _amounts(_key(phase, processor), processor, BATCH_S_MAX if fans_out else WORK_S_MAX)
        yield from _classes(spec, _key(phase, processor), processor)
        yield from _edges(spec, phase, processor)
    yield from _cycle(phase)


def _unknown(key: str, name: str, what: str, known: Sequence[str]) -> Iterator[Fault]:
    if name not in known:
        yield key, name, f"is not {what}", f"use one of: {', '.join(known) or 'none is known yet'}"


def _amounts(key: str, processor: ProcessorSpec, timeout_s_max: int) -> Iterator[Fault]:
    if not 0 <= processor.quality_min <= 1:
        yield f"{key}.quality_min", processor.quality_min, "is out of range", "use a share, from 0 (nothing asked) to 1"
    if not 0 < processor.weight <= WEIGHT_MAX:
        yield f"{key}.weight", processor.weight, "is out of range", f"use more than 0, at most {WEIGHT_MAX:g}"
    for field, amount, low, high in (
        ("timeout_s", processor.timeout_s, 1, timeout_s_max),
        ("grace_s", processor.grace_s, 0, PHASE_S_MAX),
        ("attempts_max", processor.attempts_max, 1, ATTEMPTS_MAX),
        ("looks_max", processor.looks_max, 1, LOOKS_MAX),
        ("retry_s", processor.retry_s, 1, PHASE_S_MAX),
        ("look_again_s", processor.look_again_s, 1, PHASE_S_MAX),
        ("late_days", processor.late_days, 0, DAYS_MAX),
    ):
        yield from _outside(f"{key}.{field}", amount, low, high)


def _classes(spec: PipelineSpec, key: str, processor: ProcessorSpec) -> Iterator[Fault]:
    known = [mode.name for mode in spec.modes]
    for field, modes in (("critical", processor.critical), ("optional", processor.optional)):
        for mode in modes:
            yield from _unknown(f"{key}.{field}", mode, "a mode: nothing plans it", known)
    for mode in processor.critical:
        if mode in processor.optional:
            yield f"{key}.optional", mode, f"is critical in {mode} too", "remove the mode from one of them"
    if not processor.critical and not processor.optional:
        remedy = f"name its modes as critical or optional: {', '.join(known)}"
        yield f"{key}.critical", processor.critical, "is in no mode", remedy
    for declared in spec.modes:
        if _class_in(processor, declared) and processor.partition not in declared.precedence:
            remedy = f"add {processor.partition} to modes.{declared.name}.precedence"
            yield f"{key}.partition", processor.partition, f"has no precedence in {declared.name}", remedy


def _class_in(processor: ProcessorSpec, mode: ModeSpec) -> str:
    if mode.name in processor.critical:
        return "critical"
    return "optional" if mode.name in processor.optional else ""


def _edges(spec: PipelineSpec, phase: PhaseSpec, processor: ProcessorSpec) -> Iterator[Fault]:
    key = _key(phase, processor)
    members = {member.name: member for member in phase.processors}
    for field, names in (("needs", processor.needs), ("after", processor.after)):
        for name in names:
            if name not in members:
                remedy = f"name one of: {', '.join(members)}; what comes before a phase is its gate's"
                yield f"{key}.{field}", name, f"is not a processor of phase {phase.name}", remedy
    for name in processor.needs:
        for mode in spec.modes:
            classes = (_class_in(processor, mode), _class_in(members.get(name, processor), mode))
            if classes == ("critical", "optional"):
                problem = f"is optional in {mode.name}, where {processor.name} is critical"
                yield f"{key}.needs", name, problem, f"make {name} critical in {mode.name}, or run after it"


def _cycle(phase: PhaseSpec) -> Iterator[Fault]:
    members = {processor.name for processor in phase.processors}
    edges = {spec.name: members.intersection((*spec.needs, *spec.after)) for spec in phase.processors}
    try:
        TopologicalSorter({name: sorted(before) for name, before in edges.items()}).prepare()
    except CycleError as error:
        waits = " -> ".join(reversed(error.args[1]))
        yield f"phases.{phase.name}.processors", waits, "is a cycle: each waits for the next", "remove one of its edges"


# --- between phases -----------------------------------------------------------------------------------


def _topics(spec: PipelineSpec, functions: Sequence[FunctionSpec]) -> Iterator[Fault]:
    listened = {(topic, function.kind) for function in functions for topic in function.listens}
    for phase in spec.phases:
        topic = phase.completion_topic
        if (topic, FunctionKind.GATE) not in listened:
            remedy = f"let a gate in {FUNCTIONS_FILE} listen to it"
            yield f"phases.{phase.name}.completion_topic", topic, "is an edge without a gate", remedy
        topic = phase.start_topic
        if (topic, FunctionKind.SERVICE) not in listened:
            remedy = f"let a service in {FUNCTIONS_FILE} listen to it"
            yield f"phases.{phase.name}.start_topic", topic, "has no listener", remedy
    used = [topic for phase in spec.phases for topic in (phase.completion_topic, phase.start_topic)]
    for topic in _repeated(used):
        yield "phases.topics", topic, "is used twice", "give each phase its own completion and start topic"


def _expectations(spec: PipelineSpec) -> Iterator[Fault]:
    found = sorted({name for phase in spec.phases for processor in phase.processors for name in processor.finds})
    yield from _unknown("expects", spec.expects, "an expectation that a processor finds", found)
    if spec.withdraws:
        yield from _unknown("withdraws", spec.withdraws, "an expectation that a processor finds", found)
    for phase in spec.phases:
        for processor in phase.processors:
            if processor.unit:
                key = f"{_key(phase, processor)}.unit"
                yield from _unknown(key, processor.unit, "an expectation that a processor finds", found)


def _schedules(spec: PipelineSpec, functions: Sequence[FunctionSpec]) -> Iterator[Fault]:
    wakeable = [function.name for function in functions if NUDGE_TOPIC in function.listens]
    modes = [mode.name for mode in spec.modes]
    for schedule in spec.schedules:
        key = f"schedules.{schedule.name}"
        if reason := _cron_fault(schedule.cron):
            yield f"{key}.cron", schedule.cron, f"is not a cron line: {reason}", "use five fields, like 30 10 * * *"
        yield from _unknown(f"{key}.act", schedule.act, "an act", ACTS)
        sweeps = schedule.act in ("sweep", "recover", "summary")  # they walk every run or batch, and name none
        if schedule.mode or not sweeps:
            yield from _unknown(f"{key}.mode", schedule.mode, "a mode", modes)
        if schedule.date or not sweeps:
            yield from _unknown(f"{key}.date", schedule.date, "a date word", list(DATE_WORDS))
        for name in schedule.wakes:
            yield from _unknown(f"{key}.wakes", name, f"a function that hears {NUDGE_TOPIC}", wakeable)
        for name in _repeated(schedule.wakes):
            yield f"{key}.wakes", name, "is woken twice", "remove one of them"
        if not schedule.wakes:
            yield f"{key}.wakes", "()", "wakes nobody", f"name a function that hears {NUDGE_TOPIC}"


def _cron_fault(cron: str) -> str:
    if len(cron.split()) != CRON_FIELDS:
        return f"{len(cron.split())} fields"
    try:
        CronSim(cron, datetime(2024, 1, 1, tzinfo=timezone.utc))
    except CronSimError as error:
        return str(error)
    return ""
