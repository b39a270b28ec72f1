"""Every timer of every pipeline, for deploy and the local clock. A late or lost one costs nothing: the sweep sees."""

from __future__ import annotations

from shared.core.model import ScheduleSpec

EASTERN = "America/New_York"

NBA_SCHEDULES = (
    ScheduleSpec(
        name="yesterday-analytics", cron="0 6 * * *", zone=EASTERN, act="start", mode="overnight", date="YESTERDAY"
    ),
    ScheduleSpec(
        name="yesterday-phase4",
        cron="0 7 * * *",
        zone=EASTERN,
        act="nudge",
        mode="overnight",
        date="YESTERDAY",
    ),
    ScheduleSpec(  # the night is due by 09:00: who reads it has an hour left
        name="daily-health-check", cron="0 8 * * *", zone=EASTERN, act="summary", wakes=("daily_health_check",)
    ),
    ScheduleSpec(name="same-day", cron="30 10 * * *", zone=EASTERN, act="start", mode="same_day", date="TODAY"),
    ScheduleSpec(name="tomorrow", cron="0 17 * * *", zone=EASTERN, act="start", mode="tomorrow", date="TOMORROW"),
    ScheduleSpec(  # batches alone: runs are swept each minute
        name="stalled-batch-recovery",
        cron="*/30 * * * *",
        zone=EASTERN,
        act="recover",
        wakes=("prediction_coordinator",),
    ),
    ScheduleSpec(
        name="self-heal",
        cron="* * * * *",
        zone=EASTERN,
        act="sweep",
        wakes=("self_heal", "prediction_coordinator"),
    ),
)
