"""Google's emulators for the tests that want them, one of each for a test process, ended with it.

Where one is absent its tests are skipped and say how to get it; with REQUIRE_EMULATORS=1 they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from orchestration.emulators import EmulatorAbsent, Kind, start


@pytest.fixture(scope="session")
def pubsub_emulator() -> Iterator[str]:
    """host:port"""
    yield from _running("pubsub")


@pytest.fixture(scope="session")
def firestore_emulator() -> Iterator[str]:
    """host:port"""
    yield from _running("firestore")


@pytest.fixture(scope="session")
def bigquery_emulator() -> Iterator[str]:
    """http://host:port"""
    yield from _running("bigquery")


@contextmanager
def absent_is_said() -> Iterator[None]:
    """Turns EmulatorAbsent into a skip with its remedy, or into a failure where emulators are required."""
    try:
        yield
    except EmulatorAbsent as absent:
        if os.environ.get("REQUIRE_EMULATORS") == "1":
            pytest.fail(f"REQUIRE_EMULATORS=1, but {absent}", pytrace=False)
        pytest.skip(str(absent))


def _running(kind: Kind) -> Iterator[str]:
    with absent_is_said():
        running = start(kind)
    try:
        yield running.host
    finally:
        running.stop()
