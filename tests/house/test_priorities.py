"""PROCESSOR-PRIORITIES.md says exactly what the config says."""

from __future__ import annotations

from shared.config.nba import NBA
from tests.house.tree import ROOT

PAGE = ROOT / "docs/08-projects/current/daily-orchestration-improvements/PROCESSOR-PRIORITIES.md"


def rows() -> list[str]:
    """One line of the page's table per processor."""
    return [
        f"| {phase.label} {phase.name} | {spec.name} | {words(spec.critical)} | {words(spec.optional)} "
        f"| {spec.weight:g} | {words(spec.needs)} | {words(spec.after)} |"
        for phase in NBA.phases
        for spec in phase.processors
    ]


def words(names: tuple[str, ...]) -> str:
    return ", ".join(names)


def test_the_page_names_every_processor_as_it_is_declared() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    missing = [row for row in rows() if row not in lines]
    assert not missing, "put these rows into the page:\n" + "\n".join(missing)
    assert sum(line.startswith("| ") for line in lines) == len(rows()) + 1
