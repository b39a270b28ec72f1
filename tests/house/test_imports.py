"""Who may import whom: ARCHITECTURE.md's arrows, as law."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT, imports, module_of, sources

MAY_IMPORT = {
    "shared.core": ("shared.core",),
    "shared.config": ("shared.core", "shared.config"),
    "shared.ports": ("shared.core",),
    "shared.logs": ("shared.core",),
    "shared.readings": ("shared.core", "shared.ports", "shared.contents", "shared.preflight"),
    "shared.contents": ("shared.core", "shared.ports"),
    "shared.preflight": ("shared.core", "shared.ports"),
    "shared.history": ("shared.core", "shared.ports"),
    "shared.gather": ("shared.core",),
    "shared.heal": ("shared.core", "shared.ports", "shared.history"),
    "shared.watch": ("shared.core", "shared.ports", "shared.gather", "shared.heal"),
    "shared.service": (
        *("shared.core", "shared.ports", "shared.history", "shared.gather", "shared.heal", "shared.watch"),
    ),
    "shared.edge": ("shared.core", "shared.ports", "shared.service", "shared.logs"),
    "shared.adapters": ("shared.core", "shared.ports", "shared.adapters"),
    "shared.push": ("shared.core", "shared.ports"),
    "shared.scheduled": ("shared.core", "shared.ports"),
    "shared.endpoint": (
        *("shared.core", "shared.ports", "shared.service", "shared.edge", "shared.push", "shared.scheduled"),
        "shared.logs",
    ),
    "shared.wiring": (
        *("shared.core", "shared.adapters", "shared.config", "shared.ports", "shared.push"),
        *("shared.readings", "shared.preflight"),
    ),
    "shared.live": ("shared.adapters", "shared.config"),
    "shared.deployed": (
        "shared.core",
        "shared.config",
        "shared.edge",
        "shared.endpoint",
        "shared.logs",
        "shared.wiring",
    ),
    "data_processors": (
        "shared.core",
        "shared.ports",
        "shared.edge",
        "shared.service",
        "shared.config",
        "shared.wiring",
        "shared.deployed",
        "shared.endpoint",
        "data_processors",
    ),
    "orchestration": (
        "shared.core",
        "shared.gather",
        "shared.watch",
        "shared.ports",
        "shared.edge",
        "shared.service",
        "shared.config",
        "shared.wiring",
        "shared.live",
        "shared.deployed",
        "shared.endpoint",
        "shared.logs",
        "shared.push",
        "data_processors",
        "predictions",
        "simulation",
        "orchestration",
    ),
    "predictions": (
        "shared.core",
        "shared.ports",
        "shared.edge",
        "shared.service",
        "shared.config",
        "shared.wiring",
        "shared.deployed",
        "shared.endpoint",
        "predictions",
    ),
    "simulation": (
        "shared.core",
        "shared.gather",
        "shared.watch",
        "shared.ports",
        "shared.readings",
        "shared.preflight",
        "shared.edge",
        "shared.service",
        "shared.config",
        "shared.adapters",
        "predictions",
        "simulation",
    ),
}
"""Room -> rooms it may import. simulation builds its own world, so it alone besides wiring may take adapters; in it
the shipped coordinator and worker do what they do everywhere."""

OURS = ("shared", "data_processors", "orchestration", "predictions", "simulation", "tests")


def room_of(path: Path) -> str:
    module = module_of(path)
    return next(room for room in MAY_IMPORT if module == room or module.startswith(f"{room}."))


def is_within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize("path", [p for p in sources() if p.name != "__init__.py"], ids=module_of)
def test_imports_point_inward(path: Path) -> None:
    allowed = MAY_IMPORT[room_of(path)]
    ours = {name for name in imports(path) if name.split(".")[0] in OURS and name not in OURS}
    # `from shared import edge` names both shared and shared.edge: the package itself is nobody's room.
    wrong = sorted(name for name in ours if not any(is_within(name, room) for room in allowed))
    assert not wrong, f"{module_of(path)} imports {wrong}; it may import {allowed}"


CORE = [path for path in sources() if "core" in path.parts]


@pytest.mark.parametrize("path", CORE, ids=module_of)
def test_core_imports_the_standard_library_alone(path: Path) -> None:
    foreign = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names) - {"shared"}
    assert not foreign


IMPURE = {"os", "io", "logging", "socket", "subprocess", "time", "random", "urllib", "http", "threading", "pathlib"}


@pytest.mark.parametrize("path", CORE, ids=module_of)
def test_core_asks_no_clock_no_environment_and_no_network(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & IMPURE
    assert "datetime.now" not in path.read_text(encoding="utf-8")


def test_every_init_is_empty() -> None:
    found = (
        path for path in ROOT.glob("*/**/__init__.py") if path.relative_to(ROOT).parts[0] not in (".venv", "build")
    )
    full = [path for path in found if path.read_text()]
    assert not full


def test_no_file_is_named_for_nothing() -> None:
    nameless = {"utils", "util", "helpers", "helper", "common", "base", "manager", "misc"}
    assert not [path for path in sources() if path.stem in nameless]
