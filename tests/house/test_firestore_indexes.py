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
LARGE = {"body", "entry", "places", "rest"}
"""Fields that nobody queries and that are large: more than an index entry takes (1,500 bytes), or of many elements."""


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef))


def calls(node: ast.AST, *names: str) -> list[ast.Call]:
    """Every call of a function or method of these names."""
    return [
        call
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] in names
    ]


def texts_of(call: ast.Call) -> list[str]:
    """The texts among its arguments."""
    return [each.value for each in call.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]


def called(node: ast.AST, *names: str) -> list[list[str]]:
    return [texts_of(call) for call in calls(node, *names)]


def queried(node: ast.AST) -> set[str]:
    return {texts[0] for texts in called(node, "FieldFilter", "order_by")}


def composite(node: ast.AST) -> tuple[str, tuple[tuple[str, str], ...]] | None:
    """The index that a function's query needs, if it asks for several fields: those that are to be equal stand first.

    What is compared otherwise is also what is sorted by, in these adapters.
    """
    if len(queried(node)) < 2:
        return None
    sorted_by = [
        (
            texts[0],
            "DESCENDING"
            if any(ast.unparse(each.value) == "Query.DESCENDING" for each in call.keywords)
            else "ASCENDING",
        )
        for call in calls(node, "order_by")
        for texts in [texts_of(call)]
    ]
    equal = sorted(queried(node) - {name for name, _ in sorted_by})
    (collection,) = {texts[0] for texts in called(node, "collection")}
    return collection, (*((name, "ASCENDING") for name in equal), *sorted_by)


def test_a_query_by_several_fields_has_its_composite_index_declared_and_no_other_is() -> None:
    needed = {index for path in ADAPTERS for node in functions(path) if (index := composite(node))}
    declared = {
        (each["collectionGroup"], tuple((of["fieldPath"], of["order"]) for of in each["fields"]))
        for each in DECLARED["indexes"]
    }
    assert needed == declared
    assert len(needed) == 2
    assert {each["queryScope"] for each in DECLARED["indexes"]} == {"COLLECTION"}


@pytest.mark.parametrize("path", ADAPTERS, ids=module_of)
def test_queries_over_all_runs_have_their_index_declared(path: Path) -> None:
    groups = {texts[0] for texts in called(tree(path), "collection_group")}
    assert groups <= {"records"}
    across = {name for node in functions(path) if called(node, "_all_records") for name in queried(node)}
    undeclared = [name for name in across if "COLLECTION_GROUP" not in SCOPES.get(("records", name), set())]
    assert not undeclared


def test_what_is_queried_is_indexed_and_what_is_large_is_not() -> None:
    asked = {name for path in ADAPTERS for name in queried(tree(path))}
    assert asked == {"at", "chunk", "created_at", "due_at", "leased_until", "like", "pipeline", "place"}
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
        "beats",
        "errands",
    }
    without = collections - {group for group, name in SCOPES if name in LARGE}
    assert without == {"ended", "closed", "beats", "errands"}, "their documents are empty or small"
