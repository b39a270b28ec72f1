"""What becomes of a dead letter without a person: sent again, or left to one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.core.model import Repair, RepairKind

REDRIVES_MAX = 2
"""Of one message. It has had all its attempts each time; a third round would meet the same wall."""

REDRIVE_PAUSE = timedelta(minutes=5)
"""Between two of the same message: what was out of order gets time to be mended."""

LETTERS_EVERY_MIN = 5
"""Minutes between two looks at the dead letters. On Pub/Sub a look takes every one of them, of every subscription, and
hands it back: a dozen calls that find nothing, which at every minute would be most of what the timer does."""

LETTERS_KEPT = timedelta(days=2)
"""An older dead letter is about a run that is over, or a person has it by now."""

UNTOLD = "its lease ran out, or its function answered with an error, on every attempt; the logs of that time say more"
"""What is known of a message that Pub/Sub buried itself: every one dies so that is pushed to a function."""

TRANSIENT = re.compile(
    r"time-?d? ?out|deadline ?exceeded|unavailable|connection|resource ?exhausted|too many requests"
    r"|lease (has )?lapsed|\b(429|503)\b",
    re.IGNORECASE,
)
"""What may have passed by the next try, by its name."""

LASTING = re.compile(
    r"\b(Malformed|Refusal|quarantin\w*|\w*(Value|Type|Key|Index|Lookup|Arithmetic|Assertion|Attribute)Error"
    r"|UnknownProcessor|WarehouseError|FeedError)\b",
    re.IGNORECASE,
)
"""What depends on the message alone: sent again it fails again, whatever else its text speaks of."""


def may_have_passed(error: str) -> bool:
    """Whether it is worth sending a message again, by what is known of its death.

    It is where the error names a cause that passes, and is not where it names another, or nothing. Where nobody was
    told one it is: an outage is the likelier, for what can never work is quarantined and never dies. Should its
    function fail for good, the budget is all that it costs.
    """
    return error == UNTOLD or (bool(TRANSIENT.search(error)) and not LASTING.search(error))


def looks_at_letters(now: datetime) -> bool:
    """Whether this minute's sweep looks at the dead letters: the minute decides, so that nobody has to remember."""
    return now.minute % LETTERS_EVERY_MIN == 0


def letter_name(subscription: str, data: bytes) -> str:
    """Names a dead letter by what it is: sent again it gets a new id, and must not get a new budget."""
    import hashlib  # as in plan: a tenth of what importing the core costs

    return hashlib.sha256(subscription.encode() + b"\0" + data).hexdigest()[:16]


def judge_letter(name: str, error: str, before: Sequence[Repair], now: datetime) -> Repair | None:
    """What is to be done about a dead letter of an open run, given what was done in it. None: nothing, or not yet."""
    mine = [repair for repair in before if repair.subject == name]
    if any(repair.kind is RepairKind.LEFT for repair in mine):
        return None
    if not may_have_passed(error):
        return Repair(kind=RepairKind.LEFT, subject=name, reason=f"no cause that passes: {error or 'unknown'}", at=now)
    sent = [repair.at for repair in mine if repair.kind is RepairKind.REDRIVE]
    if len(sent) >= REDRIVES_MAX:
        reason = f"sent again {len(sent)} times, and dead again: {error}"
        return Repair(kind=RepairKind.LEFT, subject=name, reason=reason, at=now)
    if sent and now < max(sent) + REDRIVE_PAUSE:
        return None
    return Repair(kind=RepairKind.REDRIVE, subject=name, reason=error, at=now)
