"""What the environment says: the only reader of it, once, for every entry point."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
COMMIT = re.compile(r"[0-9a-f]{7,64}|unknown")
REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field's name in the environment stands in read_settings."""

    home: Path
    log_level: str
    commit: str  # what code this is; rows and heartbeats carry it
    no_color: bool


class SettingsError(ValueError):
    """The environment cannot be used: one line per name, with its value and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read_settings(environ: Mapping[str, str] = os.environ, repository: Path = REPOSITORY) -> Settings:
    """Every name read, with its default. Raises SettingsError that names all that is wrong, not the first of it."""
    problems: list[str] = []

    home = environ.get("TIPOFF_HOME", ".tipoff")
    if not home.strip() or "\0" in home or Path(home).is_file():
        problems.append(f"TIPOFF_HOME={home!r} is not a folder; name one, or unset it for .tipoff")
    log_level = environ.get("LOG_LEVEL", "WARNING").upper()
    if log_level not in LOG_LEVELS:
        problems.append(f"LOG_LEVEL={environ['LOG_LEVEL']!r} is not a level; set one of {', '.join(LOG_LEVELS)}")
    commit = environ.get("TIPOFF_COMMIT") or head_commit(repository / ".git")
    if not COMMIT.fullmatch(commit):
        problems.append(f"TIPOFF_COMMIT={commit!r} is not a commit; set 7 to 64 hex digits, or unset it")

    if problems:
        raise SettingsError(problems)
    return Settings(
        home=Path(home),
        log_level=log_level,
        commit=commit,
        no_color=bool(environ.get("NO_COLOR")),  # no-color.org: set and not empty
    )


def head_commit(git: Path) -> str:
    """What HEAD points to, read from git's files; "unknown" where there is no repository or no commit."""
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head if COMMIT.fullmatch(head) else "unknown"
        ref = head.removeprefix("ref: ")
        if (git / ref).is_file():
            return (git / ref).read_text().strip()
        packed = (line.split(" ") for line in (git / "packed-refs").read_text().splitlines())
        return next((words[0] for words in packed if words[1:] == [ref]), "unknown")
    except (OSError, UnicodeDecodeError):
        return "unknown"
