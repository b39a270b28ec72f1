"""Units whose inputs are too poor are refused, and so are those of which nobody knows: the gate fails closed."""

from __future__ import annotations

from math import inf, nan, nextafter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.model import Act, Control
from shared.core.quality import too_poor
from tests.unit.batches import after

UNKNOWN = "quality: nobody knows how complete its inputs are; 50% are needed"

SHARES = [
    pytest.param(1.0, "", id="all of its inputs"),
    pytest.param(0.5, "", id="exactly enough"),
    pytest.param(0.4375, "quality: 43% of its inputs are there, 50% are needed", id="seven of sixteen"),
    pytest.param(0.499, "quality: 49% of its inputs are there, 50% are needed", id="a little less than enough"),
    pytest.param(0.0, "quality: 0% of its inputs are there, 50% are needed", id="none of its inputs"),
    pytest.param(-1.0, UNKNOWN, id="fewer than none"),
    pytest.param(None, UNKNOWN, id="what nobody could tell"),
    pytest.param(nan, UNKNOWN, id="no number"),
    pytest.param(inf, UNKNOWN, id="more than can be"),
    pytest.param(-inf, UNKNOWN, id="less than can be"),
]


@pytest.mark.parametrize(("share", "reason"), SHARES)
def test_a_unit_is_worked_on_where_enough_of_its_inputs_are_there(share: float | None, reason: str) -> None:
    assert too_poor({"u1": share}, 0.5) == ({"u1": reason} if reason else {})


@pytest.mark.parametrize("least", [0.0, -1.0])
def test_where_nothing_is_asked_nothing_is_refused(least: float) -> None:
    assert too_poor({"u1": None, "u2": nan, "u3": 0.0}, least) == {}


def test_a_hair_too_few_is_too_few() -> None:
    assert list(too_poor({"u1": nextafter(0.5, 0), "u2": nextafter(0.5, 1)}, 0.5)) == ["u1"]


def test_each_unit_is_weighed_by_itself() -> None:
    refused = too_poor({"rich": 1.0, "poor": 0.2, "unknown": None, "enough": 0.9}, 0.9)
    assert list(refused) == ["poor", "unknown"]
    assert too_poor({}, 0.9) == {}


@given(st.dictionaries(st.text(max_size=3), st.none() | st.floats()), st.floats(min_value=1e-9, max_value=1.0))
def test_whoever_is_not_refused_has_enough(shares: dict[str, float | None], least: float) -> None:
    refused = too_poor(shares, least)
    for unit, share in shares.items():
        assert (unit in refused) != (share is not None and least <= share < inf)
    assert all(reason.startswith("quality: ") for reason in refused.values())


@pytest.mark.parametrize(
    ("until_s", "now_s", "allowed"),
    [
        pytest.param(60, 59.9, True, id="until it ends"),
        pytest.param(60, 60, False, id="and no longer"),
        pytest.param(None, 0, False, id="one without an end was never meant"),
    ],
)
def test_poor_inputs_are_allowed_by_a_persons_word_for_a_time(
    until_s: float | None, now_s: float, allowed: bool
) -> None:
    act = Act(actor="ann", reason="the feed is late", at=after(0), until=None if until_s is None else after(until_s))
    assert Control(quality=act).allows_poor_at(after(now_s)) == (act if allowed else None)
    assert Control(hold=act, cancel=act).allows_poor_at(after(now_s)) is None
