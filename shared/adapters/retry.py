"""Trying again, for all adapters: full jitter, a total time limit always. The one place that sleeps between tries.

Not built on google.api_core's Retry, though its waits have full jitter too: it gives up with an error of its own in
place of the last one, hears no Retry-After, and its clock cannot be given to it. The clients take this one all the
same: all they ask of a `retry` is that it wraps a call.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")

HINT_MAX_S = 10.0  # a server that wants more is not waited for longer: a function has 60 s for its message


def is_one_of(*kinds: type[Exception]) -> Callable[[Exception], bool]:
    return lambda error: isinstance(error, kinds)


def no_hint(_: Exception) -> float | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FullJitter:
    """How to try a call again: wrap it. For calls that may be made twice. Any number of threads.

    The wait before try n+1 is uniform in 0..min(most_s, first_s * 2^(n-1)), so that those who failed together do not
    come back together. No try begins, and no wait ends, later than total_s after the first began; a try itself is
    limited by whoever makes it. Gives up with the last error, as it was raised; at once with one that does not pass.
    """

    passes: Callable[[Exception], bool]
    first_s: float
    most_s: float
    total_s: float
    hint_s: Callable[[Exception], float | None] = no_hint
    """Seconds that the server asked for, waited beside the jitter; at most hint_max_s of them."""
    hint_max_s: float = HINT_MAX_S
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform

    def __call__(self, call: Callable[P, T]) -> Callable[P, T]:
        @wraps(call)
        def persistent(*args: P.args, **kwargs: P.kwargs) -> T:
            over_at = self.clock() + self.total_s
            ceiling_s = self.first_s
            while True:
                try:
                    return call(*args, **kwargs)
                except Exception as error:
                    if not self.passes(error):
                        raise
                    wait_s = self._asked_s(error) + self.uniform(0.0, min(ceiling_s, self.most_s))
                    if self.clock() + wait_s > over_at:
                        raise
                    self.sleep(wait_s)
                    if self.clock() > over_at:  # a busy machine wakes us late
                        raise
                ceiling_s = min(ceiling_s * 2, self.most_s)

        return persistent

    def _asked_s(self, error: Exception) -> float:
        asked_s = self.hint_s(error) or 0.0
        return min(max(asked_s, 0.0), self.hint_max_s)
