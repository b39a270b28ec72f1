"""What is watched and is about no run: the heartbeats of scheduled jobs, and the services. Pure.

Their incidents are kept as those of a run are, in a record of the pipeline that looks like a run without phases: of no
date, and of a mode that no pipeline may declare. So they are claimed, told, escalated and resolved by the same latches.
What was seen of a service that is not well is in its ledger: whoever goes the next round goes on from there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from shared.core.fold import incidents_of
from shared.core.incident import Cause, escalations, raised, resolved
from shared.core.model import (
    WATCH,
    Alert,
    Control,
    Latch,
    LedgerEntry,
    Reading,
    ReadingVerdict,
    RunKey,
    Severity,
)
from shared.core.plan import Plan

HEARTBEAT, HEALTH = "heartbeat", "health"
"""What the names of the causes begin with: heartbeat-same-day, health-export_processor."""

TOGETHER = f"{HEALTH}-services"
"""The cause of many services at once: mostly something that all of them need."""

MANY = 3
"""So many services that are not well are one incident: nobody is called for each of them."""

BEAT_GRACE = timedelta(minutes=10)
"""That a job may come later than its schedule says: Cloud Scheduler tries again, and an instance has to start."""

BAD_FOR = timedelta(seconds=55)
"""SYSTEMS, section 1: twice, 60 s apart. Rounds that are a minute apart arrive some seconds less apart."""

FULL_FOR = timedelta(minutes=10)
"""The same of a service whose instances take one request each: while all are at work, who asks waits, and may not be
answered in time. A batch is through in less; one that is not is healed, and told, by its coordinator."""

WELL_FOR = timedelta(minutes=5)
"""That a service has to be well before its incident is over: one that flaps has one, and not one for each time."""

SEEN_FOR = timedelta(seconds=150)
"""Between two rounds, for one to go on from what the other saw: where nobody looked for longer, nobody knows what was
meanwhile. One round may fail."""


def record_of(pipeline: str) -> RunKey:
    """Where the incidents of a pipeline are that are about none of its runs."""
    return RunKey(pipeline, date.min, WATCH)


def record(pipeline: str, now: datetime) -> Plan:
    """What is written once, so that the timer can be told when to look at it."""
    key = record_of(pipeline)
    return Plan(run=key, started_at=now, deadline_at=now, config_hash="", expects="", phases=())


def late(schedule: str, beat: datetime, due_at: datetime | None) -> Cause | None:
    """Of a job whose last firing that should have come through by now was due then. The sweep begins what it did not
    begin, so nobody gets up."""
    if due_at is None or beat >= due_at:
        return None
    why = f"the schedule {schedule} was due at {_clock(due_at)}, and its job last came through at {_clock(beat)}"
    remedy = "is it paused, or refused? `tipoff doctor` compares it with what is declared"
    return Cause(f"{HEARTBEAT}-{schedule}", Severity.WARN, f"{why}; {remedy}")


def ailing(service: str, why: str, since: datetime) -> Cause:
    return Cause(f"{HEALTH}-{service}", Severity.PAGE, f"{service} is not well since {_clock(since)}: {why}")


def sights(
    answers: Mapping[str, str],
    shallow: Collection[str],
    known: Mapping[str, Reading],
    ill: Collection[str],
    now: datetime,
) -> dict[str, Reading]:
    """What there is to remember after a round: who is not well since when, and, of `ill`, whose incidents are open, who
    is well again since when, until that is for long enough. Of a service that is well otherwise nothing.

    `answers`: why each is not well; of those in `shallow`, which were not asked whether they could work, only a bad
    one counts. `known`: what was remembered before.
    """
    found: dict[str, Reading] = {}
    for name, why in answers.items():
        before, unsure = known.get(name), name in shallow and (name in known or name in ill)
        if unsure and not why:
            found[name] = before or _sight(name, "was not asked whether it could work", None, now)
        elif why or name in ill:
            found[name] = _sight(name, why, before, now)
    return {name: sight for name, sight in found.items() if not _has_recovered(sight, now)}


def seen_before(entry: LedgerEntry | None, looked_at: datetime | None, now: datetime) -> Mapping[str, Reading]:
    """What was remembered at the last round; nothing, where that is too long ago to go on from."""
    if entry is None or looked_at is None or now - looked_at > SEEN_FOR:
        return {}
    return entry.readings


def unwell(
    seen: Mapping[str, Reading], answers: Mapping[str, str], bad_for: Mapping[str, timedelta], now: datetime
) -> list[Cause]:
    """Of those that were not well at two rounds in a row, a minute apart; where requests queue, for longer."""
    bad = ((each, each.since) for each in seen.values() if each.since and answers[each.name])
    return [ailing(each.name, each.note, since) for each, since in bad if now - since >= bad_for[each.name]]


def together(found: Sequence[Cause], open_now: Collection[str]) -> list[Cause]:
    """Of services that are not well, one cause for all that have no incident of their own, where they are many or where
    it is open already. `open_now`: the causes whose incidents are open."""
    alone = [cause for cause in found if cause.name not in open_now]
    if not alone or (len(alone) < MANY and TOGETHER not in open_now):
        return list(found)
    names = ", ".join(cause.name.removeprefix(f"{HEALTH}-") for cause in alone)
    summary = f"{len(alone)} services are not well: {names}; {alone[0].summary}"
    return [*(cause for cause in found if cause.name in open_now), Cause(TOGETHER, Severity.PAGE, summary)]


def noted(run: RunKey, seen: Mapping[str, Reading], last: LedgerEntry | None, now: datetime) -> LedgerEntry | None:
    """What keeps it for the next round, whoever goes it; None where the last entry says the same already."""
    if _said(seen) == _said(last.readings if last else {}):
        return None
    return LedgerEntry(
        run=run,
        gate="",
        attempt=0,
        at=now,
        decision="wait",
        reason="; ".join(f"{each.name}: {each.note or 'is well again'}" for each in seen.values()) or "all are well",
        missing=(),
        completeness=1.0,
        next_look_at=now if seen else None,
        facts=(),
        latches=(),
        control=Control(),
        readings=seen,
    )


def _sight(name: str, why: str, before: Reading | None, now: datetime) -> Reading:
    verdict = ReadingVerdict.HOLD if why else ReadingVerdict.PASS
    since = before.since if before and before.since and before.verdict is verdict else now
    return Reading(name=name, verdict=verdict, note=why, since=min(since, now))  # the clock may have been put back


def _has_recovered(sight: Reading, now: datetime) -> bool:
    is_well = sight.verdict is ReadingVerdict.PASS
    return is_well and sight.since is not None and now - sight.since >= WELL_FOR


def _said(seen: Mapping[str, Reading]) -> dict[str, tuple[ReadingVerdict, datetime | None]]:
    """Without its words, which may change each minute."""
    return {name: (each.verdict, each.since) for name, each in seen.items()}


def watch_latches(
    run: RunKey, latches: Iterable[Latch], found: Sequence[Cause], unsure: Collection[str], now: datetime
) -> tuple[Latch, ...]:
    """What makes what people are told agree with what is found. `unsure`: names of causes that are neither there nor
    over yet."""
    known: Mapping[str, Alert] = incidents_of(latches)
    open_now = {name: alert for name, alert in known.items() if not alert.resolved}
    there = {cause.name for cause in found}
    over = sorted(open_now.keys() - there - set(unsure))
    return (
        *(raised(run, known.get(cause.name), cause, now) for cause in found if cause.name not in open_now),
        *(resolved(run, open_now[name], _ended(name), now) for name in over),
        *escalations(run, (open_now[name] for name in sorted(open_now.keys() - set(over))), now),
    )


def _ended(name: str) -> str:
    if name == TOGETHER:
        return "all services are well"
    kind, _, about = name.partition("-")
    return f"{about} is well" if kind == HEALTH else f"the schedule {about} has come through, or is watched no more"


def _clock(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
