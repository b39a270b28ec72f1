"""The standard fault mix, under which reliability is measured: harsher than real traces show, and frozen.

Compared with shared data's traces. http_checks_upptime: 12,380 checks of 82 sites, 1,138 (9.2 %) of them down; 841
outages in 9,366 site-days, 0.09 a site and day, 3.1 % of the time. ci_job_durations_julia: 8,122 runs of jobs with 30
or more. wf_tasks_wfinstances: 31,913 tasks of kinds with 30 or more.

Whoever changes a rate here changes what every figure in docs/reliability.md means: they are measured anew.
"""

from __future__ import annotations

from simulation.faults import Faults

UPPTIME_OUTAGES_S = (60.0, 647.0, 918.0, 1_207.0, 1_774.0, 3_389.0, 13_714.0)
"""Lengths of the trace's outages, from the first check that is down to the next one that is up, at the quantiles
OUTAGE_QUANTILES; its shortest are as short as checks are apart."""

STANDARD = Faults(
    # Outages of one of the 14 functions, each placed at a run: 0.27 a day. The trace's rate for 14 sites is 1.26 a day,
    # of which some 0.16 would meet one of a day's three runs of about 45 minutes.
    partition=0.06,
    flapping=0.06,
    bad_gate=0.05,
    bad_service=0.05,
    hung_service=0.05,
    outages_s=UPPTIME_OUTAGES_S,
    # Beside these, of the starts that nothing else has struck: 3 % fail, and 1.8 % are never heard of. Of the trace's
    # checks 9.2 % are down, nearly all in outages.
    fail=0.03,
    hang=0.006,
    mute=0.006,
    die=0.006,
    # Durations. Of the CI jobs 2.1 % take more than twice their median, 0.5 % thrice, p99 2.4 times; of the workflows'
    # tasks 17 %, 9.4 % and p99 20 times.
    stretched=0.17,  # from twice to twenty times the usual, each octave as likely
    slow=0.01,  # beyond its timeout, from 15 times the usual
    # Messages and instances: no trace tells. A crash or an error at one of 150 calls; one message of 170 lost, of 30
    # doubled, of 20 late by up to two minutes. Cloud providers promise far less of it.
    crash=0.004,
    error=0.002,
    lost=0.006,
    doubled=0.03,
    late=0.05,
    # A day, of what befalls all: deploys every third day, and what one hears of once or twice a season.
    redeploy=0.3,
    quota=0.03,
    stale=0.1,  # the league's data is late on every tenth day
    slow_service=0.05,
    garbage=0.05,
    no_schedules=0.01,
    no_sweep=0.03,
    config=0.1,
    sink_down=0.05,
    # What no retry heals is no measure of a pipeline: it is excused where it is critical, and kept in for the rest.
    dead_scraper=0.01,
    doomed=0.02,
    stuck=0.03,
    held=0.0,  # an operator's word is a manual act
)
