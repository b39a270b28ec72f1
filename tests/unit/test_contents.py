"""What is found of the rows that stand, and of a service that answers: by tables."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from shared.contents import complete, fresh, sane
from shared.core.model import Completion, Start, Status
from shared.core.plan import PlannedProcessor
from shared.core.readings import Answer, Claim, Finding, Table
from shared.ports import Health, Stamp, Stood
from shared.preflight import Identity, Preflight, Services, judge
from tests.unit.plans import RUN, T0, critical, optional

TABLE = Table(name="nba_raw.a", column="game_date", unit="game_id")
GAMES = tuple(f"g{number}" for number in range(1, 41))
OTHER = "nba.2024-01-15.overnight.9"


def claim(processor: PlannedProcessor | None = None, expected: tuple[str, ...] | None = GAMES, **said: object) -> Claim:
    completion = Completion(
        run=RUN, phase="raw", processor="a", attempt=2, report=1, status=Status.SUCCESS, reason="", rows=80
    )
    start = Start(
        run=RUN, phase="raw", processor="a", attempt=2, fence=20, partition=RUN.date, timeout_s=60, issued_at=T0
    )
    return Claim(
        processor=processor or critical("a", unit="games"),
        phase="raw",
        completion=replace(completion, **said),  # type: ignore[arg-type]
        start=start,
        expected=expected,
    )


def stood(run: str = str(RUN), attempt: int = 2, fence: int = 20, units: tuple[str, ...] = GAMES) -> Stood:
    return Stood(stamp=Stamp(run=run, attempt=attempt, fence=fence), rows=2 * len(units), units=units)


def told(found: Finding) -> tuple[str, str, tuple[tuple[str, ...], ...]]:
    return found.answer, found.note, tuple(each.units for each in found.missing)


@pytest.mark.parametrize(
    ("asked", "stand", "answer", "note"),
    [
        pytest.param(claim(), [stood()], "well", "", id="its own rows, of the attempt that counts"),
        pytest.param(claim(), [], "bad", "a: reported 80 rows, and none stands", id="nothing, where it says rows"),
        pytest.param(claim(rows=0), [], "well", "", id="nothing, where it says nothing"),
        pytest.param(claim(rows=None), [], "well", "", id="nothing, where it does not say"),
        pytest.param(
            claim(),
            [stood(OTHER, 1, 10)],
            "bad",
            f"a: 80 rows of {OTHER}, attempt 1 stand, not those of {RUN}, attempt 2",
            id="another run's, which is older",
        ),
        pytest.param(
            claim(),
            [stood(attempt=1, fence=19)],
            "bad",
            f"a: 80 rows of {RUN}, attempt 1 stand, not those of {RUN}, attempt 2",
            id="its own, of an older attempt",
        ),
        pytest.param(claim(), [stood(OTHER, 1, 21)], "well", "", id="another run's, which outranks it"),
        pytest.param(claim(), [stood(attempt=3, fence=21)], "well", "", id="its own, of an attempt not reported yet"),
        pytest.param(
            claim(status=Status.SKIPPED, reason="superseded"), [stood(OTHER, 1, 19)], "well", "", id="superseded"
        ),
        pytest.param(
            replace(claim(), late=("b", "c")),
            [stood()],
            "bad",
            "a: attempt 2 was started before its input b, c came anew",
            id="made before its inputs changed",
        ),
        pytest.param(replace(claim(), start=None), [stood(OTHER, 2, 21)], "bad", "a: 80 rows of", id="nobody's order"),
    ],
)
def test_rows_are_fresh_that_are_this_runs_or_outrank_it(
    asked: Claim, stand: list[Stood], answer: str, note: str
) -> None:
    found = fresh(asked, TABLE, stand)
    assert found.answer == answer
    assert found.note.startswith(note)
    assert bool(found.note) == bool(note)
    assert list(found.values) == [TABLE.name]
    assert [each.units for each in found.missing] == ([] if answer == "well" else [()])


FEW = GAMES[:36]
SUMMER = optional("a", unit="games")


@pytest.mark.parametrize(
    ("asked", "stand", "found"),
    [
        pytest.param(claim(), [stood()], ("well", "", ()), id="all are there"),
        pytest.param(claim(), [stood(units=(*GAMES, "more"))], ("well", "", ()), id="more than all"),
        pytest.param(
            claim(),
            [stood(units=GAMES[1:])],
            ("warned", "a: no rows of g1, which it reported", (("g1",),)),
            id="one that it reported is not",
        ),
        pytest.param(
            claim(),
            [stood(units=GAMES[7:])],
            ("warned", "a: no rows of g1, g2, g3, g4, g5 and 2 more, which it reported", (GAMES[:7],)),
            id="many are not",
        ),
        pytest.param(
            claim(missing=GAMES[38:]), [stood(units=GAMES[:38])], ("well", "", ()), id="what it lacks itself is named"
        ),
        pytest.param(
            claim(missing=GAMES[36:]),
            [stood(units=FEW)],
            ("warned", "a has 36 of 40 games, below 95%", ()),
            id="too many that it lacks itself",
        ),
        pytest.param(claim(excused=GAMES[20:]), [stood(units=GAMES[:20])], ("well", "", ()), id="excused"),
        pytest.param(claim(), [], ("bad", "a: none of its 40 games has rows", ((),)), id="none of a critical one"),
        pytest.param(
            claim(SUMMER, GAMES[:2]),
            [],
            ("warned", "a: no rows of g1, g2, which it reported", (("g1", "g2"),)),
            id="none of an optional one",
        ),
        pytest.param(claim(expected=()), [], ("well", "", ()), id="none is expected"),
        pytest.param(claim(expected=None), [], ("well", "", ()), id="nobody knows how many"),
        pytest.param(claim(status=Status.SKIPPED, reason="superseded"), [], ("well", "", ()), id="superseded"),
    ],
)
def test_each_unit_that_was_reported_has_rows(
    asked: Claim, stand: list[Stood], found: tuple[str, str, tuple[tuple[str, ...], ...]]
) -> None:
    assert told(complete(asked, TABLE, stand)) == found


def test_what_has_no_units_is_counted_by_its_rows() -> None:
    found = complete(claim(), replace(TABLE, unit=""), [stood(), stood(OTHER)])
    assert (found.answer, dict(found.values)) == ("well", {"nba_raw.a": "160 rows"})


@pytest.mark.parametrize(
    ("faults", "found"),
    [
        pytest.param({}, ("well", "", ()), id="none"),
        pytest.param({"g1": "odd"}, ("warned", "a: g1: odd", (("g1",),)), id="one"),
        pytest.param({"elsewhere": "odd"}, ("well", "", ()), id="of a unit that nobody wants"),
        pytest.param({"g1": "odd", "g2": "even"}, ("bad", "a: g1: odd; g2: even", ((),)), id="all"),
    ],
)
def test_units_that_cannot_be_true_are_left_out(
    faults: dict[str, str], found: tuple[str, str, tuple[tuple[str, ...], ...]]
) -> None:
    expected = ("g1", "g2") if len(faults) == 2 else ("g1", "g2", "g3")
    assert told(sane(claim(expected=expected), faults)) == found


# --- a service --------------------------------------------------------------------------------------

WELL = Health(alive=True, ready=True, service="raw_processor", version="0123abc", config_hash="planned")
ASKING = Identity(version="0123abc", config_hash="newer")


@pytest.mark.parametrize(
    ("health", "answer", "note", "seen"),
    [
        pytest.param(WELL, Answer.WELL, "", "ready, version 0123abc", id="well"),
        pytest.param(
            Health(alive=False, why="GET /health: refused"),
            Answer.BAD,
            "raw_processor GET /health: refused",
            "not ready, version unknown",
            id="not there",
        ),
        pytest.param(
            replace(WELL, service="other"), Answer.BAD, "raw_processor answers as other", "ready", id="another service"
        ),
        pytest.param(
            replace(WELL, config_hash="older"),
            Answer.BAD,
            "raw_processor goes by configuration older; the run was planned by planned",
            "ready",
            id="neither the run's configuration nor the gate's",
        ),
        pytest.param(
            replace(WELL, config_hash="newer"),
            Answer.WELL,
            "",
            "ready, version 0123abc; configuration newer, the run's is planned",
            id="the gate's configuration, changed since the run was planned",
        ),
        pytest.param(replace(WELL, version="fedcba9"), Answer.WELL, "", "the gate is 0123abc", id="another commit"),
    ],
)
def test_a_service_is_asked_who_it_is(health: Health, answer: Answer, note: str, seen: str) -> None:
    found = judge("raw_processor", health, "planned", ASKING)
    assert (found.answer, found.note) == (answer, note)
    assert seen in found.values["raw_processor"]


@dataclass(frozen=True)
class Answers:
    """Whoever is asked answers the same."""

    health: Health

    def probe(self, url: str, *, within_s: float, deep: bool = True) -> Health:
        return self.health


@pytest.mark.parametrize(
    ("health", "why"),
    [
        pytest.param(replace(WELL, config_hash="newer"), "", id="of the configuration of who asks"),
        pytest.param(replace(WELL, config_hash="older"), "", id="of another: a deployment is under way"),
        pytest.param(replace(WELL, service="other"), "raw_processor answers as other", id="another service"),
        pytest.param(replace(WELL, ready=False, why="not ready: state"), "raw_processor not ready: state", id="ill"),
    ],
)
def test_a_service_that_no_run_waits_for_may_be_of_any_configuration(health: Health, why: str) -> None:
    services = Services(
        behind=lambda _: (), url_of=lambda name: name, probe=lambda: Answers(health), identity=lambda _: ASKING
    )
    assert Preflight(services).ailing("raw_processor", True, "nba") == why
