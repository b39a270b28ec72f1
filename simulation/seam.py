"""The seam between what is shipped and a simulated world: between every call to a port and its effect is the world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from shared.core.messages import Message
from shared.ports import Bus, Delivery

SIMULATED = "simulated:"


class Crash(BaseException):
    """The instance is gone; what it had in memory with it."""


class Unavailable(OSError):
    """A port says no; nothing has happened."""


class Seam:
    """A port, with the world between every call and its effect."""

    def __init__(self, port: object, through: Callable[..., Any]) -> None:
        self._port, self._through = port, through

    def __getattr__(self, verb: str) -> Any:
        method, through = getattr(self._port, verb), self._through

        def call(*arguments: Any, **named: Any) -> Any:
            return through(verb, method, arguments, named)

        setattr(self, verb, call)
        return call


class Network:
    """The shipped bus behind a road on which messages are lost, doubled and late."""

    def __init__(self, bus: Bus, carry: Callable[[Sequence[Message]], None]) -> None:
        self._bus = bus
        self._carry = carry

    def publish(self, messages: Sequence[Message], _: datetime) -> None:
        self._carry(messages)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._bus.ack(deliveries)

    def dead_letters(self, limit: int) -> list[tuple[Delivery, str]]:
        return self._bus.dead_letters(limit)

    def redrive(self, ids: Sequence[str], now: datetime) -> tuple[str, ...]:
        return self._bus.redrive(ids, now)

    def nack(self, delivery: Delivery, now: datetime, error: str) -> bool:
        return self._bus.nack(delivery, now, error)
