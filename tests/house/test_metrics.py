"""Metrics are declared once, emitted as they are declared, and each has its line in the docs."""

from __future__ import annotations

import ast
import re

import pytest

from shared.config.metrics import METRICS, metric
from shared.core.measures import MetricKind, MetricSpec
from tests.house.tree import ROOT, sources, tree

DOC = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
IDS = {"run", "date", "generation", "processor", "attempt", "batch", "chunk", "unit", "message"}
"""Of which there are ever more: a series each, for ever."""


def emitted() -> set[str]:
    """The first argument of each Measure that the code makes."""
    return {
        node.args[0].value
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Measure" and node.args
        if isinstance(node.args[0], ast.Constant)
    }


def test_what_is_declared_is_emitted_and_nothing_else() -> None:
    assert emitted() == {spec.name for spec in METRICS}


def test_a_measure_names_its_metric_where_it_is_made() -> None:
    made = [
        node
        for path in sources()
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Measure"
    ]
    assert made
    assert all(node.args and isinstance(node.args[0], ast.Constant) for node in made)


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_metric_has_its_line_in_the_docs(spec: MetricSpec) -> None:
    labels = ", ".join(spec.labels) or "-"
    assert f"| `{spec.name}` | {spec.kind} | {spec.unit} | {labels} | {spec.does} |" in DOC


def test_the_docs_name_no_other_metric() -> None:
    assert set(re.findall(r"^\| `(tipoff\.[\w.]+)` \|", DOC, re.MULTILINE)) == {spec.name for spec in METRICS}


@pytest.mark.parametrize("spec", METRICS, ids=lambda spec: spec.name)
def test_a_metric_is_one_that_can_be_kept(spec: MetricSpec) -> None:
    assert metric(spec.name) is spec
    assert re.fullmatch(r"tipoff(\.[a-z_]+)+", spec.name)
    assert not IDS & set(spec.labels)
    assert all(re.fullmatch(r"[a-z_]+", label) for label in spec.labels)
    assert spec.does.endswith(".")
    assert (spec.kind is MetricKind.HISTOGRAM) == bool(spec.bounds)
    assert list(spec.bounds) == sorted(set(spec.bounds))
