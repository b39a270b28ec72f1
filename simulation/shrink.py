"""The least that still breaks a rule: fewer days, then kinds of faults left out, then single ones.

Zeller and Hildebrandt 2002 (ddmin), over the events that struck. Each try is a whole world; what a left-out event would
have made wait for others is asked anew (draws), so no try is the same world with a hole in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from time import monotonic

from simulation.dice import drawn
from simulation.draws import Draws
from simulation.faults import Faults
from simulation.simulate import FAULTS, Episode, live
from simulation.world import Violation, World

SECONDS_MAX = 60.0
LINES_MAX = 400  # of the trace: the last ones say most


@dataclass(frozen=True, slots=True, kw_only=True)
class Shrunk:
    """What is left of an episode that breaks a rule."""

    violation: Violation
    episode: Episode
    needs: tuple[str, ...]  # the faults without any of which it holds; none: it breaks in fair weather
    had: int  # faults at first
    worlds: int  # that were tried
    done: bool  # nothing more can go; False: out of time
    events: tuple[str, ...]  # of the run that breaks the rule, one line each

    def to_json(self) -> dict[str, object]:
        return {
            "rule": self.violation.rule,
            "run": self.violation.run,
            "detail": self.violation.detail,
            "episode": self.episode.number,
            "first_day": self.episode.first.isoformat(),
            "days": self.episode.days,
            "needs": list(self.needs),
            "faults_at_first": self.had,
            "worlds_tried": self.worlds,
            "nothing_more_can_go": self.done,
            "events": list(self.events),
        }


@dataclass(frozen=True, slots=True)
class _Try:
    episode: Episode
    world: World
    struck: dict[str, str]

    @property
    def violation(self) -> Violation:
        return min(self.world.violations.values(), key=lambda each: each.at)


def shrink(
    episode: Episode, faults: Faults = FAULTS, *, within_s: float = SECONDS_MAX, tell: Callable[[str], None] = print
) -> Shrunk | None:
    """None where the episode breaks no rule. `tell` hears how far it is."""
    search = _Search(faults, within_s)
    first = search.play(episode, None)
    if not first.world.violations:
        return None
    search.rule = first.violation.rule
    left = search.fewer_days(first)
    tell(f"{left.episode.days} of {episode.days} days, {len(left.struck)} faults")
    left = search.fewer_kinds(search.fewer_runs(left))
    tell(f"{len(left.struck)} faults of {len(set(left.struck.values()))} kinds")
    left = search.fewer_events(left)
    violation = next(search.broken(left))
    return Shrunk(
        violation=violation,
        episode=left.episode,
        needs=tuple(left.struck),
        had=len(first.struck),
        worlds=search.worlds,
        done=search.in_time,
        events=events_of(left.world, violation.run),
    )


def events_of(world: World, run: str) -> tuple[str, ...]:
    """The lines of a trace that are about a run; all of them where none is named."""
    return tuple(line for line in world.trace if run in line)[-LINES_MAX:]


class _Search:
    def __init__(self, faults: Faults, within_s: float) -> None:
        self.rule = ""
        self.worlds = 0
        self._faults = faults
        self._until = monotonic() + within_s

    @property
    def in_time(self) -> bool:
        return monotonic() < self._until

    def play(self, episode: Episode, only: Collection[str] | None) -> _Try:
        self.worlds += 1
        draws = Draws(episode.seed, only)
        world = World(drawn(draws, self._faults), episode.first, trace_lines=None)
        live(world, episode)
        return _Try(episode, world, draws.struck)

    def _breaks(self, episode: Episode, only: Collection[str] | None) -> _Try | None:
        """The try, if it breaks the same rule."""
        if not self.in_time:
            return None
        tried = self.play(episode, only)
        return tried if any(self.broken(tried)) else None

    def fewer_days(self, left: _Try) -> _Try:
        whole = left.episode
        for days in range(1, whole.days):
            for begin in range(whole.days - days + 1):
                part = replace(whole, first=whole.first + timedelta(days=begin), days=days)
                if found := self._breaks(part, None):
                    return found
        return left

    def fewer_runs(self, left: _Try) -> _Try:
        """Mostly it is the faults of the run itself."""
        run = next(self.broken(left)).run
        own = {name for name in left.struck if run in name}
        return self._breaks(left.episode, own) or left

    def broken(self, left: _Try) -> Iterator[Violation]:
        return (each for each in left.world.violations.values() if each.rule == self.rule)

    def fewer_kinds(self, left: _Try) -> _Try:
        for kind, _ in Counter(left.struck.values()).most_common():
            others = {name for name, each in left.struck.items() if each != kind}
            left = self._breaks(left.episode, others) or left
        return left

    def fewer_events(self, left: _Try) -> _Try:
        size = len(left.struck)
        while size:
            index, before = 0, len(left.struck)
            while index < len(left.struck) and self.in_time:
                names = list(left.struck)
                others = {*names[:index], *names[index + size :]}
                if found := self._breaks(left.episode, others):
                    left = found  # what follows has moved here
                else:
                    index += size
            again = size == 1 and len(left.struck) < before and self.in_time
            size = min(size, len(left.struck)) if again else size // 2
        return left
