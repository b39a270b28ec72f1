"""What a processor says of the units that it lacks."""

from __future__ import annotations

import pytest

from data_processors.nba.runner import REGISTRY, judge
from shared.core.model import Status
from shared.ports import Written

GAMES = tuple(f"g{number}" for number in range(1, 6))


@pytest.mark.parametrize(
    ("whys", "there", "reason"),
    [
        pytest.param({}, GAMES[1:], "g1: no box score yet", id="one"),
        pytest.param({}, GAMES[3:], "g1, g2, g3: no box score yet", id="as many as are named"),
        pytest.param({}, (), "g1, g2, g3 and 2 more: no box score yet", id="a whole night is one cause"),
        pytest.param({"g2": "odd"}, GAMES[3:], "g1, g3: no box score yet; g2: odd", id="each cause with its own"),
    ],
)
def test_games_that_lack_the_same_are_told_together(whys: dict[str, str], there: tuple[str, ...], reason: str) -> None:
    how = REGISTRY["player_boxscores"]
    written = Written(rows=len(there), digest="d", units=there)
    result = judge(GAMES, written, how, whys=whys, no_history=False, not_covered=False, found={})  # type: ignore[arg-type]
    assert result.reason == reason
    assert result.missing == tuple(game for game in GAMES if game not in there)
    assert result.status is (Status.PARTIAL if there or whys else Status.NOT_READY)
