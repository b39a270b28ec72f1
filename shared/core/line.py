"""What a person says, in one line, and until when: kept for good and shown in many places. Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

LINE_MAX = 500  # characters; it stands in a line of every command that shows the run


def one_line(text: str) -> str:
    """The text with single spaces. Raises ValueError where something in it could move a cursor, or it is too long."""
    line = " ".join(text.split())
    if not line.isprintable() or len(line) > LINE_MAX:
        raise ValueError(f"{line[:40]!r} is not a line of at most {LINE_MAX} printable characters")
    return line


AHEAD = re.compile(r"\+(?P<count>[0-9]{1,4})(?P<unit>[dhm])")


def time_ahead(text: str) -> datetime | timedelta:
    """An instant of ISO 8601 with its offset, or +1d, +2h, +30m: so long from now. Raises ValueError for all else."""
    if ahead := AHEAD.fullmatch(text):
        return timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[ahead["unit"]]: int(ahead["count"])})
    try:
        instant = datetime.fromisoformat(text)
        local = instant.tzinfo is None
        instant = instant.astimezone(timezone.utc)
    except (ValueError, OverflowError):  # no time at all, or none that all zones can tell
        local = True
    if local:
        raise ValueError(
            f"{text[:80]!r} is not a time like 2024-01-15T18:00:00+00:00, with its offset, and not +1d, +2h or +30m"
        )
    return instant
