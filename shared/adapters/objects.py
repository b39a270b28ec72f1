"""The ObjectStore in a folder, for one machine, and in memory, for tests."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

UNFINISHED = ".tmp"  # what a name ends in, after a dot at its beginning, until its bytes are whole


def remove_unfinished(root: Path) -> None:
    """Remove what a killed writer was putting. For a folder with one writer: nobody else can be at it."""
    for path in root.rglob(f".*{UNFINISHED}"):
        path.unlink(missing_ok=True)


def _checked(name: str) -> str:
    """A name like 'nba/2024-01-15/results.json'; ValueError for one that is not, or that would leave the store."""
    parts = name.split("/")
    if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"object name {name[:200]!r}: expected parts like 'nba/2024-01-15/results.json'")
    return name


class FolderObjects:
    """Keeps the promises of ports.ObjectStore; any number of processes. 'a' and 'a/b' cannot both be objects."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> None:
        path = self._root / _checked(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        # in the same folder, so that the rename stays within one file system
        temporary = path.parent / f".{secrets.token_hex(8)}{UNFINISHED}"
        try:
            with open(temporary, "xb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())  # else a power cut could leave the name with an empty file
            os.replace(temporary, path)
        except BaseException as error:
            temporary.unlink(missing_ok=True)
            if isinstance(error, OSError) and error.filename is None:  # a full disk does not say where
                error.filename = str(path)
            raise

    def get(self, name: str) -> bytes | None:
        try:
            return (self._root / _checked(name)).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None


class MemoryObjects:
    """The same promises inside one process, gone with it: for tests."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}

    def put(self, name: str, body: bytes) -> None:
        self._bodies[_checked(name)] = bytes(body)

    def get(self, name: str) -> bytes | None:
        return self._bodies.get(_checked(name))
