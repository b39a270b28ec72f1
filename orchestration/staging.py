"""Lays out what is deployed of one function: its main.py, the packages that it imports, its pinned requirements.

Real copies in a folder of their own: the SDK leaves linked folders out of what it uploads, without a word. What is
staged is what main.py imports, and what that imports, also inside functions; and the SQL beside it.
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
FUNCTIONS = REPOSITORY / "orchestration" / "cloud_functions"
REQUIREMENTS = REPOSITORY / "requirements" / "functions.txt"
DATA = ("*.sql", "*.html", "*.css", "*.js", "*.svg")  # read from the packages by those modules that lie beside them


class NotStaged(Exception):
    """A function that cannot be laid out: names it, what is missing, and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A folder that can be served, or deployed, as it is."""

    name: str  # of the function: its folder's, its entry point's, its service's
    folder: Path
    modules: tuple[str, ...]


def stage(name: str, into: Path) -> Staged:
    """Lay the function out anew in into/name. Idempotent; another process must not serve from there meanwhile."""
    main = FUNCTIONS / name / "main.py"
    if not main.is_file():
        raise NotStaged(
            f"function {name}: {main} is not there; add it, or take {name} out of shared/config/functions.py"
        )
    folder = into / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    found = closure(main)
    packages = {package for file in found for package in _packages(file)}
    beside = {data for package in packages for pattern in DATA for data in package.glob(pattern)}
    for file in {*found, *(package / "__init__.py" for package in packages), *beside}:
        copy = folder / file.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
    shutil.copyfile(main, folder / "main.py")
    shutil.copyfile(REQUIREMENTS, folder / "requirements.txt")
    modules = sorted(".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in found)
    return Staged(name=name, folder=folder, modules=tuple(modules))


def closure(main: Path) -> set[Path]:
    """The files of the repository that this one imports, directly or not."""
    found, ahead = set[Path](), [main]
    while ahead:
        file = ahead.pop()
        for module in _imported(file, file.stat().st_mtime_ns):
            file = REPOSITORY.joinpath(*module.split(".")).with_suffix(".py")
            if file.is_file() and file not in found:
                found.add(file)
                ahead.append(file)
    return found


@cache
def _imported(file: Path, _changed_at: int) -> tuple[str, ...]:
    """Read once, as long as it is not changed: fifteen functions import much the same."""
    return tuple(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    """Names that may be modules: of `from a import b` both a and a.b."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _packages(file: Path) -> Iterator[Path]:
    """The folders between a file and the repository."""
    folder = file.parent
    while folder != REPOSITORY:
        yield folder
        folder = folder.parent
