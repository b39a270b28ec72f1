"""What a processor says of the units that it lacks: as much as fits into the reason of a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.core.messages import TEXT_MAX

NAMED_MAX = 3
"""Units that are named of those that lack the same."""


def by_why(whys: Mapping[str, str]) -> str:
    """Units that lack the same are told together, some by name: the report has all of them beside its reason."""
    alike: dict[str, list[str]] = {}
    for unit, why in whys.items():
        alike.setdefault(why, []).append(unit)
    return listed(f"{_some(units)}: {why}" for why, units in alike.items())


def _some(units: list[str]) -> str:
    more = len(units) - NAMED_MAX
    return ", ".join(units[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def listed(parts: Iterable[str]) -> str:
    text = "; ".join(parts)
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 4] + " ..."
