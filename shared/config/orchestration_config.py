"""The registry of pipelines: a new one is one file in shared/config and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from shared.config.nba import NBA
from shared.config.nba_tables import READ_BACK
from shared.core.model import PipelineSpec
from shared.core.readings import ReadBack

PIPELINES: Mapping[str, PipelineSpec] = {"nba": NBA}


READ_BACKS: Mapping[str, ReadBack] = {"nba": READ_BACK}
"""What the gates of each read back of what was written."""


class UnknownPipeline(ValueError):
    """Nobody has declared a pipeline of this name."""


def pipeline(name: str) -> PipelineSpec:
    if name not in PIPELINES:
        known = ", ".join(sorted(PIPELINES))
        raise UnknownPipeline(f"pipeline: {name[:80]!r} is not declared in shared/config; use one of: {known}")
    return PIPELINES[name]
