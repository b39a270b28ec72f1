"""Which units of a batch have too little to be worked on. Pure, and closed: what is not known is not enough."""

from __future__ import annotations

import math
from collections.abc import Mapping

TOO_POOR = "quality:"
"""Begins the reason of every unit that is refused here."""


def too_poor(completeness: Mapping[str, float | None], least: float) -> dict[str, str]:
    """The units whose inputs are not complete enough, each with the reason. `least` of 0 asks nothing of any.

    `completeness` is the share, 0 to 1, of its inputs that each unit has; None where nobody could tell.
    """
    if least <= 0:
        return {}
    reasons = {}
    for unit, share in completeness.items():
        if share is None or not 0 <= share < math.inf:
            reasons[unit] = f"{TOO_POOR} nobody knows how complete its inputs are; {least:.0%} are needed"
        elif share < least:
            reasons[unit] = f"{TOO_POOR} {math.floor(100 * share)}% of its inputs are there, {least:.0%} are needed"
    return reasons
