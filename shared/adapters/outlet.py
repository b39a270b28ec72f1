"""How a process tells a collector of itself, whatever it tells: within a limit, and not at all for a while after it
failed. For tracing and metering."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock, Thread
from time import monotonic

LIMIT_S = 0.5
"""What a message waits for the collector at most; less than the exporter's first pause, so it never tries again."""

QUIET_S = 60.0
"""How long a collector is left alone that failed: it costs LIMIT_S a minute, not LIMIT_S a message."""


class Outlet:
    """One for what is told; safe in several threads. `limit_s` and `clock` (seconds, rising) are there for tests."""

    def __init__(
        self, endpoint: str, log: logging.Logger, limit_s: float = LIMIT_S, clock: Callable[[], float] = monotonic
    ) -> None:
        self._endpoint = endpoint
        self._log = log
        self._limit_s = limit_s
        self._clock = clock
        self._lock = Lock()
        self._quiet_until: float | None = None  # None: the collector took what it was sent last

    def send(self, export: Callable[[], bool], lost: str) -> bool:
        """Have the collector told, unless it is left alone just now; whether it took it. `lost` is said where not."""
        with self._lock:
            if self._quiet_until is not None:
                if self._clock() < self._quiet_until:
                    return False
                self._quiet_until = self._clock() + QUIET_S  # one tries, the others go on
        taken = self._within(export)
        with self._lock:
            told = self._quiet_until is not None
            self._quiet_until = None if taken else self._clock() + QUIET_S
        if not taken:
            level = logging.INFO if told else logging.WARNING
            text = "%s: %s did not take them within %g s; none are sent for %g s"
            self._log.log(level, text, lost, self._endpoint, self._limit_s, QUIET_S)
        return taken

    def _within(self, export: Callable[[], bool]) -> bool:
        """Whether it was taken in time. The exporter's own limit is for each read, and knows no name server."""
        results: list[bool] = []
        worker = Thread(target=lambda: results.append(export()), name="outlet", daemon=True)
        try:
            worker.start()
        except RuntimeError:  # no more threads: this is the last thing to need one
            return False
        worker.join(self._limit_s)
        return results == [True]
