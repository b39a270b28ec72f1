"""Is a dead letter sent again? A row: a sentence, what it died of, what was done before, what is done now."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.letters import (
    LASTING,
    REDRIVE_PAUSE,
    TRANSIENT,
    UNTOLD,
    judge_letter,
    letter_name,
    looks_at_letters,
    may_have_passed,
)
from shared.core.model import Repair, RepairKind
from tests.unit.plans import T0, minute

UNAVAILABLE = "StoreUnavailable: state file x: locked by another process for too long"


@pytest.mark.parametrize(
    ("error", "may"),
    [
        (UNAVAILABLE, True),
        ("FirestoreUnavailable: Firestore p/d, append: DeadlineExceeded: 504", True),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", True),
        ("TimeoutError: timed out", True),
        ("HttpError: answered 503", True),
        ("HttpError: answered 429 Too Many Requests", True),
        ("ResourceExhausted: quota", True),
        ("never acknowledged: its lease lapsed on every attempt", True),
        ("Malformed: run: connection refused", False),
        ("ValueError: column 'connection' is not there", False),
        ("AssertionError: nba.2024-01-15.overnight.1 has no plan; 503", False),
        ("WarehouseError: table of unavailable players", False),
        ("KeyError: 'x'", False),
        ("HttpError: answered 5031", False),
        (UNTOLD, True),
        ("HttpError: answered 500", False),
        ("its function answered with an error", False),
        ("", False),
    ],
)
def test_a_cause_that_passes_may_have_passed_and_so_may_one_that_was_never_told(error: str, may: bool) -> None:
    assert may_have_passed(error) is may


def test_what_the_service_buried_by_itself_is_no_wording_of_a_cause() -> None:
    """It goes by itself: another wording of it must not change what is sent again."""
    assert not TRANSIENT.search(UNTOLD)
    assert not LASTING.search(UNTOLD)


def done(kind: str, *minutes: float, subject: str = "m") -> tuple[Repair, ...]:
    return tuple(Repair(kind=RepairKind(kind), subject=subject, reason="", at=minute(at)) for at in minutes)


@pytest.mark.parametrize(
    ("error", "before", "at", "kind", "reason"),
    [
        pytest.param(UNAVAILABLE, (), 0, "redrive", UNAVAILABLE, id="the first time it is"),
        pytest.param(UNAVAILABLE, done("redrive", 0), 4.9, None, "", id="again, not before the pause is over"),
        pytest.param(UNAVAILABLE, done("redrive", 0), 5, "redrive", UNAVAILABLE, id="then it is, once more"),
        pytest.param(
            *(UNAVAILABLE, done("redrive", 0, 5), 10, "left", "sent again 2 times, and dead again: " + UNAVAILABLE),
            id="and after its budget it is left to a person",
        ),
        pytest.param(UNAVAILABLE, done("redrive", 0, 5) + done("left", 10), 99, None, "", id="who is told once"),
        pytest.param(
            UNAVAILABLE, done("redrive", 0, 5, subject="x"), 6, "redrive", UNAVAILABLE, id="others count apart"
        ),
        pytest.param(UNTOLD, (), 0, "redrive", UNTOLD, id="what died of what nobody was told, too"),
        pytest.param(
            *(UNTOLD, done("redrive", 0, 5), 10, "left", "sent again 2 times, and dead again: " + UNTOLD),
            id="and after the same budget it is left, whatever it is",
        ),
        pytest.param("KeyError: 'x'", (), 0, "left", "no cause that passes: KeyError: 'x'", id="poison never is"),
        pytest.param(
            "", (), 0, "left", "no cause that passes: unknown", id="nor what died of nothing that was written down"
        ),
        pytest.param("KeyError: 'x'", done("left", 0), 1, None, "", id="and a person is told of poison once"),
    ],
)
def test_a_dead_letter(error: str, before: tuple[Repair, ...], at: float, kind: str | None, reason: str) -> None:
    judged = judge_letter("m", error, before, minute(at))
    if kind is None:
        assert judged is None
    else:
        assert judged == Repair(kind=RepairKind(kind), subject="m", reason=reason, at=minute(at))


def test_a_message_keeps_its_name_under_a_new_id_and_shares_it_with_no_other() -> None:
    names = {letter_name("gate.a", b"x"), letter_name("gate.b", b"x"), letter_name("gate.a", b"y")}
    assert len(names) == 3
    assert letter_name("gate.a", b"x") in names


def test_the_dead_letters_are_looked_at_every_fifth_minute_within_the_pause() -> None:
    looks = [at for at in range(60) if looks_at_letters(T0 + timedelta(minutes=at))]
    assert looks == list(range(0, 60, 5))
    assert timedelta(minutes=5) <= REDRIVE_PAUSE
