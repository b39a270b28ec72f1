"""What the commands' common arguments mean."""

from __future__ import annotations

import argparse
from dataclasses import replace

from orchestration.cli.main import UsageError
from shared.config import orchestration_config
from shared.config.settings import Settings, read_settings
from shared.core.model import PipelineSpec, RunKey


def settings_of(arguments: argparse.Namespace) -> Settings:
    settings = read_settings()
    return replace(settings, home=arguments.home) if arguments.home else settings


def spec_of(pipeline: str) -> PipelineSpec:
    try:
        return orchestration_config.pipeline(pipeline)
    except orchestration_config.UnknownPipeline as error:
        raise UsageError(str(error)) from None


def run_key_of(text: str) -> RunKey:
    try:
        run = RunKey.parse(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
    spec_of(run.pipeline)
    return run
