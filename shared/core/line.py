"""What a person says, in one line: kept for good and shown in many places, whoever asked for it and how. Pure."""

from __future__ import annotations

LINE_MAX = 500  # characters; it stands in a line of every command that shows the run


def one_line(text: str) -> str:
    """The text with single spaces. Raises ValueError where something in it could move a cursor, or it is too long."""
    line = " ".join(text.split())
    if not line.isprintable() or len(line) > LINE_MAX:
        raise ValueError(f"{line[:40]!r} is not a line of at most {LINE_MAX} printable characters")
    return line
