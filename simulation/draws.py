"""Chance by questions: what is asked, and for which time, is all that the answer depends on.

So a world in which one fault is left out meets all others as before, which is what finding the few that matter takes.
"""

from __future__ import annotations

import random
import struct
from collections import Counter
from collections.abc import Collection
from hashlib import blake2b

NUMBERS = struct.Struct("<8Q")
ONE = 2.0**64


class Draws:
    def __init__(self, seed: str, only: Collection[str] | None = None) -> None:
        self._key = blake2b(seed.encode(), digest_size=32).digest()
        self._asked: Counter[str] = Counter()
        self._only = only  # events that may strike; None: all
        self.struck: dict[str, str] = {}  # the kind of each event that did, by its name, in order

    def named(self, question: str) -> str:
        """A question and for which time it is asked."""
        times = self._asked[question] = self._asked[question] + 1
        return question if times == 1 else f"{question} #{times}"

    def numbers(self, name: str) -> tuple[float, ...]:
        """Eight numbers from 0 up to 1."""
        said = NUMBERS.unpack(blake2b(name.encode(), key=self._key).digest())
        return tuple(number / ONE for number in said)

    def dice(self, name: str) -> random.Random:
        """As many numbers as are wanted."""
        return random.Random(blake2b(name.encode(), key=self._key, digest_size=8).digest())

    def may(self, kind: str, name: str) -> bool:
        """Whether this event is not left out."""
        return self._only is None or f"{kind}: {name}" in self._only

    def strikes(self, kind: str, name: str) -> None:
        """That it does."""
        self.struck[f"{kind}: {name}"] = kind
