"""Does the gate decide right? Each row: a sentence, a plan, what happened, when it is looked at, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.gate import Block, Fail, consequences, decide, recompute, refused_before
from shared.core.model import END, Act, Control, Missing, OutcomeKind
from shared.core.plan import Given, Plan
from tests.unit.plans import (
    RUN,
    T0,
    Day,
    critical,
    latch,
    left_of_out,
    minute,
    opened,
    optional,
    phase,
    plan,
    say,
    start,
)

A, B, C, D = critical("a"), critical("b"), optional("c"), optional("d")
ONE = left_of_out(A)
TWO = left_of_out(A, B)
THREE = left_of_out(A, B, C)  # without c: 6/7 = 0.86, above the quorum
FOUR = left_of_out(A, B, C, D)  # without c and d: 6/8 = 0.75, below it
UNITS = plan(
    phase("scrape", critical("s"), critical("x", unit="games", needs=("s",))),
    phase("raw", critical("a", unit="games"), optional("c", unit="games"), deadline=120),
    phase("out", critical("z", unit="games"), deadline=180),
)
TAKES_BACK = replace(
    plan(phase("scrape", critical("s"), critical("t")), phase("out", critical("z"), deadline=120)),
    withdraws="announced",
)
GAMES = "s done finds=games:" + "|".join(f"g{n}" for n in range(1, 12))  # eleven of them
TWENTY = "s done finds=games:" + "|".join(f"g{n}" for n in range(1, 21))
READ = plan(phase("raw", A, C), phase("out", critical("z"), deadline=120, readings=("health", "fresh")))
FIRST = plan(phase("raw", A, readings=("health",)), phase("out", critical("z"), deadline=120))
HASTY = {"timeout_s": 60}  # mute after a minute and a half


def row(sentence: str, of: Plan, script: str, at: float, verdict: str, because: str = "") -> object:
    return pytest.param(of, script, at, verdict, because, id=sentence)


def check(of: Plan, script: str, at: float, verdict: str, because: str) -> None:
    decided = Day(of).play(script, until=at).decide(at)
    assert say(decided) == verdict
    assert because in decided.decision.reason


OPENING = [
    row("the first gate opens when the run starts", ONE, "", 0, "open raw/1 complete 1"),
    row("waits while nothing has come", TWO, "", 5, "wait out/1 until +60", "0 of 2 processors of raw are done"),
    row("waits for the critical one that is not done", TWO, "+5 a done", 6, "wait out/1 until +60", "waiting for b"),
    row("opens complete at once", THREE, "+5 a done; +6 b done; +7 c done", 7, "open out/1 complete 1"),
    row("an optional one alone never opens", THREE, "+5 c done", 59, "wait out/1 until +60", "waiting for a, b"),
    row(
        "optional ones alone do not open at the deadline",
        THREE,
        "+5 c done",
        60,
        "block out/1 until +65",
        "a, b not done",
    ),
    row("optional ones have their grace", THREE, "+5 a done; +6 b done", 15, "wait out/1 until +16"),
    row(
        "grace is counted from the last critical one and over it opens degraded",
        THREE,
        "+5 a done; +6 b done",
        16,
        "open out/1 degraded 0.8571 without c",
        "reaches the quorum 0.80",
    ),
    row(
        "below the quorum it waits for the deadline though grace is over",
        FOUR,
        "+5 a done; +6 b done",
        30,
        "wait out/1 until +60",
        "2 of 4 processors of raw are done; every critical one is",
    ),
    row(
        "one optional more reaches the quorum",
        FOUR,
        "+5 a done; +6 b done; +20 c done",
        20,
        "open out/1 degraded 0.875 without d",
    ),
    row(
        "below the quorum it opens degraded at the deadline",
        FOUR,
        "+5 a done; +6 b done",
        60,
        "open out/1 degraded 0.75 without c d",
        "at the deadline 2024-01-16 12:00 UTC",
    ),
    row(
        "an optional one that has ended is not waited for",
        THREE,
        "+5 c skipped reason=no_source; +5 a done; +6 b done",
        6,
        "open out/1 degraded 0.8571 without c",
    ),
    row(
        "all optional ones ended and below the quorum waits for the deadline",
        FOUR,
        "+5 a done; +6 b done; +7 c skipped reason=no_source; +7 d skipped reason=no_source",
        7,
        "wait out/1 until +60",
    ),
    row(
        "a phase without critical ones waits for its optional one",
        left_of_out(C),
        "",
        30,
        "wait out/1 until +60",
    ),
    row(
        "a phase without critical ones opens without them at the deadline",
        left_of_out(C),
        "",
        60,
        "open out/1 degraded 0 without c",
    ),
    row(
        "a processor nobody planned has no effect",
        TWO,
        "+5 a done; +5 q done; +5 r done; +5 e done finds=games:",
        6,
        "wait out/1 until +60",
        "1 of 2",
    ),
    row("early facts count when their phase opens", ONE, "+1 z done; +5 a done", 6, "done end/1 complete 1; stands"),
    row(
        "an early failure is tried again when its phase opens",
        ONE,
        "+1 z failed; +5 a done",
        5.5,
        "wait end/1 until +120",
    ),
    row(
        "missing is carried on and completeness is the least of all gates",
        THREE,
        "+5 a done; +6 b done; +20 z done",
        20,
        "done end/1 degraded 0.8571 without c",
        "all of out is done",
    ),
]

BLOCKING = [
    row("a critical one that fails has its pause", ONE, "+5 a failed", 5.9, "wait out/1 until +60"),
    row("and is due again after it", ONE, "+5 a failed", 6, "wait out/1 until +60; starts a/2"),
    row("the pause doubles", ONE, "+5 a failed; +7 a failed", 8.9, "wait out/1 until +60"),
    row("until the third attempt", ONE, "+5 a failed; +7 a failed", 9, "wait out/1 until +60; starts a/3"),
    row(
        "a critical one without attempts left blocks at once",
        ONE,
        "+5 a failed; +7 a failed; +10 a failed reason=boom",
        10,
        "block out/1 until +15",
        "a failed: boom (3 of 3 attempts, tried again every 5 min)",
    ),
    row(
        "a block looks no later than the deadline",
        ONE,
        "+5 a failed; +7 a failed; +58 a failed",
        58,
        "block out/1 until +60",
    ),
    row(
        "a later success unblocks",
        ONE,
        "+5 a failed; +7 a failed; +10 a failed; +40 a done",
        40,
        "open out/1 complete 1",
    ),
    row("at the deadline it blocks", ONE, "", 60, "block out/1 until +65", "a not done at the deadline"),
    row("and opens when the critical one comes after it", ONE, "+70 a done", 70, "open out/1 complete 1"),
    row("looks no later than the time to give up", ONE, "", 118, "block out/1 until +120"),
    row("gives up", ONE, "", 120, "fail out/1", "a not done by 2024-01-16 13:00 UTC, the time to give up"),
    row("nothing comes after the failure", ONE, "+130 a done; +131 z done", 140, "fail out/1; stands"),
    row(
        "an optional one without attempts left has ended and is counted missing",
        THREE,
        "+1 c failed; +3 c failed; +6 c failed; +7 a done; +7 b done",
        7,
        "open out/1 degraded 0.8571 without c",
    ),
    row(
        "a critical one that ended by skipping for no good reason blocks",
        ONE,
        "+5 a skipped reason=no_source",
        5,
        "block out/1 until +10",
        "a skipped: no_source",
    ),
    row("skipped for want of history is complete", ONE, "+5 a skipped reason=no_history", 5, "open out/1 complete 1"),
    row("skipped as superseded is complete", ONE, "+5 a skipped reason=superseded", 5, "open out/1 complete 1"),
    row(
        "what needs a failed one cannot start and blocks by its own name too",
        left_of_out(A, critical("b", needs=("a",))),
        "+5 a skipped reason=no_source",
        6,
        "block out/1 until +11",
        "a skipped: no_source; b cannot start: needs a, which skipped: no_source",
    ),
    row(
        "no report at all is tried again within the budget, then blocks",
        left_of_out(critical("a", **HASTY)),
        "",
        4.5,
        "block out/1 until +9.5",
        "a did not report in 60 s (3 of 3 attempts, tried again every 5 min)",
    ),
]

UNITS_MISSING = [
    row(
        "a success that covers 3 of 11 is not whole, whatever it says of itself",
        UNITS,
        f"+1 {GAMES}; +5 x done has=11; +6 a done has=3 of=3; +6 c done has=11",
        20,
        "wait out/1 until +120",
        "waiting for a",
    ),
    row(
        "at the deadline what is whole is published and the rest is named",
        UNITS,
        f"+1 {GAMES}; +5 x done has=11; +6 a partial has=10 missing=g7; +6 c done has=11",
        120,
        "open out/1 degraded 0.9318 without a[g7]",
    ),
    row(
        "nothing at all at the deadline blocks",
        UNITS,
        f"+1 {GAMES}; +5 x done has=11; +6 a partial has=0; +6 c done has=11",
        120,
        "block out/1 until +125",
    ),
    row(
        "0.95 of the units wait for their grace",
        UNITS,
        f"+1 {TWENTY}; +5 x done has=20; +6 a partial has=19; +6 c done has=20",
        15,
        "wait out/1 until +120",
    ),
    row(
        "0.95 of the units count after it",
        UNITS,
        f"+1 {TWENTY}; +5 x done has=20; +6 a partial has=19 missing=g7; +6 c done has=20",
        16,
        "open out/1 degraded 0.9625 without a[g7]",
        "every critical one among them",
    ),
    row(
        "0.90 of them do not",
        UNITS,
        f"+1 {TWENTY}; +5 x done has=20; +6 a partial has=18; +6 c done has=20",
        17,
        "wait out/1 until +120",
    ),
    row(
        "looking again does not renew the grace",
        UNITS,
        f"+1 {TWENTY}; +5 x done has=20; +6 c done has=20; +6 a partial has=19; +12 a partial has=19",
        16,
        "open out/1 degraded 0.9625 without a",
    ),
    row(
        "a critical partial whose looks are used up waits for the deadline, it does not block",
        UNITS,
        f"+1 {GAMES}; +5 x done has=11; +6 c done has=11; +6 a partial has=5; +12 a partial has=5; +18 a partial has=5",
        18,
        "wait out/1 until +120",
    ),
]

HOLIDAYS = [
    row(
        "no games according to a schedule that succeeded: nothing is expected",
        UNITS,
        "+1 s done finds=games:",
        1,
        "done end/1 nothing_expected 1",
        "no games are expected",
    ),
    row("a schedule that failed is no holiday", UNITS, "+1 s failed finds=games:", 1.5, "wait raw/1 until +60"),
    row("a schedule that is partial is no holiday", UNITS, "+1 s partial finds=games:", 1.5, "wait raw/1 until +60"),
    row("a schedule that is silent is no holiday", UNITS, "", 1.5, "wait raw/1 until +60"),
    row("a schedule that found nothing out is no holiday", UNITS, "+1 s done", 1.5, "wait raw/1 until +60"),
    row(
        "what was announced is taken back before the run is over",
        TAKES_BACK,
        "+1 t done finds=announced:g1; +2 s done finds=games:",
        2,
        "open out/1 complete 1",
    ),
    row(
        "and what is taken back is published",
        TAKES_BACK,
        "+1 t done finds=announced:g1; +2 s done finds=games:; +3 z done",
        3,
        "done end/1 complete 1",
        "all of out is done",
    ),
    row(
        "where nothing was announced there is nothing to take back",
        TAKES_BACK,
        "+1 t done finds=announced:; +2 s done finds=games:",
        2,
        "done end/1 nothing_expected 1",
    ),
    row("a holiday stands", UNITS, "+1 s done finds=games:; +9 x done", 20, "done end/1 nothing_expected 1; stands"),
    row(
        "games that turn up later start the work",
        UNITS,
        "+1 s done finds=games:; +200 s done finds=games:g1 digest=new",
        200,
        "wait raw/1 until +210; starts x/1",
    ),
    row(
        "games that turn up after all deadlines have their time",
        UNITS,
        "+1 s done finds=games:; +200 s done finds=games:g1 digest=new; +202 x done has=1; +203 a done has=1",
        203,
        "wait out/1 until +213",
    ),
    row(
        "and are published",
        UNITS,
        "+1 s done finds=games:; +200 s done finds=games:g1; +202 x done has=1; +203 a done has=1; +203 c done has=1;"
        "+205 z done has=1",
        206,
        "done end/2 complete 1; stands",
    ),
    row(
        "games that vanish end the run",
        UNITS,
        f"+1 {GAMES}; +5 x done has=11; +6 s done finds=games: digest=new",
        6,
        "done end/1 nothing_expected 1",
    ),
    row(
        "games that vanish and come back too late to be read again leave no holiday behind either",
        plan(phase("scrape", critical("s", refresh_until=minute(6))), phase("out", critical("z"), deadline=120)),
        "+1 s done finds=games:g1 digest=x; +5 z done; +6 s done finds=games: digest=y;"
        "+7 s done finds=games:g1 digest=x",
        7,
        "done end/3 complete 1",
    ),
    row(
        "games that vanish and come back do not leave a holiday behind, and are read again",
        plan(phase("scrape", critical("s")), phase("out", critical("z"), deadline=120)),
        "+1 s done finds=games:g1 digest=x; +5 z done; +6 s done finds=games: digest=y;"
        "+7 s done finds=games:g1 digest=x",
        7,
        "open out/2 complete 1",
    ),
]

READINGS = [
    row("all readings pass", READ, "+5 a done; +5 c done", 5, "open out/1 complete 1"),
    row(
        "a warning opens and is told",
        READ,
        "+1 read health=warn; +5 a done; +5 c done",
        5,
        "open out/1 complete 1",
        "; warned: health: says warn",
    ),
    row(
        "a warning that names what is missing opens degraded",
        READ,
        "+1 read health=warn:night; +5 a done; +5 c done",
        5,
        "open out/1 degraded 1 without night",
        "; warned: health: says warn",
    ),
    row(
        "what a warning named travels to the end beside what else is missing",
        READ,
        "+1 read health=warn:night; +5 a done; +6 c skipped reason=x; +61 z done",
        62,
        "done end/1 degraded 0.75 without c night; stands",
    ),
    row(
        "a refresh asks again, and what has come since is not missing any more",
        READ,
        "+1 read health=warn:night; +5 a done; +5 c done; +9 z done; +20 read health=pass; +30 a done digest=new",
        30,
        "open out/2 complete 1",
    ),
    row(
        "a hold waits a minute",
        READ,
        "+1 read health=hold; +5 a done; +5 c done",
        5,
        "wait out/1 until +6",
        "health: says hold",
    ),
    row(
        "a block blocks a minute and outranks a hold",
        READ,
        "+1 read health=hold; +1 read fresh=block; +5 a done; +5 c done",
        5,
        "block out/1 until +6",
        "fresh: says block",
    ),
    row(
        "it opens when the reading passes",
        READ,
        "+1 read health=block; +5 a done; +5 c done; +30 read health=pass",
        30,
        "open out/1 complete 1",
    ),
    row(
        "a reading that never passes is given up on",
        READ,
        "+1 read health=hold; +5 a done; +5 c done",
        120,
        "fail out/1",
        "health: says hold, still at 2024-01-16 13:00 UTC",
    ),
    row(
        "a reading before the first phase is given up on too",
        plan(phase("raw", A, readings=("health",))),
        "+0 read health=block",
        120,
        "fail raw/1",
    ),
]

PARTS = [
    row(
        "a part that is too little for the quorum lets it wait, whatever its share",
        FOUR,
        "+5 a done; +5 b done; +6 c partial has=9 of=10; +6 d skipped reason=x",
        17,
        "wait out/1 until +60",
    ),
    row(
        "where it opens without it, what is there of it counts",
        THREE,
        "+5 a done; +5 b done; +6 c partial has=4 of=5 missing=g5",
        15,
        "open out/1 degraded 0.9714 without c[g5]",
    ),
]

OPERATORS = [
    row("held: no opening", ONE, "+4 hold; +5 a done", 5, "block out/1 until +10", "held by ann: storm"),
    row("held: no starts", ONE, "+5 a failed; +5 hold; +6 look", 7, "block out/1 until +12"),
    row("held until: looks then", ONE, "+4 hold until=+50; +5 a done", 5, "block out/1 until +50"),
    row("until passes and it goes on", ONE, "+4 hold until=+50; +5 a done", 50, "open out/1 complete 1"),
    row("released", ONE, "+4 hold; +5 a done; +9 release", 9, "open out/1 complete 1"),
    row("held before the first gate", ONE, "+0 hold", 0, "block raw/1 until +5"),
    row("cancelled", ONE, "+5 cancel", 5, "block out/1 for good", "cancelled by ann: wrong day"),
    row("cancelled while held", ONE, "+4 hold; +5 cancel", 5, "block out/1 for good"),
    row("cancelled before the first gate", ONE, "+0 cancel", 0, "block raw/1 for good"),
    row("nothing comes after the cancel", ONE, "+5 cancel; +6 a done; +7 z done", 90, "block out/1 for good; stands"),
    row(
        "a run that is done cannot be cancelled",
        ONE,
        "+5 a done; +6 z done; +7 cancel",
        7,
        "done end/1 complete 1; stands",
    ),
    row(
        "a run held from the start beyond its deadlines has its time when released",
        ONE,
        "+0 hold; +300 release; +305 a done",
        305,
        "open out/1 complete 1",
    ),
    row(
        "a hold beyond the time to give up: what is due is tried before anything fails",
        ONE,
        "+5 a failed; +5 hold; +300 release",
        300,
        "wait out/1 until +310; starts a/2",
    ),
    row(
        "so it is where the hold ends by itself",
        ONE,
        "+5 a failed; +5 hold until=+300",
        300,
        "wait out/1 until +310; starts a/2",
    ),
    row(
        "from then on it has the window of a round",
        ONE,
        "+5 a failed; +5 hold; +300 release",
        310,
        "block out/1 until +315",
        "a not done at the deadline 2024-01-16 16:10 UTC, counted from the end of the hold at 16:00",
    ),
    row(
        "and as long as ever until it gives up",
        ONE,
        "+5 a failed; +5 hold; +300 release",
        370,
        "fail out/1",
        "a not done by 2024-01-16 17:10 UTC, the time to give up, counted from the end of the hold at 16:00",
    ),
    row(
        "what comes meanwhile opens",
        ONE,
        "+5 a failed; +5 hold; +300 release; +305 a done",
        305,
        "open out/1 complete 1",
    ),
    row(
        "held twice: counted from the end of the last",
        ONE,
        "+5 a failed; +5 hold; +300 release; +301 hold; +302 a failed; +500 release",
        500,
        "wait out/1 until +510; starts a/3",
    ),
    row(
        "a short hold moves no deadline",
        ONE,
        "+5 hold; +9 release",
        60,
        "block out/1 until +65",
        "a not done at the deadline 2024-01-16 12:00 UTC",
    ),
    row(
        "an optional one has its grace from the end of the hold",
        THREE,
        "+5 a done; +6 b done; +6 c failed; +6.5 hold; +40 release",
        40,
        "wait out/1 until +50; starts c/2",
    ),
    row(
        "its gate opens without it at the deadline that counts from there",
        THREE,
        "+5 a done; +6 c failed; +6.5 hold; +100 release; +105 b done",
        110,
        "open out/1 degraded 0.8571 without c",
        "at the deadline 2024-01-16 12:50 UTC, counted from the end of the hold at 12:40",
    ),
    row(
        "the half that a hold found does not count before it was looked for again",
        ONE,
        "+5 a partial has=1 of=2; +6 hold; +100 release",
        100,
        "wait out/1 until +110; starts a/2",
    ),
    row(
        "nearly all has its grace from there, too",
        ONE,
        "+5 a partial has=19 of=20; +6 hold; +30 release",
        30,
        "wait out/1 until +60; starts a/2",
    ),
    row(
        "over it counts, as it does by itself",
        ONE,
        "+5 a partial has=19 of=20; +6 hold; +30 release",
        40,
        "open out/1 degraded 0.95 without a",
    ),
    row(
        "nobody goes on without what was due as the hold began",
        left_of_out(C, critical("a", after=("c",))),
        "+5 c failed; +5 hold; +40 release",
        40,
        "wait out/1 until +60; starts c/2",
    ),
    row(
        "a first gate that a reading shuts has its time when released",
        FIRST,
        "+0 hold; +0 read health=block; +300 release",
        300,
        "block raw/1 until +301",
    ),
    row(
        "and gives up at the end of it",
        FIRST,
        "+0 hold; +0 read health=block; +300 release",
        370,
        "fail raw/1",
    ),
    row("skipped: not started", THREE, "+0 skip c", 1, "wait out/1 until +60", "waiting for a, b"),
    row("skipped: not waited for", THREE, "+5 a done; +6 b done; +7 skip c", 7, "open out/1 degraded 0.8571 without c"),
    row(
        "skipped: what comes of it does not count",
        THREE,
        "+5 a done; +6 skip c; +7 c done; +8 b done",
        8,
        "open out/1 degraded 0.8571 without c",
    ),
    row(
        "skipped: nor once its gate has opened",
        THREE,
        "+5 a done; +6 skip c; +8 b done; +9 c done digest=x",
        9,
        "wait end/1 until +120",
    ),
    row(
        "forced: opens with a critical one on its way, and names it",
        TWO,
        "+5 a done; +6 force out",
        6,
        "open out/1 degraded 0.5 without b",
        "forced by ann: storm; 1 of 2 processors of raw are done; waiting for b",
    ),
    row("forced: with nothing there", TWO, "+6 force out", 6, "open out/1 degraded 0 without a b"),
    row(
        "forced: a part that would not do counts by its units",
        TWO,
        "+5 a done; +6 b partial has=4 of=5 missing=g5; +7 force out",
        7,
        "open out/1 degraded 0.9 without b[g5]",
    ),
    row(
        "forced: so does one that is looked for again meanwhile",
        TWO,
        "+5 a done; +6 b partial has=4 of=5 missing=g5; +11 look; +12 force out",
        12,
        "open out/1 degraded 0.9 without b[g5]",
    ),
    row(
        "forced: what failed after a part counts for nothing, for nobody knows what it left",
        TWO,
        "+5 a done; +6 b partial has=4 of=5 missing=g5; +11 look; +12 b failed; +12.5 force out",
        12.5,
        "open out/1 degraded 0.5 without b",
    ),
    row(
        "forced: what was made of an older input counts for nothing",
        left_of_out(A, critical("b", needs=("a",)), critical("e")),
        "+5 a done digest=x; +6 b done; +7 a done digest=y; +8 force out",
        8,
        "open out/1 degraded 0.3333 without b e",
    ),
    row(
        "forced: opens within the grace of an optional one",
        THREE,
        "+5 a done; +6 b done; +7 force out",
        7,
        "open out/1 degraded 0.8571 without c",
        "every critical one is",
    ),
    row(
        "forced: opens while blocked",
        ONE,
        "+5 a skipped reason=x; +9 force out",
        9,
        "open out/1 degraded 0 without a",
        "forced by ann: storm; a skipped: x",
    ),
    row("forced: opens at the time to give up", ONE, "+120 force out", 120, "open out/1 degraded 0 without a"),
    row(
        "forced: a phase behind it that has all it plans is degraded still",
        ONE,
        "+5 force out; +20 z done",
        20,
        "done end/1 degraded 0 without a",
    ),
    row(
        "forced: what comes later opens it again as it does everywhere",
        ONE,
        "+5 force out; +20 z done; +30 a done digest=x",
        30,
        "open out/2 complete 1",
    ),
    row(
        "forced: said of one attempt, no other opens by it",
        THREE,
        "+5 force out; +20 z done; +30 a done digest=x; +40 b done digest=y",
        41,
        "wait out/2 until +50",
    ),
    row(
        "forced: one critical one of two that comes late shuts nothing again",
        THREE,
        "+5 force out; +10 a done digest=x; +20 z done",
        20,
        "done end/1 degraded 0 without a b c",
    ),
    row(
        "forced: opens whatever the readings say, and names them",
        READ,
        "+1 read health=hold; +1 read fresh=block; +5 a done; +5 c done; +6 force out",
        6,
        "open out/1 degraded 1 without health fresh",
        "forced by ann: storm; fresh: says block",
    ),
    row(
        "forced: opens without critical ones and against readings",
        READ,
        "+1 read fresh=block; +5 c done; +6 force out",
        6,
        "open out/1 degraded 0.25 without a fresh",
        "forced by ann: storm; 1 of 2 processors of raw are done; waiting for a; fresh: says block",
    ),
    row(
        "forced: a reading that warns is named once",
        READ,
        "+1 read health=warn:night; +5 c done; +6 force out",
        6,
        "open out/1 degraded 0.25 without a night",
    ),
    row(
        "forced: the first gate, against its reading",
        FIRST,
        "+0 read health=block; +2 force raw",
        2,
        "open raw/1 degraded 1 without health",
    ),
    row(
        "forced: said where it would open anyway, it changes nothing",
        ONE,
        "+5 a done; +5 force out",
        5,
        "open out/1 complete 1",
        "all of raw is done",
    ),
]


GIVEN = Given(run=RUN, phase="raw", reason="bad zones", completeness=0.9, expectations={"games": ("g1", "g2")})
AGAIN = replace(left_of_out(critical("a", unit="games")), given=GIVEN)
WITHOUT_X = replace(AGAIN, given=replace(GIVEN, missing=(Missing(processor="x", why="failed", units=("g3",)),)))

REPLAYS = [
    row(
        "a replay opens at once, as complete as the original was there",
        AGAIN,
        "",
        0,
        "open raw/1 complete 0.9",
        "replays nba.2024-01-15.overnight.1 from raw: bad zones",
    ),
    row("a replay of what lacked something opens degraded", WITHOUT_X, "", 0, "open raw/1 degraded 0.9 without x[g3]"),
    row("what it was given to do is all there", AGAIN, "+5 a done has=2", 5, "open out/1 complete 0.9"),
    row("what it was given to do is not all there", AGAIN, "+5 a done has=1", 5, "wait out/1 until +60"),
    row(
        "what the original lacked is named to the end",
        WITHOUT_X,
        "+5 a done has=2; +6 z done",
        7,
        "done end/1 degraded 0.9 without x[g3]; stands",
    ),
    row("a replay can be held before it begins", AGAIN, "+0 hold", 0, "block raw/1 until +5"),
]


@pytest.mark.parametrize(
    ("of", "script", "at", "verdict", "because"),
    [*OPENING, *BLOCKING, *UNITS_MISSING, *HOLIDAYS, *READINGS, *PARTS, *OPERATORS, *REPLAYS],
)
def test_at_the_gate(of: Plan, script: str, at: float, verdict: str, because: str) -> None:
    check(of, script, at, verdict, because)


LATE = critical("c", critical=False, weight=1.0, refresh_until=minute(90))
REFRESH = plan(
    phase("raw", A, B, LATE),
    phase("mid", critical("m"), deadline=120),
    phase("out", critical("z"), deadline=180),
)
ROUND_2 = ["open mid/2 at +30", "open out/2 at +32", "done end/2 at +33"]
PUBLISHED = "+5 a done; +6 b done; +17 m done digest=m; +18 z done digest=z"  # degraded, without c, at +16


@pytest.mark.parametrize(
    ("script", "story"),
    [
        pytest.param("", [], id="nothing came late, nothing opens again"),
        pytest.param(
            "+30 c done digest=c; +32 m done digest=m2; +33 z done digest=z2",
            ROUND_2,
            id="a late one refreshes all that is downstream, once",
        ),
        pytest.param(
            "+30 c done digest=c; +30 c done digest=c; +32 m done; +33 z done; +40 c done digest=c",
            ROUND_2,
            id="the same again refreshes nothing",
        ),
        pytest.param(
            "+30 c done digest=c; +32 m done; +33 z done; +40 c done digest=d; +42 m done; +43 z done",
            [*ROUND_2, "open mid/3 at +40", "open out/3 at +42", "done end/3 at +43"],
            id="other content refreshes again",
        ),
        pytest.param("+30 c failed", [], id="a late failure refreshes nothing"),
        pytest.param(
            "+90 c done; +92 m done; +93 z done",
            ["open mid/2 at +90", "open out/2 at +92", "done end/2 at +93"],
            id="at the last moment it still refreshes",
        ),
        pytest.param("+91 c done", [], id="after it the late one is ignored"),
        pytest.param(
            "+19 c skipped reason=no_source; +500 a done digest=corrected; +502 m done; +503 z done",
            ["open mid/2 at +500", "open out/2 at +502", "done end/2 at +503"],
            id="a correction long after the end is published",
        ),
        pytest.param(
            "+500 a done digest=corrected; +512 m done; +513 z done",
            ["open mid/2 at +510", "open out/2 at +512", "done end/2 at +513"],
            id="one that never came has its grace again",
        ),
        pytest.param("+601 a done digest=corrected", [], id="a correction too long after the end is ignored"),
        pytest.param(
            "+30 c done; +32 m done; +99 z done digest=late attempt=1",
            ["open mid/2 at +30", "open out/2 at +32", "fail end/2 at +240"],
            id="a straggler of the earlier round does not count in the later one, which may fail",
        ),
    ],
)
def test_late_arrivals(script: str, story: list[str]) -> None:
    day = Day(REFRESH).play(f"{PUBLISHED}; {script}", until=700)
    first = ["open raw/1 at +0", "open mid/1 at +16", "open out/1 at +17", "done end/1 at +18"]
    assert day.story == first + story


OF_POLICY = {
    "refresh": REFRESH,
    "ignore": plan(phase("raw", A, B, replace(LATE, refresh_until=None)), *REFRESH.phases[1:]),
}


@pytest.mark.parametrize("policy", ["refresh", "ignore"])
@pytest.mark.parametrize("times", [1, 3])
def test_an_optional_result_behind_its_gate_refreshes_once_or_moves_nothing(policy: str, times: int) -> None:
    came = "; ".join(f"+{30 + n / 10} c done digest=c" for n in range(times))
    again = "+32 m done digest=m2; +33 z done digest=z2" if policy == "refresh" else ""
    day = Day(OF_POLICY[policy]).play(f"{PUBLISHED}; {came}; {again}", until=80)
    ended = day.outcome("end")
    orders = [order for order in day.orders() if order[:3] in ("m/2", "z/2", "m/3", "z/3")]
    if policy == "ignore":
        assert (orders, ended.attempt, ended.grade) == ([], 1, "degraded")
        assert len(day.ledger) == len(Day(OF_POLICY[policy]).play(PUBLISHED, until=80).ledger)
        return
    assert (orders, ended.attempt, ended.grade) == (["m/2 at +30", "z/2 at +32"], 2, "complete")
    assert [len(order.missing) for name in ("m", "z") for order in day.starts(name)] == [1, 0, 1, 0]
    assert [order.completeness == 1 for name in ("m", "z") for order in day.starts(name)] == [False, True] * 2


def test_a_later_round_has_attempts_of_its_own_and_does_not_count_those_of_the_earlier() -> None:
    day = Day(REFRESH).play(f"{PUBLISHED}; +30 c done", until=31)
    assert day.orders() == ["a/1 at +0", "b/1 at +0", "c/1 at +0", "m/1 at +16", "z/1 at +17", "m/2 at +30"]
    assert day.outcome("mid").base == {"m": 2}
    assert say(day.decide(31)) == "wait out/2 until +120"
    day.play("+32 m done", until=33)
    assert day.orders()[-1] == "z/2 at +32"
    assert day.outcome("out").base == {"z": 2}


def test_what_is_late_but_ignored_is_not_tried_again_either() -> None:
    of = left_of_out(A, B, optional("c", refresh_until=None))
    day = Day(of).play("+5 a done; +6 b done; +17 c failed; +30 c done", until=40)
    assert day.orders() == ["a/1 at +0", "b/1 at +0", "c/1 at +0", "z/1 at +16"]


def test_what_may_still_refresh_is_tried_again_behind_an_open_gate() -> None:
    day = Day(THREE).play("+5 a done; +6 b done; +17 c failed", until=40)
    assert day.orders()[-2:] == ["z/1 at +16", "c/2 at +18"]


@pytest.mark.parametrize("policy", ["refresh", "ignore"])
def test_an_after_that_comes_late_makes_its_reader_run_again_if_it_may(policy: str) -> None:
    late = optional("a", refresh_until=minute(600) if policy == "refresh" else None)
    of = left_of_out(late, critical("b", after=("a",)))
    day = Day(of).play("+12 b done digest=without; +12 a done digest=x", until=14)
    again = ["b/2 at +12"] if policy == "refresh" else []
    assert [order for order in day.orders() if order[0] == "b"] == ["b/1 at +10", *again]
    assert day.starts("b")[-1].inputs == ({"a": "x"} if again else {})
    assert say(day.decide(14)) == ("wait out/1 until +60" if again else "wait end/1 until +120")


def test_what_was_made_without_a_late_one_that_is_ignored_is_degraded_and_names_it() -> None:
    of = left_of_out(optional("a", refresh_until=None), critical("b", after=("a",)))
    day = Day(of).play("+12 b done digest=without; +13 a done digest=x", until=14)
    assert say(day.decide(14)) == "wait end/1 until +120"
    [z] = day.starts("z")
    [missing] = z.missing
    assert (day.outcome("out").grade, missing.processor) == ("degraded", "a")
    assert missing.why == "came at 2024-01-16 11:13 UTC, after b; ignored: late is ignored here"


def test_a_gate_that_opens_again_waits_for_the_readers_of_what_came_late() -> None:
    """Else it would open twice: once for the late one, and again for what was made of it."""
    of = left_of_out(A, optional("c"), optional("d", after=("c",), weight=1.0), quorum=0.6)
    day = Day(of).play("+5 a done; +11 d done digest=without; +16 look", until=20)
    assert say(day.decide(20)) == "wait end/1 until +120"
    day.play("+30 c done digest=c; +33 d done digest=with", until=40)
    assert day.story == ["open raw/1 at +0", "open out/1 at +15", "open out/2 at +33"]


@pytest.mark.parametrize("games", [pytest.param(2, id="below enough"), pytest.param(20, id="enough, in its grace")])
@pytest.mark.parametrize(
    "came", [pytest.param(6, id="before the gate opened"), pytest.param(40, id="after the run's end")]
)
def test_a_partial_that_only_begins_to_count_opens_nothing_again(games: int, came: int) -> None:
    """The clock alone makes nobody run again: what came before was read, too little too late is ignored."""
    of = plan(
        phase("scrape", critical("s")),
        phase("raw", critical("a"), optional("c", unit="games", grace_s=1200), deadline=120, quorum=0.5),
        phase("out", critical("z"), deadline=180),
    )
    found = "|".join(f"g{n}" for n in range(games))
    c = f"c partial has={games - 1} digest=most"
    early, late = (f"+{came} {c};", "") if came < 25 else ("", f"+{came} {c}")
    day = Day(of).play(f"+1 s done finds=games:{found}; +5 a done; {early} +30 z done; {late}", until=300)
    again = ["open out/2 at +60"] if (games, came) == (20, 40) else []
    assert day.story[:4] == ["open scrape/1 at +0", "open raw/1 at +1", "open out/1 at +25", "done end/1 at +30"]
    assert day.story[4:5] == again


def test_what_little_comes_after_the_deadline_counts_when_it_comes() -> None:
    of = plan(phase("scrape", critical("s")), phase("raw", A, optional("c", unit="games"), quorum=0.5, deadline=90))
    script = "+1 s done finds=games:g1|g2; +5 a done; +6 c skipped reason=x; +91 c partial has=1 missing=g2 digest=half"
    day = Day(of).play(script, until=100)
    assert day.story[-2:] == ["done end/1 at +6", "done end/2 at +91"]


def test_what_is_found_again_outranks_what_was_sealed_before() -> None:
    of = plan(
        phase("scrape", critical("s")),
        phase("raw", critical("a"), deadline=90),
        phase("out", critical("z"), deadline=120),
    )
    day = Day(of).play("+1 s done finds=games:g1|g2; +2 a done finds=games:g1|g2|g3", until=3)
    assert day.outcome("raw").expectations == {"games": ("g1", "g2")}
    assert day.outcome("out").expectations == {"games": ("g1", "g2", "g3")}


def test_a_refresh_on_the_left_waits_for_no_gate_further_on() -> None:
    day = Day(REFRESH).play("+5 a done; +6 b done; +17 m done; +30 c done; +32 z done attempt=1", until=33)
    assert say(day.decide(33)) == "wait out/2 until +120"


def test_nothing_on_the_left_moves_once_a_gate_further_on_has_failed() -> None:
    day = Day(REFRESH).play("+5 a done; +6 b done; +7 c done; +300 a done digest=corrected", until=301)
    assert day.story == ["open raw/1 at +0", "open mid/1 at +7", "fail out/1 at +180"]
    assert say(day.decide(301)) == "fail out/1; stands"


def test_games_are_sealed_where_the_phase_that_finds_them_ends() -> None:
    early = "+0 s done finds=games:g1; +1 s done finds=games:g1|g2 digest=more"
    day = Day(UNITS).play(f"{early}; +5 x done has=2; +7 x done has=2", until=8)
    assert day.outcome("scrape").expectations == {}
    assert [order.units for order in day.starts("x")] == [("g1",), ("g1", "g2")]
    assert day.outcome("raw").expectations == {"games": ("g1", "g2")}


def test_downstream_expects_only_the_units_that_are_there() -> None:
    script = f"+1 {GAMES}; +5 x partial has=10 missing=g7 digest=x"
    day = Day(UNITS).play(script, until=61)
    assert day.story[-1] == "open raw/1 at +60"
    assert "g7" not in day.outcome("raw").expectations["games"]
    assert day.starts("a")[0].units == day.outcome("raw").expectations["games"]
    start = day.starts("a")[0]
    assert (start.completeness, [(m.processor, m.units) for m in start.missing]) == (0.9545, [("x", ("g7",))])
    day.play("+62 a done has=10; +62 c done has=10", until=62)
    assert say(day.decide(62)) == "open out/1 degraded 0.9545 without x[g7]"


def test_a_gate_never_fails_at_the_first_look_after_a_silence() -> None:
    """What would open it may still be on the bus."""
    view = Day(ONE).play("", until=30).view(minute(130))
    first = decide(view, refused="")
    assert say(first) == "block out/1 until +135; starts a/2"
    assert first.decision.reason.endswith("the time to give up; fails at the next look")
    entry = consequences(view, first, refused="").entry
    assert entry.next_look_at is not None
    assert refused_before(entry, entry.next_look_at - timedelta(seconds=1)) == ""
    assert refused_before(entry, entry.next_look_at) == "out/1"
    assert say(decide(replace(view, now=minute(135)), refused="out/1")) == "fail out/1"
    assert refused_before(None, minute(135)) == ""


def test_a_hold_is_no_earlier_refusal() -> None:
    """Whoever looks first after it looks for the first time after a long silence."""
    day = Day(ONE).play("+5 a failed; +5 hold until=+300", until=10)
    entry = day.ledger[-1]
    assert (entry.decision, entry.next_look_at) == ("block", minute(300))
    assert refused_before(entry, minute(300)) == ""


@pytest.mark.parametrize(("until", "look"), [("", 22), (" until=+90", 90)])
def test_what_a_published_run_still_looks_for_waits_for_the_end_of_a_hold(until: str, look: float) -> None:
    published = Day(THREE).play("+5 a done; +6 b done; +6 c failed; +16 look; +16.5 z done", until=17)
    verdict = published.play(f"+17 hold{until}", until=17).decide(17)
    assert say(verdict).endswith("; stands")
    assert not verdict.starts
    assert verdict.next_look_at == minute(look)


def test_readings_are_asked_for_only_where_it_would_open() -> None:
    day = Day(READ).play("+5 a done", until=5)
    assert say(decide(day.view(minute(5)))) == "wait out/1 until +60"
    day.play("+6 c done", until=6)
    ask = decide(day.view(minute(6)))
    assert say(ask) == "ask out/1 health fresh"
    assert ask.decision.reason == "would open: all of raw is done; asks health, fresh"
    assert ask.next_look_at == minute(7)


def test_what_a_warning_named_travels_with_the_orders_behind_it() -> None:
    day = Day(READ).play("+1 read health=warn:night; +5 a done; +5 c done", until=6)
    (order,) = day.starts("z")
    assert [(missing.processor, missing.why) for missing in order.missing] == [("night", "is late")]
    assert order.completeness == 1.0


def test_the_first_phase_of_a_replay_is_ordered_what_the_original_knew() -> None:
    (order,) = Day(WITHOUT_X).play("", until=1).starts("a")
    assert order.units == ("g1", "g2")
    assert [missing.processor for missing in order.missing] == ["x"]


def test_readings_that_came_are_not_asked_for_again() -> None:
    day = Day(READ).play("+5 a done; +5 c done", until=5)
    day.decide(5)
    view, readings, _ = day.verdicts[-1]
    assert say(decide(view, {"health": readings["health"]})) == "ask out/1 fresh"


# --- what follows -----------------------------------------------------------------------------------------


def test_an_opening_takes_its_latch_with_the_starts_in_it() -> None:
    day = Day(left_of_out(A, critical("b", needs=("a",)), C))
    asked = consequences(day.view(T0), day.decide(0))
    (taken,) = asked.latches
    assert taken.key == "nba.2024-01-15.overnight.1/gate/raw/1"
    assert taken.outcome is not None
    assert taken.outcome.kind is OutcomeKind.OPEN
    assert [start.id for start in taken.starts] == [f"{taken.run}/raw/a/1", f"{taken.run}/raw/c/1"]
    assert (asked.entry.gate, asked.entry.decision, asked.entry.at) == ("raw", "open", T0)


def test_a_start_takes_a_latch_of_its_own() -> None:
    day = Day(ONE).play("+5 a failed", until=6)
    asked = consequences(day.view(minute(6)), day.decide(6))
    assert [taken.key for taken in asked.latches] == ["nba.2024-01-15.overnight.1/start/raw/a/2"]
    assert asked.latches[0].outcome is None


def test_the_outcome_is_the_first_latch_and_starts_to_its_left_follow() -> None:
    day = Day(THREE).play("+15 c failed; +5 a done; +6 b done", until=16)
    asked = consequences(day.view(minute(16)), day.decide(16))
    assert [taken.key.split("/", 1)[1] for taken in asked.latches] == ["gate/out/1", "start/raw/c/2"]


@pytest.mark.parametrize(
    ("of", "script", "at", "due"),
    [
        pytest.param(
            left_of_out(critical("a", **HASTY)), "", 0, 1, id="after an opening: when its starts are in doubt"
        ),
        pytest.param(left_of_out(critical("a", **HASTY)), "+1 a failed", 2, 3, id="after a start: when it is in doubt"),
        pytest.param(ONE, "+5 a failed", 5, 6, id="after a failure: when its pause is over"),
        pytest.param(ONE, "+5 a skipped reason=x", 5, 10, id="after a block: in five minutes"),
        pytest.param(ONE, "+4 hold", 5, 10, id="held: in five minutes"),
        pytest.param(ONE, "+5 cancel", 5, None, id="cancelled: never"),
        pytest.param(ONE, "", 120, None, id="failed: never"),
        pytest.param(ONE, "+5 a done; +6 z done", 6, None, id="done: never"),
        pytest.param(ONE, "+5 a done; +6 z done", 7, None, id="done before: never"),
        pytest.param(UNITS, "+0 s done finds=games:", 0, 1, id="after an opening that only a holiday follows: soon"),
    ],
)
def test_when_to_look_again(of: Plan, script: str, at: float, due: float | None) -> None:
    day = Day(of).play(script, until=at)
    verdict = day.decide(at)
    asked = consequences(day.view(minute(at)), verdict)
    assert asked.due_at == (None if due is None else minute(due))
    assert asked.entry.next_look_at == asked.due_at


def test_a_verdict_that_stands_asks_for_nothing() -> None:
    day = Day(ONE).play("+5 a done; +6 z done", until=7)
    assert consequences(day.view(minute(7)), day.decide(7)).latches == ()


def test_two_final_outcomes_at_once_are_told_in_the_order_of_the_gates() -> None:
    ended = [opened(gate, kind=OutcomeKind.FAIL, reason=gate) for gate in (END, "out")]
    view = replace(Day(ONE).view(T0), outcomes={outcome.gate: outcome for outcome in ended})
    assert decide(view).gate == "out"


def test_the_ledger_tells_each_change_once() -> None:
    day = Day(READ).play("+5 a done; +10 read fresh=block; +12 c done; +20 read fresh=pass; +30 z done", until=40)
    assert [f"{entry.decision} {entry.gate}" for entry in day.ledger] == [
        "open raw",  # and then it waits, for a, then for the grace of c
        "block out",  # ten looks, one entry
        "open out",
        "done end",
    ]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("", id="a day that fails"),
        pytest.param(f"{PUBLISHED}; +30 c done; +32 m done; +33 z done", id="a day with a refresh"),
        pytest.param("+3 hold until=+20; +5 a failed; +30 a done; +31 cancel", id="a day with an operator"),
        pytest.param("+0 read health=hold; +9 read health=warn:night; +10 a done", id="a day that waited for another"),
        pytest.param(f"{PUBLISHED}; +30 again a; +31 a done digest=new; +32 m done", id="a day that looked again"),
        pytest.param(
            "+0 read health=hold; +2 force raw; +5 force mid; +6 c done; +7 a done", id="a day that was forced"
        ),
        pytest.param("+1 skip c; +10 a done; +20 c done; +30 m done", id="a day that skipped one"),
    ],
)
def test_every_entry_of_the_ledger_can_be_recomputed(script: str) -> None:
    before = replace(REFRESH.phases[0], readings=("health",))
    of = replace(REFRESH, phases=(before, *REFRESH.phases[1:]))
    day = Day(of).play(script, until=400)
    taken = day.latches.values()
    for entry in day.ledger:
        again = recompute(day.plan, reversed(day.facts), taken, entry)
        (original,) = {say(v) + v.decision.reason for view, _, v in day.verdicts if _saw(view, entry) and not v.stands}
        assert say(again) + again.decision.reason == original
        assert (again.gate, again.attempt) == (entry.gate, entry.attempt)


def _saw(view: object, entry: object) -> bool:
    return (view.now, view.fact_ids, view.latch_keys) == (entry.at, entry.facts, entry.latches)  # type: ignore[attr-defined]


def test_what_was_said_is_kept_in_control_alone() -> None:
    day = Day(ONE).play("+5 force out", until=6)
    assert [word.verb for word in day.control.said] == ["force"]
    assert all(not entry.control.said for entry in day.ledger)
    assert day.ledger[-1].control.forces == day.control.forces


@pytest.mark.parametrize(("word", "verdict"), [("hold", "block out/1 until +10"), ("cancel", "block out/1 for good")])
def test_a_hold_and_a_cancel_outrank_a_force(word: str, verdict: str) -> None:
    day = Day(ONE).play("+1 look", until=5)
    day.happen(minute(5), "force", "out")
    day.happen(minute(5), word)
    assert say(day.decide(5)) == verdict


def test_the_end_opens_by_no_word_whoever_has_written_it() -> None:
    day = Day(ONE).play("+5 a done", until=6)
    day.control = Control(forces={"end/1": Act(actor="ann", reason="storm", at=minute(6))})
    assert say(day.decide(6)) == "wait end/1 until +120"


def test_a_latch_of_the_day_names_what_it_claims() -> None:
    """The keys are what makes an effect happen once; they carry nothing that two who look at once could disagree on."""
    day = Day(ONE).play("+5 a failed; +7 a done", until=8)
    assert [key.split("/", 1)[1] for key in day.latches] == ["gate/raw/1", "start/raw/a/2", "gate/out/1"]


def test_one_wins_where_two_decide_at_once() -> None:
    day = Day(ONE).play("", until=120)
    late = Day(ONE, facts=list(day.facts), latches=dict(day.latches)).play("+119 a done", until=119)
    fail = consequences(day.view(minute(120)), day.decide(120)).latches[0]
    opens = consequences(late.view(minute(120)), late.decide(120)).latches[0]
    assert isinstance(day.decide(120).decision, Fail)
    assert not isinstance(late.decide(120).decision, Block)
    assert fail.key == opens.key


def test_an_attempt_ordered_twice_at_the_same_time_is_one_attempt() -> None:
    twice = [latch("gate", opened("raw"), start("a", at=0)), latch("start", None, start("a", at=1))]
    view = replace(Day(left_of_out(critical("a", **HASTY))), latches={taken.key: taken for taken in twice}).view(
        minute(3)
    )
    assert say(decide(view)) == "wait out/1 until +60; starts a/2"
    assert view.starts["a"] == (start("a", at=1),)
