"""Does each measure on emulators still measure? Once each, as small as can be: what it finds is not judged by time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestration.bench_emulators import batch, start, transition
from orchestration.bench_pooling import pooling
from tests.emulators import absent_is_said

pytestmark = pytest.mark.slow

MEMORY_MIB_MAX = 150


def figures_of(measure: Callable[[], dict[str, object]]) -> dict[str, object]:
    with absent_is_said():
        return measure()


def numbers(figures: dict[str, object]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if isinstance(value, int | float)}


def test_a_cold_function_decides_within_its_memory() -> None:
    figures = numbers(figures_of(lambda: start(rounds=2)))
    assert 0 < figures["cpu_s_to_serve_p50"] <= figures["cpu_s_p50"] <= figures["cpu_s_max"]
    assert 0 < figures["pss_mib_max"] <= MEMORY_MIB_MAX


def test_every_transition_is_heard_and_told_apart_from_the_emulator() -> None:
    figures = numbers(figures_of(lambda: transition(runs=2)))
    for name in ("transition", "one_hop", "two_hops", "gate"):
        assert 0 < figures[f"{name}_ms_p50"] <= figures[f"{name}_ms_p95"] <= figures[f"{name}_ms_max"]
    assert figures["runs"] == 2


def test_a_batch_through_its_functions_loses_no_unit_and_meets_no_contention() -> None:
    figures = figures_of(lambda: batch(sizes=(120,), times=1))
    seconds = figures.pop("seconds")
    assert isinstance(seconds, dict)
    assert list(seconds) == ["120"]
    del figures["load_average"]
    assert figures == {"lost": 0, "complaints": 0, "contention": 0, "times": 1}


def test_kept_connections_are_told_apart_from_new_ones() -> None:
    figures = numbers(figures_of(lambda: pooling(rounds=2)))
    for name in ("http_pooled_per_s", "http_alone_per_s", "bigquery_pooled_per_s", "bigquery_alone_per_s"):
        assert figures[name] > 0
