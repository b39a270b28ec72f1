"""Habits of CONTRIBUTING.md that a machine can see."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from shared.config.check import check
from shared.config.functions import FUNCTIONS
from shared.config.orchestration_config import PIPELINES
from tests.house.tree import ROOMS, ROOT, module_of, sources, tree

LONG_ENOUGH = 70  # lines of a function: more than a screen
MODULE_LINES = 400


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_only_the_rim_catches_broadly(path: Path) -> None:
    if path.relative_to(ROOT).as_posix() in ("shared/edge.py", "orchestration/cli/main.py"):
        return  # the rim of a function, and that of the command
    broad = [
        handler.lineno
        for handler in ast.walk(tree(path))
        if isinstance(handler, ast.ExceptHandler)
        and (handler.type is None or ast.unparse(handler.type) in ("Exception", "BaseException"))
        and not any(isinstance(inner, ast.Raise) for inner in ast.walk(handler))
    ]
    assert not broad


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_the_environment_is_read_in_settings_alone(path: Path) -> None:
    if path.name == "settings.py":
        return
    text = path.read_text(encoding="utf-8")
    assert "os.environ" not in text
    assert "getenv" not in text


@pytest.mark.parametrize("path", [p for p in sources() if p.name != "__init__.py"], ids=module_of)
def test_a_module_says_what_it_is_for_and_a_long_one_why(path: Path) -> None:
    docstring = ast.get_docstring(tree(path))
    assert docstring
    assert docstring.splitlines()[0].strip()
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES or len(docstring.splitlines()) > 1, f"{lines} lines, and no reason given"


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_functions_fit_a_screen(path: Path) -> None:
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= LONG_ENOUGH
    ]
    assert not long


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_nothing_is_left_for_later(path: Path) -> None:
    words = ("TO" + "DO", "FIX" + "ME", "X" + "XX")
    assert not [word for word in words if word in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("name", PIPELINES)
def test_every_declared_pipeline_is_sound(name: str) -> None:
    assert not check(PIPELINES[name], FUNCTIONS, f"shared/config/{name}.py")


@pytest.mark.parametrize(
    "path", sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.sql")), ids=lambda path: path.name
)
def test_sql_says_what_it_is_for_and_takes_values_as_parameters(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.startswith("--")
    assert not [line for line in text.splitlines() if "@" in line.partition("--")[2]], "the emulator binds it there too"
    assert "{" not in text
    assert "%s" not in text
