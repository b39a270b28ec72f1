"""What subscriptions and those of their dead letters are called: for whoever makes, hears, reads or compares them."""

from __future__ import annotations

from collections.abc import Mapping

AT_THE_TOPIC = "--"
"""Stands in a subscription's name between the function that hears it and the topic."""

DEAD = "-dead"
"""Ends the names of the topic that takes a subscription's dead letters, and of the one subscription that keeps them."""

DEAD_LABELS: Mapping[str, str] = {"holds": "dead-letters"}


def subscription_of(function: str, topic: str) -> str:
    """The name of a function's subscription to a topic: who hears what can be read from it."""
    return f"{function}{AT_THE_TOPIC}{topic}"
