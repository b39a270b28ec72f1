"""Whether a staged folder would serve: imported as functions-framework imports it there, and asked who it is.

Builds take minutes, and an import that fails is seen only when the first instance starts: here it takes a second.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

from shared.config.settings import NONE, process_environment
from shared.core.revisions import Wanted

WITHIN_S = 60.0  # two seconds on a quiet machine
OPTIONAL = ("mypy_extensions",)  # sqlglot uses it where it is there, and does without
TOLD_LINES = 3  # the end of a traceback says what is missing

PROBE = """\
import json, sys
folder, target = sys.argv[1:3]
sys.path[:0] = [folder, sys.argv[3]]
import functions_framework
app = functions_framework.create_app(target, folder + "/main.py", "http")
answer = app.test_client().get("/health")
files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in list(sys.modules.items())}
others = [name for name, file in files.items() if not file.startswith(folder)]
print(json.dumps({"status": answer.status_code, "said": answer.get_json(silent=True), "imported": others}))
"""
"""Sees the folder and the installed packages alone: -I and -S keep this repository out of sight. -B leaves the folder
as it was staged, for it is uploaded as it is."""


def self_test(wanted: Wanted, *, within_s: float = WITHIN_S) -> str:
    """Why it would not serve as what it is to be; empty where it would. Nothing outside this process is asked."""
    packages = sysconfig.get_path("purelib")
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, wanted.source, wanted.function, packages]
    environment = {**process_environment(), **wanted.variables, **dict.fromkeys(wanted.secrets, NONE)}
    try:
        ran = subprocess.run(  # noqa: S603 - a list of our own making, no shell
            command, env=environment, capture_output=True, text=True, timeout=within_s, check=False, cwd=wanted.source
        )
    except subprocess.TimeoutExpired:
        return f"its import took more than {within_s:g} s; look what main.py does before it is asked anything"
    if ran.returncode:
        told = " / ".join(line.strip() for line in ran.stderr.strip().splitlines()[-TOLD_LINES:])
        return f"it cannot be imported: {told}; its folder: {wanted.source}"
    return _judge(json.loads(ran.stdout.splitlines()[-1]), wanted)


def _judge(told: Mapping[str, Any], wanted: Wanted) -> str:
    if strange := _not_listed(told["imported"], Path(wanted.source, "requirements.txt").read_text(encoding="utf-8")):
        return f"it imports {strange}, which requirements/functions.txt does not name; add it to functions.in"
    if told["status"] != 200 or not isinstance(told["said"], dict):
        return f"/health answered {told['status']}"
    should = {"service": wanted.function, "version": wanted.commit, "config_hash": wanted.config_hash}
    other = [
        f"{name} {told['said'].get(name)!r}, not {value!r}"
        for name, value in should.items()
        if told["said"].get(name) != value
    ]
    return f"/health says {'; '.join(other)}" if other else ""


def _not_listed(imported: Sequence[str], requirements: str) -> list[str]:
    """What is installed here and would not be there."""
    listed = {_plain(name) for name in re.findall(r"(?m)^([A-Za-z0-9._-]+)", requirements)}
    packages = _packages()
    return sorted(
        name
        for name in imported
        if name in packages and name not in OPTIONAL and not listed.intersection(map(_plain, packages[name]))
    )


@cache
def _packages() -> Mapping[str, Sequence[str]]:
    """By the name that is imported: which packages bring it."""
    return packages_distributions()


def _plain(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()
