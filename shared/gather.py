"""How a gate's readings are asked for: all at once under one budget, or one by one where time stands still."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from shared.core.model import Reading

T = TypeVar("T")

READINGS_S = 8.0
"""For all readings of a gate together: a query takes two or three, a probe three at most, and a message lives 60."""

READERS_MAX = 64
"""Threads that read for the gates of a process: four for each of sixteen gates, made as they are needed."""

Asks = Mapping[str, Callable[[], Reading]]
"""Readings by their names, each still to be asked for."""

Answers = Mapping[str, Reading | str]
"""Those that were had in time; or, in words, what one raised."""

Attempt = Callable[[Callable[[], Reading]], Reading | str]
"""Asks, and makes words of what it raises: edge.attempt. Others let it go on its way."""


class AtOnce:
    """Readings side by side: the slowest sets the pace, not their sum. For any number of threads."""

    def __init__(self, attempt: Callable[[Callable[[], Any]], Any] = lambda ask: ask()) -> None:
        self._attempt = attempt
        self._pool: ThreadPoolExecutor | None = None

    def __call__(self, asks: Mapping[str, Callable[[], T]], within_s: float) -> dict[str, T | str]:
        """What answers within that time; raises what `attempt` raises.

        One that is late is not waited for: its thread ends by itself, and nobody hears it. The threads are kept for the
        next time, which a new one would cost more than most readings do; behind a late one all are left alone.
        """
        pool = self._pool = self._pool or ThreadPoolExecutor(READERS_MAX, thread_name_prefix="reading")
        # what is logged in them names the run
        asked = {pool.submit(copy_context().run, self._attempt, ask): name for name, ask in asks.items()}
        done, late = wait(asked, within_s)
        if late:
            self._pool = None
        return {asked[answer]: answer.result() for answer in done}


def one_by_one(asks: Asks, within_s: float) -> dict[str, Reading]:  # noqa: ARG001 - as AtOnce is called
    """As AtOnce, without threads: for a world whose time stands still meanwhile."""
    return {name: ask() for name, ask in asks.items()}
