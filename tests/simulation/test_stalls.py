"""Are batches that stand still noticed in time, and does a seed say which?"""

from __future__ import annotations

from simulation.stalls import ENDED_S, NOTICED_S, stalls


def test_a_batch_that_stands_still_is_noticed_and_ended_soon_after_its_deadline() -> None:
    figures = stalls(12, seed=3)
    assert figures["noticed_in_time"] == figures["ended_in_time"] == figures["stalls"] == 12
    assert figures["noticed_s_max"] <= NOTICED_S
    assert figures["ended_s_max"] <= ENDED_S
    assert figures["at_the_deadline"] >= 3, "who never reaches its deadline shows nothing"
    assert figures["expired"] >= 6
    assert not figures["violations"]


def test_the_same_seed_gives_the_same_stalls() -> None:
    assert stalls(2, seed=1) == stalls(2, seed=1)
