"""However deployments go wrong, nothing that was not verified serves anybody, and the same command again ends well."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orchestration.deploying.tools import InstalledGcloud, real_look
from tests.cloud.functions import Mishap
from tests.cloud.google import gcloud_environment, google, require_gcloud
from tests.flow.deployments import Planet, Told, rounds


def judge(told: Told) -> None:
    assert not told.broken, told
    assert len(told.persons) * 100 < told.deployments, f"{told}\n{told.persons}"


@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_deployments_with_gcloud_in_memory(seed: int) -> None:
    told = rounds(100, seed, Path("staged"))
    judge(told)
    assert {mishap.value for mishap in Mishap} <= told.faults.keys(), "every fault was tried"
    assert told.spared, "first deployments went wrong, too"


@pytest.fixture
def planets(tmp_path: Path) -> Iterator[Callable[[], Planet]]:
    program = require_gcloud()
    with ExitStack() as opened:

        def planet() -> Planet:
            made = opened.enter_context(google())
            variables = {**os.environ, **gcloud_environment(made.cloud.port, tmp_path / "gcloud")}
            gcloud = InstalledGcloud(program, variables, deploy_s=10.0)
            look = real_look(gcloud, ready_s=0.0)
            return Planet(gcloud=gcloud, look=look, cloud=made.cloud, run=made.run, functions=made.functions)

        yield planet


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("seed", "count"), [(11, 10), (12, 10), (13, 5)])
def test_twenty_five_deployments_with_the_installed_gcloud(
    planets: Callable[[], Planet], tmp_path: Path, seed: int, count: int
) -> None:
    """In three parts, which run beside each other."""
    source = tmp_path / "staged"
    source.mkdir()
    (source / "main.py").write_text("")
    (source / "requirements.txt").write_text("")
    judge(rounds(count, seed, source, planets, mishaps=(0, 0, 1, 1)))  # each run of the command takes seconds
