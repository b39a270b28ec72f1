"""Whether a staged folder would serve: imported as functions-framework imports it there, and asked who it is.

Builds take minutes, and an import that fails is seen only when the first instance starts: here it takes a moment.
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

WITHIN_S = 60  # half a second on a quiet machine
OPTIONAL = ("mypy_extensions",)  # sqlglot uses it where it is there, and does without
TOLD_LINES = 3  # the end of a traceback says what is missing

PRELOADED = (
    "functions_framework",
    "google.cloud.firestore",
    "google.cloud.pubsub_v1",
    "google.cloud.bigquery",
    "gcsfs",
)
"""Packages that nearly all functions import, and that take most of the time: imported once, before the fork."""

PROBE = """\
import json, os, signal, sys, traceback
from os import environ  # made here, not read
sys.path.insert(0, sys.argv[1])
for name in sys.argv[3:]:
    try:
        __import__(name)
    except ImportError:
        pass

def test(folder, target):
    sys.path.insert(0, folder)
    import functions_framework
    app = functions_framework.create_app(target, folder + "/main.py", "http")
    answer = app.test_client().get("/health")
    files = {name.partition(".")[0]: getattr(module, "__file__", None) or "" for name, module in [*sys.modules.items()]}
    others = [name for name, file in files.items() if not file.startswith(folder)]
    return {"status": answer.status_code, "said": answer.get_json(silent=True), "imported": others}

for job in json.load(sys.stdin):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(int(sys.argv[2]))
        os.close(reading)
        os.dup2(2, 1)
        os.chdir(job["folder"])
        environ.clear()
        environ.update(job["environment"])
        try:
            told = test(job["folder"], job["target"])
        except BaseException:
            told = {"error": traceback.format_exc()}
        with os.fdopen(writing, "w") as out:
            json.dump(told, out)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        told = said.read()
    os.waitpid(child, 0)
    print(told or "{}", flush=True)
"""
"""Each function in a process of its own, which sees its folder and the installed packages alone: -I and -S keep this
repository out of sight. -B leaves the folder as it was staged, for it is uploaded as it is."""


def self_tests(wanted: Sequence[Wanted], *, within_s: int = WITHIN_S) -> list[str]:
    """Why each would not serve as what it is to be; empty where it would. Nothing outside this machine is asked."""
    command = [sys.executable, "-I", "-S", "-B", "-c", PROBE, sysconfig.get_path("purelib"), str(within_s), *PRELOADED]
    jobs = [
        {
            "folder": each.source,
            "target": each.function,
            "environment": {**process_environment(), **each.variables, **dict.fromkeys(each.secrets, NONE)},
        }
        for each in wanted
    ]
    ran = subprocess.run(  # noqa: S603 - a list of our own making, no shell
        command,
        input=json.dumps(jobs),
        env=process_environment(),
        capture_output=True,
        text=True,
        timeout=within_s * (len(jobs) + 1),
        check=False,
    )
    if ran.returncode:  # of what tests, not of what is tested
        return [f"it cannot be tested: {_end_of(ran.stderr)}; run `make setup`"] * len(jobs)
    told = [json.loads(line) for line in ran.stdout.splitlines()]
    return [_judge(said, each, within_s) for said, each in zip(told, wanted, strict=True)]


def _end_of(text: str) -> str:
    return " / ".join(line.strip() for line in text.strip().splitlines()[-TOLD_LINES:])


def _judge(told: Mapping[str, Any], wanted: Wanted, within_s: int) -> str:
    if not told:
        return f"its import took more than {within_s} s; look what main.py does before it is asked anything"
    if "error" in told:
        return f"it cannot be imported: {_end_of(told['error'])}; its folder: {wanted.source}"
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
