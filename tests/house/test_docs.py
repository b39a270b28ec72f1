"""What stands in the code and must stand in the docs: commands, options, settings, phases, lessons' scenarios."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from orchestration.cli.main import build_parser
from orchestration.deploying.command import build_parser as deploy_parser
from shared.adapters.feed import COLUMNS
from shared.config import settings
from shared.config.orchestration_config import PIPELINES
from shared.config.slos import SLOS
from shared.core.slo import SloSpec
from tests.house.tree import ROOT

CLI_DOC = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
SLO_DOC = (
    ROOT / "docs" / "08-projects" / "current" / "daily-orchestration-improvements" / "SLO-DEFINITIONS.md"
).read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_documented(name: str) -> None:
    assert f"tipoff {name}" in CLI_DOC
    options = [option for action in commands()[name]._actions for option in action.option_strings]
    undocumented = [
        option
        for option in options
        if option.startswith("--") and option not in (*CLI_DOC.split(), "--help") and f"`{option}" not in CLI_DOC
    ]
    assert not undocumented


def test_every_option_of_a_deployment_is_documented() -> None:
    text = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    options = [option for action in deploy_parser()._actions for option in action.option_strings]
    assert not [option for option in options if option not in ("-h", "--help") and option not in text]


def test_every_environment_variable_is_documented() -> None:
    names = set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', Path(settings.__file__).read_text(encoding="utf-8")))
    assert names
    assert not [name for name in names if f"`{name}`" not in CLI_DOC]


def test_every_phase_is_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    phases = [phase.name for spec in PIPELINES.values() for phase in spec.phases]
    assert not [name for name in phases if name not in text]


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`?make ([a-z]+)`?", README))
    assert {"demo", "test"} <= named
    assert not [target for target in named if f"\n{target}:" not in makefile]


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "data_processors").rglob("*.md")]:
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        broken += [f"{page.relative_to(ROOT)} -> {target}" for target in targets if not (page.parent / target).exists()]
    assert not broken


def test_every_column_of_the_data_is_documented() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    undocumented = [
        name for name, columns in COLUMNS.items() if f"| {name} |" not in text or ", ".join(columns) not in text
    ]
    assert not undocumented


@pytest.mark.parametrize("slo", SLOS, ids=lambda slo: slo.name)
def test_every_objective_is_in_the_definitions_as_it_is_declared(slo: SloSpec) -> None:
    name = slo.name.removesuffix(slo.phase) + "PHASE" if slo.phase else slo.name
    goal = f"{100 * slo.objective:.1f} %"
    line = next(line for line in SLO_DOC.splitlines() if line.startswith(f"| `{name}` |"))
    assert f"| {goal} | {slo.window_days} | {slo.late_minutes:g} | {slo.bad_min} |" in line
