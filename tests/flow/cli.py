"""The command as a user types it, a process of its own, and the forms that docs/cli.md promises."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tests.house.tree import ROOT


@dataclass(frozen=True)
class Said:
    """What a command typed in this process has answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Said]


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


def started(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def until(process: subprocess.Popen[str], text: str) -> None:
    """Read on until the command has said this."""
    assert process.stdout is not None
    end = time.monotonic() + 60
    while time.monotonic() < end and select.select([process.stdout], [], [], 1.0)[0] is not None:
        line = process.stdout.readline()
        if text in line:
            return
        assert line, f"it ended without saying {text!r}: {process.communicate(timeout=60)[1]}"
    raise AssertionError(f"it never said {text!r}")


def on_a_terminal(*arguments: object, **env: str) -> str:
    """What the command writes when a person sits in front of it."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*arguments), stdout=theirs, stderr=theirs, cwd=ROOT, env=environment(TERM="xterm-256color", **env)
    )
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65_536):
            said += part
    except OSError:  # Linux says so when the other side is closed
        pass
    os.close(ours)
    process.wait(timeout=60)
    return said.decode()


def documented(heading: str) -> Any:
    """The JSON example below a heading of docs/cli.md."""
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8").split(f"## {heading}")[1]
    return json.loads(text.split("```json\n")[1].split("```")[0])


def form(value: object) -> Any:
    """Keys and types of a JSON value; of a list, those of its first element."""
    match value:
        case dict():
            return {name: form(part) for name, part in value.items()}
        case list():
            return [form(part) for part in value[:1]]
        case _:
            return type(value).__name__
