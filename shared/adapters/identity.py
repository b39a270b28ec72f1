"""Google's identity tokens, by which one service of ours is known to another: for wiring, which gives them to Http."""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from functools import partial

from google.auth.exceptions import GoogleAuthError, TransportError
from google.auth.transport.requests import Request
from google.oauth2.id_token import fetch_id_token

from shared.adapters.http import HttpError, readable_text

EARLY_S = 300.0  # before its end a token is fetched anew; they last an hour
TOKEN_S = 3.0  # one try of fetching one; the metadata server takes milliseconds


class IdentityTokens:
    """Google's identity tokens, each kept until shortly before its end. Any number of threads."""

    def __init__(self, *, fetch: Callable[[str], str], now: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._now = now
        self._kept: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def __call__(self, audience: str) -> str:
        with self._lock:  # else all threads fetch the same at once
            token, until = self._kept.get(audience, ("", 0.0))
            if self._now() >= until:
                token = self._fetch(audience)
                self._kept[audience] = (token, expires_at(token) - EARLY_S)
            return token


def fetch_token(audience: str) -> str:
    """From the metadata server, or the service account that the environment names."""
    failure: GoogleAuthError
    try:
        return str(fetch_id_token(partial(Request(), timeout=TOKEN_S), audience))
    except GoogleAuthError as error:
        failure = error
    raise HttpError(  # out here: what it would be chained to may tell more than is ours to tell
        f"identity token for {readable_text(audience)}: {type(failure).__name__}; run as a service account, or name its"
        " key in GOOGLE_APPLICATION_CREDENTIALS",
        passes=isinstance(failure, TransportError),
    )


def expires_at(token: str) -> float:
    """Seconds since 1970; 0 for a token that does not say. Its signature is for its reader to check."""
    try:
        payload = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(found["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return 0.0
