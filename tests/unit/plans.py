"""Small plans and short days for the tests of the core: a script goes in, a verdict comes out.

A script is lines (or pieces between semicolons) like these, times in minutes after the run's start:

    +5 a done                          latest attempt that was ordered, next report
    +7 b failed attempt=2              also partial, not_ready, skipped; reason=no_history retry=+30 digest=x
    +9 c done has=3 of=11 missing=g1|g2 finds=games:g1|g2|g3        (finds=games: is "there are none")
    +10 hold until=+20    +12 release    +15 cancel    +16 look
    +17 read health=hold               what that reading says from now on; all say pass at first
    +18 read health=warn:night         and what it goes on without
    +18 skip c    +18 force out        a person's word, as it is spoken: refused, it fails the test
    +19 again a                        a look again at this source; without a name, at all of them
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone

from shared.core.again import order_looks
from shared.core.fold import View, look
from shared.core.gate import (
    Ask,
    Block,
    Decision,
    Done,
    Fail,
    Open,
    Verdict,
    Wait,
    consequences,
    decide,
    name_of,
    not_before,
    start_latch,
)
from shared.core.gate import says_the_same as same
from shared.core.incident import alerts_due, next_alert_at
from shared.core.model import (
    Act,
    Completion,
    Control,
    Fact,
    Latch,
    LedgerEntry,
    Missing,
    Outcome,
    OutcomeKind,
    Reading,
    ReadingVerdict,
    RunKey,
    Start,
    Status,
    Word,
)
from shared.core.plan import Given, Plan, PlannedPhase, PlannedProcessor
from shared.core.words import speak

T0 = datetime(2024, 1, 16, 11, 0, tzinfo=timezone.utc)
RUN = RunKey("nba", date(2024, 1, 15), "overnight")
LOOKS_MAX = 20  # in one advance: more phases than any plan here has


def minute(count: float) -> datetime:
    return T0 + timedelta(minutes=count)


def minutes(instant: datetime) -> str:
    return f"+{(instant - T0).total_seconds() / 60:g}"


# --- plans ----------------------------------------------------------------------------------------------


def critical(name: str, **changes: object) -> PlannedProcessor:
    """Patient, so that nothing but what a case is about happens: an hour to report, a weight of three."""
    processor = PlannedProcessor(
        name=name,
        critical=True,
        weight=3.0,
        timeout_s=3600,
        grace_s=600,
        attempts_max=3,
        looks_max=3,
        retry_s=60,
        look_again_s=300,
        refresh_until=minute(600),
        whole_skips=("superseded", "no_history"),
        partition=RUN.date,
    )
    return replace(processor, **changes)  # type: ignore[arg-type]


def optional(name: str, **changes: object) -> PlannedProcessor:
    return critical(name, **{"critical": False, "weight": 1.0, **changes})


def phase(name: str, *processors: PlannedProcessor, deadline: float = 60, **changes: object) -> PlannedPhase:
    """Deadline in minutes; an hour of looking again before it gives up; ten minutes for a later round."""
    planned = PlannedPhase(
        name=name,
        start_topic=f"nba-{name}-start",
        completion_topic=f"nba-{name}-complete",
        processors=processors,
        quorum=0.8,
        deadline_at=minute(deadline),
        deadline_from="derived",
        window_s=600,
        give_up_at=minute(deadline + 60),
    )
    return replace(planned, **changes)  # type: ignore[arg-type]


def plan(*phases: PlannedPhase, given: Given | None = None) -> Plan:
    return Plan(
        run=RUN,
        started_at=T0,
        deadline_at=phases[-1].deadline_at,
        config_hash="0123456789ab",
        expects="games",
        phases=phases,
        given=given,
    )


def left_of_out(*processors: PlannedProcessor, **changes: object) -> Plan:
    """A phase `raw` with these processors; behind it `out` with a critical `z`. The gate in between is `out`."""
    return plan(phase("raw", *processors, **changes), phase("out", critical("z"), deadline=120))  # type: ignore[arg-type]


def start(processor: str, attempt: int = 1, *, at: float = 0, phase: str = "raw", **changes: object) -> Start:
    ordered = Start(
        run=RUN,
        phase=phase,
        processor=processor,
        attempt=attempt,
        fence=attempt,
        partition=RUN.date,
        timeout_s=3600,
        issued_at=minute(at),
    )
    return replace(ordered, **changes)  # type: ignore[arg-type]


def opened(gate: str, attempt: int = 1, *, at: float = 0, **changes: object) -> Outcome:
    outcome = Outcome(
        gate=gate,
        attempt=attempt,
        kind=OutcomeKind.OPEN,
        grade="complete",
        reason="",
        completeness=1.0,
        missing=(),
        decided_at=minute(at),
        left_round=0,
    )
    return replace(outcome, **changes)  # type: ignore[arg-type]


def reading(name: str, verdict: str, *lacks: str) -> Reading:
    missing = tuple(Missing(processor=lack, why="is late") for lack in lacks)
    return Reading(name=name, verdict=ReadingVerdict(verdict), note=f"says {verdict}", missing=missing)


def latch(key: str, outcome: Outcome | None = None, *starts: Start) -> Latch:
    return Latch(key=key, run=RUN, outcome=outcome, starts=starts)


# --- a day ----------------------------------------------------------------------------------------------


@dataclass
class Day:
    """One run in memory, driven as the service drives it: it looks after each event and whenever a look is due."""

    plan: Plan
    facts: list[Fact] = field(default_factory=list)
    latches: dict[str, Latch] = field(default_factory=dict)
    control: Control = field(default_factory=Control)
    ledger: list[LedgerEntry] = field(default_factory=list)
    verdicts: list[tuple[View, dict[str, Reading], Verdict]] = field(default_factory=list)
    refusals: dict[str, Reading] = field(default_factory=dict)  # the other readings pass
    due_at: datetime | None = T0

    def play(self, script: str, *, until: float) -> Day:
        """All events, and every look that was due before `until`; what happens at `until` itself is not acted upon."""
        for line in filter(None, (line.strip() for line in script.replace(";", "\n").splitlines())):
            at, *words = line.split()
            now = minute(float(at))
            self.wait(now)
            self.happen(now, *words)
            if now < minute(until):
                self.advance(now)
        self.wait(minute(until))
        return self

    def wait(self, until: datetime) -> None:
        while self.due_at is not None and self.due_at < until:
            self.advance(self.due_at)

    def happen(self, now: datetime, subject: str, verb: str = "", *pairs: str) -> None:
        match subject:
            case "look":
                pass
            case "hold":
                until = _pairs(verb).get("until") if verb else None
                act = Act(actor="ann", reason="storm", at=now, until=minute(float(until)) if until else None)
                self.control = replace(self.control, hold=act)
            case "cancel":
                self.control = replace(self.control, cancel=Act(actor="ann", reason="wrong day", at=now))
            case "skip" | "force" | "release":
                word = Word(verb=subject, about=verb, act=Act(actor="ann", reason="storm", at=now))
                control = speak(self.view(now), word)
                assert isinstance(control, Control), control
                self.control = control
            case "read":
                self.refusals |= {name: reading(name, *said.split(":")) for name, said in _pairs(verb).items()}
            case "again":
                starts, _ = order_looks(self.view(now), [verb] if verb else [])
                self.latches |= {taken.key: taken for taken in map(start_latch, starts)}
            case _:
                self.report(now, subject, "success" if verb == "done" else verb, **_pairs(*pairs))

    def report(self, now: datetime, processor: str, status: str, **said: str) -> None:
        attempt = int(said.get("attempt", self.attempts(processor)[-1] if self.attempts(processor) else 1))
        reports = [f for f in self.facts if (f.completion.processor, f.completion.attempt) == (processor, attempt)]
        completion = Completion(
            run=RUN,
            phase=next((p.name for p in self.plan.phases if processor in p.by_name), "nowhere"),
            processor=processor,
            attempt=attempt,
            report=len(reports) + 1,
            status=Status(status),
            reason=said.get("reason", ""),
            units_expected=int(said["of"]) if "of" in said else None,
            units_actual=int(said["has"]) if "has" in said else None,
            missing=_units(said.get("missing", "")),
            digest=said.get("digest", ""),
            found={said["finds"].split(":")[0]: _units(said["finds"].split(":")[1])} if "finds" in said else {},
            retry_at=minute(float(said["retry"])) if "retry" in said else None,
        )
        self.facts.append(Fact(completion, now))

    def attempts(self, processor: str) -> list[int]:
        ordered = (start for latch in self.latches.values() for start in latch.starts)
        return sorted(start.attempt for start in ordered if start.processor == processor)

    def view(self, now: datetime) -> View:
        return look(self.plan, self.facts, self.latches.values(), self.control, now)

    def decide(self, at: float | datetime) -> Verdict:
        """The verdict at this minute, readings read; nothing is done about it."""
        now = at if isinstance(at, datetime) else minute(at)
        view = self.view(now)
        verdict, readings = decide(view), dict[str, Reading]()
        if isinstance(verdict.decision, Ask):
            for name in verdict.decision.readings:
                readings[name] = self.refusals.get(name, reading(name, "pass"))
            verdict = decide(view, readings)
        self.verdicts.append((view, readings, verdict))
        return verdict

    def advance(self, now: datetime) -> Verdict:
        """Decide and apply until there is nothing to do at once."""
        for _ in range(LOOKS_MAX):
            verdict = self.decide(now)
            view, readings, _ = self.verdicts[-1]
            last = self.ledger[-1] if self.ledger else None
            asked = consequences(view, verdict, readings, not_before=not_before(last, verdict, self.due_at, now))
            fresh = [latch for latch in asked.latches if latch.key not in self.latches]
            assert len(fresh) == len(asked.latches), f"taken twice: {[latch.key for latch in asked.latches]}"
            outcome = next((latch.outcome for latch in asked.latches), None)
            alerts = alerts_due(view, verdict, outcome, readings)
            self.latches |= {latch.key: latch for latch in (*fresh, *alerts)}
            if not same(self.ledger[-1] if self.ledger else None, asked.entry):
                self.ledger.append(asked.entry)
            looks = (asked.due_at, next_alert_at(view, verdict, outcome))
            self.due_at = min((at for at in looks if at), default=None)
            if not isinstance(verdict.decision, Open):
                return verdict
        raise AssertionError(f"opens for ever: {say(verdict)}")

    @property
    def story(self) -> list[str]:
        """Every outcome that was latched, in order."""
        return [
            f"{latch.outcome.kind} {latch.outcome.gate}/{latch.outcome.attempt} at {minutes(latch.outcome.decided_at)}"
            for latch in self.latches.values()
            if latch.outcome
        ]

    @property
    def told(self) -> list[str]:
        """What people were told of incidents, in order."""
        alerts = [latch.alert for latch in self.latches.values() if latch.alert]
        return [
            f"escalate {alert.cause}/{alert.number} at {minutes(alert.escalated_at)}"
            if alert.escalated_at and not alert.resolved
            else f"{'resolve' if alert.resolved else 'raise'} {alert.cause}/{alert.number} at {minutes(alert.at)}"
            for alert in alerts
        ]

    def outcome(self, gate: str) -> Outcome:
        """Of the gate's latest attempt."""
        return self.view(T0).outcomes[gate]

    def orders(self) -> list[str]:
        """Every start that was ordered, in order."""
        ordered = (start for latch in self.latches.values() for start in latch.starts)
        return [f"{start.processor}/{start.attempt} at {minutes(start.issued_at)}" for start in ordered]

    def starts(self, processor: str) -> list[Start]:
        ordered = (start for latch in self.latches.values() for start in latch.starts)
        return [start for start in ordered if start.processor == processor]


def _pairs(*pairs: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs)


def _units(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split("|")))


# --- what a verdict says, on one line ----------------------------------------------------------------------


def say(verdict: Verdict) -> str:
    """`open out/1 degraded 0.75 without b; starts b/2`: all that matters of a verdict but its reason."""
    text = f"{name_of(verdict.decision)} {verdict.gate}/{verdict.attempt}{_detail(verdict.decision)}"
    if verdict.starts:
        text += "; starts " + " ".join(f"{start.processor}/{start.attempt}" for start in verdict.starts)
    return text + ("; stands" if verdict.stands else "")


def _detail(decision: Decision) -> str:
    match decision:
        case Wait(recheck_at=recheck_at) | Block(recheck_at=recheck_at):
            return f" until {minutes(recheck_at)}" if recheck_at else " for good"
        case Open(grade=grade, completeness=share) | Done(grade=grade, completeness=share):
            return f" {grade} {share:g}" + _without(decision.missing)
        case Fail():
            return ""
        case Ask(readings=readings):
            return f" {' '.join(readings)}"


def _without(missing: tuple[Missing, ...]) -> str:
    named = [m.processor + (f"[{' '.join(m.units)}]" if m.units else "") for m in missing]
    return f" without {' '.join(named)}" if named else ""
