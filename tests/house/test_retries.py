"""Who tries again and who sleeps: shared/adapters/retry.py, and the few that wait for something, each with a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.tree import imports, module_of, sources, tree

THE_ONE_PLACE = "shared.adapters.retry"

MAY_WAIT = {
    ("orchestration.bench_system", "timed", "sleep"): "a moment by chance, so as not to keep step with an emulator",
    ("orchestration.cli.options", "look_on", "wait"): "looks whether the stack is still there until the command ends",
    ("orchestration.cli.up", "look_on", "sleep"): "looks on until Ctrl-C",
    ("orchestration.emulators", "wait_until_ready", "sleep"): "a process becomes ready when it does, in its own time",
    ("orchestration.emulators", "watch", "sleep"): "looks after processes until Ctrl-C",
    ("orchestration.local", "run_until", "wait"): "for the next message or due time; whoever brings one wakens it",
    ("orchestration.local", "_drain", "wait"): "for jobs that run to end",
    ("orchestration.pool", "close", "sleep"): "for jobs that run to end",
    ("orchestration.stack", "end", "wait"): "for processes that were told to end",
    ("orchestration.stack", "wait_until_ready", "sleep"): "a process becomes ready when it does, in its own time",
    ("orchestration.timer", "main", "sleep"): "for the next tick of the clock",
    (
        "orchestration.timer",
        "main",
        "loop",
    ): "the next tick is another call; what was not sent before, the sweep makes up",
    ("orchestration.deploying.tools", "look", "sleep"): "looks until a new revision has started and is ready",
    ("orchestration.deploying.command", "_tools", "sleep"): "looks until another's deployment has ended",
    ("orchestration.watch", "run_until", "sleep"): "looks until what is watched has ended",
    ("shared.adapters.firestore", "claim", "loop"): "asks for less each time: what others have taken is left out",
    (
        "shared.adapters.home",
        "lock_within",
        "sleep",
    ): "for another process to let go of its lock; flock has no time limit",
    ("shared.adapters.home", "lock_within", "loop"): "the same wait",
}
"""Module, function, what -> what it waits for, or why it goes round. A retry of a failed call is no reason."""

LIBRARIES = ("google.api_core.retry", "urllib3.util.retry", "urllib3.Retry", "tenacity", "backoff", "stamina")
"""Each would be a second place. What BigQuery's client knows of its errors is let be: how it waits is not used."""
OTHERS = ("Retry", "AsyncRetry", "retry_target", "with_timeout", "with_deadline", "with_delay", "with_predicate")
"""What makes a library's policy, and what makes one out of another."""


def found_in(path: Path) -> set[tuple[str, str, str]]:
    """(module, function, what) of all that sleeps, waits in a loop, or tries again."""
    return {(module_of(path), function, what) for function, what in look(tree(path), "", is_looping=False)}


def look(node: ast.AST, function: str, *, is_looping: bool) -> Iterator[tuple[str, str]]:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            function, is_looping = name, False
        case ast.For() | ast.While() | ast.AsyncFor():
            is_looping = True
            if goes_round_again(node):
                yield function, "loop"
        case ast.ImportFrom(names=names) if any(alias.name == "sleep" and alias.asname for alias in names):
            yield function, "sleep under another name"
        case ast.Name(id="sleep", ctx=ast.Load()) | ast.Attribute(attr="sleep", value=ast.Name(id="time" | "asyncio")):
            yield function, "sleep"
        case ast.Call(func=ast.Attribute(attr="wait")) if is_looping:
            yield function, "wait"
        case ast.Call(func=func, keywords=keywords):
            if ast.unparse(func).rpartition(".")[2] in OTHERS:
                yield function, "Retry"
            if any(keyword.arg == "max_retries" for keyword in keywords):
                yield function, "max_retries"
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        yield from look(child, function, is_looping=is_looping)


def goes_round_again(loop: ast.For | ast.While | ast.AsyncFor) -> bool:
    """A loop that is not over a collection's items, and in which an error leads back to its beginning."""
    if not isinstance(loop, ast.While):
        over = ast.unparse(loop.iter)
        if not any(f"{name}(" in over for name in ("range", "count", "repeat", "cycle", "accumulate")):
            return False
    return any(
        isinstance(part, ast.Try) and any(not leaves(handler.body) for handler in part.handlers)
        for part in within(loop)
    )


def within(loop: ast.AST) -> Iterator[ast.AST]:
    """What happens in one round: not inside a function that is only defined there."""
    for child in ast.iter_child_nodes(loop):
        if not isinstance(child, ast.FunctionDef | ast.Lambda):
            yield child
            yield from within(child)


def leaves(body: list[ast.stmt]) -> bool:
    """Whether every way through these ends the loop."""
    match body[-1]:
        case ast.Raise() | ast.Return() | ast.Break():
            return True
        case ast.If(body=then, orelse=otherwise) if otherwise:
            return leaves(then) and leaves(otherwise)
        case _:
            return False


@pytest.mark.parametrize("path", sources(), ids=module_of)
def test_only_one_place_tries_again(path: Path) -> None:
    if module_of(path) == THE_ONE_PLACE:
        return
    unknown = found_in(path) - MAY_WAIT.keys()
    assert not unknown, "try again with shared/adapters/retry.py; what waits for something says so in MAY_WAIT"
    assert not [name for name in imports(path) if name.startswith(LIBRARIES)]


def test_every_exception_is_still_needed() -> None:
    needed = {each for path in sources() for each in found_in(path)}
    assert not MAY_WAIT.keys() - needed
    assert all(MAY_WAIT.values())


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("def f():\n    time.sleep(1)", "sleep"),
        ("def f():\n    sleep(1)", "sleep"),
        ("def f(wait=time.sleep): ...", "sleep"),
        ("class A:\n    pause: object = time.sleep", "sleep"),
        ("from time import sleep as pause", "sleep under another name"),
        ("def f():\n    while True:\n        event.wait(1)", "wait"),
        ("def f():\n    return retry.Retry(predicate=p)", "Retry"),
        ("def f():\n    HTTPAdapter(max_retries=3)", "max_retries"),
        ("def f():\n    DEFAULT_RETRY.with_timeout(3)", "Retry"),
        (
            "def f():\n    for n in range(3):\n        try:\n            g()\n        except E:\n            pass",
            "loop",
        ),
        (
            "def f():\n    while True:\n        with a:\n            try:\n                g()\n"
            "            except OSError:\n                if n:\n                    raise",
            "loop",
        ),
        (
            "def f():\n    for n in count():\n        try:\n            g()\n        except E:\n            continue",
            "loop",
        ),
    ],
)
def test_it_is_seen(source: str, what: str) -> None:
    assert what in {found for _, found in look(ast.parse(source), "", is_looping=False)}


@pytest.mark.parametrize(
    "source",
    [
        "def f(sleep):\n    self._sleep = 1",
        "def f():\n    process.wait(5)",
        "def f():\n    for path in paths:\n        try:\n            g()\n        except E:\n            continue",
        "def f():\n    while True:\n        try:\n            g()\n        except OSError:\n            return",
        "def f():\n    while True:\n        try:\n            g()\n        except E:\n"
        "            if a:\n                raise\n            else:\n                break",
        "def f():\n    while True:\n        def g():\n            try:\n                h()\n            except E:\n"
        "                pass",
    ],
)
def test_it_is_let_be(source: str) -> None:
    assert not list(look(ast.parse(source), "", is_looping=False))
