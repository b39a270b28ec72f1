"""Cloud Scheduler on this machine, as a process of its own: says each schedule's word on the bus when it is due.

    python -m orchestration.timer

A word is lost with the process, as Cloud Scheduler's may be: the sweep sees what nobody said. Started twice, it says
things twice, and nothing happens twice. Ends at SIGTERM.
"""

from __future__ import annotations

import logging
import signal
import sys
from datetime import datetime
from time import sleep

from shared import logs, wiring
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import Settings, read_settings
from shared.core.messages import Message

log = logging.getLogger("tipoff.timer")

LOOK_S = 0.5


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = read_settings()
    assert settings.cloud is not None, "the embedded runtime has its own timer"
    logs.configure(settings.log_level, function="scheduler", commit=settings.commit, project=settings.cloud.project)
    home = wiring.open_cloud(settings)
    said_until = home.clock.now()
    while True:
        sleep(LOOK_S)
        now = home.clock.now()
        try:
            home.bus.publish(due(settings, said_until, now), now)
        except OSError as error:
            log.warning("not said, and said again: %s", error)
        else:
            said_until = now


def due(settings: Settings, first: datetime, until: datetime) -> list[Message]:
    """What the schedules say in first..until; where no run begins by itself, the sweeps alone."""
    return [
        wiring.nudge(schedule, spec.name, instant)
        for spec in PIPELINES.values()
        for schedule in spec.schedules
        if settings.starts_missing_runs or not schedule.mode  # sweeps, of runs and of batches
        for instant in wiring.firings(schedule, first, until)
    ]


if __name__ == "__main__":
    main()
