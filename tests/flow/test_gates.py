"""What a deployed gate takes from its topics, whoever publishes there."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone

import pytest

from orchestration.gates import heard_on
from shared.adapters.sqlite import Sqlite
from shared.config.nba import NBA
from shared.core.codec import encode
from shared.core.model import Completion, RunKey, Status
from shared.ports import Ports
from shared.service import Refusal, Service
from tests.flow.test_path_of_a_completion import HandClock

RUN = RunKey("nba", date(2024, 1, 15), "overnight")
SCHEDULE = Completion(
    run=RUN, phase="scrape", processor="schedule", attempt=1, report=1, status=Status.SUCCESS, found={"games": ("g",)}
)
OWN = "nba-phase1-scrapers-complete"


@pytest.fixture
def service() -> Iterator[Service]:
    store = Sqlite(":memory:")
    clock = HandClock(datetime(2024, 1, 16, 11, 0, tzinfo=timezone.utc))
    ports = Ports(states=store.states, bus=store.bus, clock=clock)
    service = Service(ports, {"nba": NBA}, starts_missing_runs=False)
    service.start_run(RUN)
    yield service
    store.close()


def test_a_report_on_its_phases_own_topic_counts(service: Service) -> None:
    assert heard_on(OWN, service)(encode(SCHEDULE)) is None


@pytest.mark.parametrize("topic", [phase.completion_topic for phase in NBA.phases if phase.completion_topic != OWN])
def test_who_may_publish_on_one_topic_may_report_no_phase_of_another(service: Service, topic: str) -> None:
    refused = heard_on(topic, service)(encode(SCHEDULE))
    assert refused == Refusal(f"nba/scrape does not report on {topic}")
