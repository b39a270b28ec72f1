"""Whom Identity-Aware Proxy has let in, by what it signs for each request: for wiring, which gives it to the dashboard.

The header that names the person in plain text anybody may write who reaches the service without the proxy; what is
signed, nobody else can.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping

from google.auth import jwt
from google.auth.exceptions import GoogleAuthError

from shared.adapters.http import Http, HttpError

KEYS_URL = "https://www.gstatic.com/iap/verify/public_key"
ISSUER = "https://cloud.google.com/iap"
KEYS_LAST_S = 3_600.0  # Google adds a key long before it signs by it
KEYS_AGAIN_S = 60.0  # for a key that is not known yet; whoever sends made up ones has them fetched no more often
FETCH_S = 5.0
CLOCKS_DIFFER_S = 30  # Google's own allowance
ASSERTION_MAX = 8_192  # characters; a front end takes no longer header


class NotSigned(ValueError):
    """No assertion that the proxy has signed for this service; says why, and nothing of what it holds."""


class Assertions:
    """From an assertion to the email in it. Any number of threads; one for a process."""

    def __init__(
        self, audience: str, *, fetch: Callable[[], Mapping[str, str]], now: Callable[[], float] = time.time
    ) -> None:
        """`fetch` gives the proxy's public keys in PEM, by their ids."""
        self._audience, self._fetch, self._now = audience, fetch, now
        self._keys: Mapping[str, str] = {}
        self._fetched_at = 0.0
        self._lock = threading.Lock()

    def __call__(self, assertion: str) -> str:
        """Raises NotSigned; or OSError where the keys cannot be had."""
        if not 0 < len(assertion) <= ASSERTION_MAX:
            raise NotSigned("no assertion of Identity-Aware Proxy")
        try:
            keys = self._known(str(jwt.decode_header(assertion).get("kid", "")))
            told = jwt.decode(assertion, certs=keys, audience=self._audience, clock_skew_in_seconds=CLOCKS_DIFFER_S)
        except (GoogleAuthError, ValueError, TypeError) as error:  # of what is no assertion one or the other is said
            why = type(error).__name__
            raise NotSigned(f"the assertion of Identity-Aware Proxy is not to be trusted ({why})") from None
        email = told.get("email")
        if told.get("iss") != ISSUER or not isinstance(email, str) or not email:
            raise NotSigned("the assertion is not Identity-Aware Proxy's, or names nobody")
        return email

    def _known(self, key: str) -> Mapping[str, str]:
        with self._lock:  # else all threads fetch the same at once
            old_s = self._now() - self._fetched_at
            if old_s > KEYS_LAST_S or (key not in self._keys and old_s > KEYS_AGAIN_S):
                self._keys, self._fetched_at = self._fetch(), self._now()
            return self._keys


def fetch_keys(http: Http, url: str = KEYS_URL) -> Mapping[str, str]:
    """The keys that the proxy signs by, from Google."""
    answer = http.call("GET", url, within_s=FETCH_S)
    try:
        found = json.loads(answer.body)
        return {str(name): str(pem) for name, pem in found.items()}
    except (ValueError, AttributeError):
        raise HttpError(f"GET {url}: the answer is no list of keys") from None
