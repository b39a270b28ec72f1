"""Every query of the Firestore adapters runs on an index that the service makes by itself or the file declares.

The emulator runs them all and so says nothing of it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import ROOT, module_of, tree

ADAPTERS = sorted((ROOT / "shared" / "adapters").glob("firestore*.py"))
DECLARED = json.loads((ROOT / "firestore.indexes.json").read_text(encoding="utf-8"))
SCOPES = {
    (each["collectionGroup"], each["fieldPath"]): {index["queryScope"] for index in each["indexes"]}
    for each in DECLARED["fieldOverrides"]
}
LARGE = {"body", "entry", "rest"}
"""Fields that nobody queries and that may hold more than an index entry takes (1,500 bytes)."""


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def called(node: ast.AST, *names: str) -> list[list[str]]:
    """The texts among the arguments of every call of a function or method of these names."""
    return [
        [
            argument.value
            for argument in call.args
            if isinstance(argument, ast.Constant) and argument.value.__class__ is str
        ]
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in names
    ]


def queried(node: ast.AST) -> set[str]:
    return {texts[0] for texts in called(node, "FieldFilter", "order_by")}


@pytest.mark.parametrize("path", ADAPTERS, ids=module_of)
def test_no_query_needs_a_composite_index(path: Path) -> None:
    assert not DECLARED["indexes"], "then this test must learn which query needs them"
    several = {node.name: queried(node) for node in functions(path) if len(queried(node)) > 1}
    assert not several


@pytest.mark.parametrize("path", ADAPTERS, ids=module_of)
def test_queries_over_all_runs_have_their_index_declared(path: Path) -> None:
    groups = {texts[0] for texts in called(tree(path), "collection_group")}
    assert groups <= {"records"}
    across = {name for node in functions(path) if called(node, "_all_records") for name in queried(node)}
    undeclared = [name for name in across if "COLLECTION_GROUP" not in SCOPES.get(("records", name), set())]
    assert not undeclared


def test_what_is_queried_is_indexed_and_what_is_large_is_not() -> None:
    asked = {name for path in ADAPTERS for name in queried(tree(path))}
    assert asked == {"at", "chunk", "due_at", "leased_until", "place"}
    exempt = {name for (_, name), scopes in SCOPES.items() if not scopes}
    assert exempt == LARGE
    assert not asked & exempt


def test_every_collection_with_large_fields_is_exempt_from_indexing_them() -> None:
    collections = {
        texts[0]
        for path in ADAPTERS
        for texts in called(tree(path), "collection", "collection_group", "_part")
        if texts
    }
    assert collections == {
        "runs",
        "records",
        "ledger",
        "quarantine",
        "batches",
        "chunks",
        "orders",
        "reports",
        "ended",
        "seals",
        "closed",
    }
    without = collections - {group for group, name in SCOPES if name in LARGE}
    assert without == {"ended", "closed"}, "their documents are empty"
