"""The command as a user types it: a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

from tests.house.tree import ROOT


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "orchestration.cli.main", *map(str, arguments)]


def run_arguments(data: Path, day: date, home: Path, *, mode: str = "overnight") -> tuple[object, ...]:
    return ("run", "nba", "--date", day, "--mode", mode, "--data", data, "--home", home)


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("TIPOFF_HOME", "NO_COLOR", "LOG_LEVEL")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def tipoff(*arguments: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=120, env=environment(**env), cwd=cwd or ROOT
    )


def tipoff_json(*arguments: object) -> Any:
    return json.loads(tipoff(*arguments, "--json").stdout)
