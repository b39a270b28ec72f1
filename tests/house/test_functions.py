"""Every deployed function is declared, has its folder, and its main.py holds a decorator and a call, nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from orchestration.staging import FUNCTIONS as FOLDER
from shared.config.functions import FUNCTIONS
from tests.house.tree import tree

NAMES = [spec.name for spec in FUNCTIONS]
LINES_MAX = 14


def test_every_function_has_its_folder_and_every_folder_its_declaration() -> None:
    folders = [path.name for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(folders) == sorted(NAMES)
    for name in NAMES:
        assert [path.name for path in (FOLDER / name).iterdir() if path.name != "__pycache__"] == ["main.py"]


@pytest.mark.parametrize("name", NAMES)
def test_a_main_is_one_endpoint_and_its_entry_point(name: str) -> None:
    path = FOLDER / name / "main.py"
    kinds = {
        kind: [node for node in tree(path).body if isinstance(node, kind)] for kind in (ast.Import, ast.ImportFrom)
    }
    rest = [node for node in tree(path).body if not isinstance(node, (ast.Import, ast.ImportFrom))]
    docstring, made, entry = rest
    assert isinstance(docstring, ast.Expr)
    assert isinstance(made, ast.Assign)
    assert isinstance(made.value, ast.Call)
    assert isinstance(made.value.func, ast.Name)
    assert ast.unparse(made) == f"endpoint = {made.value.func.id}({name!r})"
    assert isinstance(entry, ast.FunctionDef)
    assert ast.unparse(entry) == (
        f"@functions_framework.http\ndef {name}(request: Request) -> Answer:\n    return endpoint(request)"
    )
    assert len(kinds[ast.Import]) == 1, "functions_framework alone"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_MAX


@pytest.mark.parametrize("name", NAMES)
def test_no_function_imports_another(name: str) -> None:
    path: Path = FOLDER / name / "main.py"
    assert "cloud_functions" not in path.read_text(encoding="utf-8")
