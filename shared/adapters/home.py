"""The folder that holds everything Tipoff knows on this machine, and the lock that gives it one writer."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

LOCK_POLL_S = 0.2


class HomeError(OSError):
    """The home cannot be used: says which path, what is wrong, and the remedy."""


class HomeBusy(HomeError):
    """Another command is writing to this home."""


def open_home(path: Path) -> Path:
    """The folder, made if it is not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(
            f"--home {path}: cannot be made ({error.strerror}); name a folder that you may write to"
        ) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise HomeError(f"--home {path}: is not writable; name a folder that you may write to")
    return path


@contextmanager
def only_writer(home: Path, command: str, wait_s: float, waiting: Callable[[str], None]) -> Iterator[None]:
    """Hold the home's write lock. The kernel lets go of it when the process ends, however it ends.

    Calls `waiting` once with who holds it; raises HomeBusy when wait_s is over.
    """
    try:
        handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise HomeError(f"{home / 'lock'}: {error.strerror}; name another --home, or mend its permissions") from None
    try:
        _acquire(handle, home, wait_s, waiting)
        who = {"pid": os.getpid(), "command": command, "since": _now()}
        _tell(handle, who)
        try:
            yield
        finally:
            _tell(handle, {**who, "until": _now()})  # the process may live on, and writes no more
    finally:
        os.close(handle)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _tell(handle: int, who: Mapping[str, object]) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(who).encode(), 0)


def is_written(home: Path) -> bool:
    """Whether whoever held the lock last may still be there. Asks without touching the lock: nobody waits for it.

    A number that the system has given to another process since looks like the writer's.
    """
    try:
        who = json.loads((home / "lock").read_bytes())
        if "until" in who:
            return False
        os.kill(int(who["pid"]), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    except (OSError, ValueError, KeyError, TypeError):  # another user's, or one that is just starting
        return True
    return True


def lock_within(handle: int, wait_s: float, waiting: Callable[[], None] = lambda: None) -> bool:
    """Whether the file is this process's alone within that time; `waiting` is called once if another has it."""
    until = time.monotonic() + wait_s
    told = False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
        else:
            return True
        if not told:
            waiting()
            told = True
        time.sleep(LOCK_POLL_S)


def _acquire(handle: int, home: Path, wait_s: float, waiting: Callable[[str], None]) -> None:
    if not lock_within(handle, wait_s, lambda: waiting(_holder(handle))):
        raise HomeBusy(
            f"--home {home} is being written by {_holder(handle)}; "
            "wait for it (--wait SECONDS), stop it, or use another --home"
        )


def _holder(handle: int) -> str:
    try:
        who = json.loads(os.pread(handle, 1000, 0))
        return f"process {who['pid']} ({who['command']}, since {who['since']})"
    except (ValueError, KeyError, TypeError):
        return "another process that is just starting"
