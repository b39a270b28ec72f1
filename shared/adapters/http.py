"""HTTP for wiring and other adapters: one pooled session of a process, on which everything has a limit.

Nothing is left to the environment: no proxy, no .netrc, no cookie. No redirect is followed: its answer is the answer.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from shared.adapters.retry import FullJitter

POOL = 16  # connections kept, for each host; a process has fewer threads that call
CONNECT_S = 3.0  # a listening host takes milliseconds
CALL_S = 30.0  # all tries of a call: a function has 60 s for its message
BODY_MAX = 1_000_000  # bytes of an answer
PART = 65_536
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
PASSING = frozenset({408, 429, 500, 502, 503, 504})

TEXT_MAX = 200  # characters of what somebody else says


class HttpError(OSError):
    """No answer, or one that says no: names method, host, path, status and the remedy; no query, header or body."""

    def __init__(
        self, text: str, *, status: int | None = None, passes: bool = False, asks_s: float | None = None
    ) -> None:
        super().__init__(text)
        self.status = status  # None: there was no whole answer
        self.passes = passes  # whether the same call may do later
        self.asks_s = asks_s  # seconds that the server wants waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes
    asks_s: float | None = None  # its Retry-After


class Http:
    """Calls over connections that are kept and shared by any number of threads. One for a process; close it."""

    def __init__(
        self,
        *,
        token_for: Callable[[str], str] | None = None,
        again: FullJitter | None = None,
    ) -> None:
        """`token_for` gives the identity token for an audience: IdentityTokens on Google Cloud, None elsewhere."""
        self._token_for = token_for
        self._again = again or AGAIN
        self._session = _session()

    def close(self) -> None:
        """Idempotent."""
        self._session.close()

    def call(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        within_s: float = CALL_S,
        bytes_max: int = BODY_MAX,
        identified: bool = False,
    ) -> Answer:
        """An answer of 2xx. Raises HttpError for any other and for none.

        An idempotent verb is tried again where that may help, all tries together within_s; another is tried once: an
        error does not tell whether it was done.
        """
        over_at = time.monotonic() + within_s

        def once() -> Answer:
            left_s = over_at - time.monotonic()
            answer = self.ask(
                method,
                url,
                body=body,
                content_type=content_type,
                within_s=left_s,
                bytes_max=bytes_max,
                identified=identified,
            )
            if not 200 <= answer.status < 300:
                raise refusal(named(method, url), answer)
            return answer

        return replace(self._again, total_s=within_s)(once)() if method in IDEMPOTENT else once()

    def ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        content_type: str = "application/json",
        within_s: float,
        bytes_max: int = BODY_MAX,
        identified: bool = False,
    ) -> Answer:
        """The answer to one try, whatever its status. Raises HttpError where there is none, or too large a one.

        within_s bounds all of it, however slowly the bytes come, but for three things: looking up the host's name, each
        further address of a name (CONNECT_S), and fetching a token that is not kept. `identified` sends one over https.
        """
        where = named(method, url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "tipoff"}
        if body:
            headers["Content-Type"] = content_type
        if identified:
            headers |= self._identity(url)
        failure: HttpError
        try:
            return self._exchange(where, method, url, body, headers, within_s, bytes_max)
        except (requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError, OSError) as error:
            failure = error if isinstance(error, HttpError) else _explained(where, error, within_s)
        raise failure  # out here, so that it is not chained to the library's error, which tells the query

    def _exchange(
        self,
        where: str,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        within_s: float,
        bytes_max: int,
    ) -> Answer:
        if within_s <= 0:
            raise HttpError(f"{where}: no time is left to ask; give it more", passes=True)
        limit: Any = urllib3.Timeout(total=within_s, connect=min(CONNECT_S, within_s))
        with self._session.request(
            method, url, data=body or None, headers=headers, timeout=limit, stream=True, allow_redirects=False
        ) as response:
            if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise HttpError(f"{where}: the answer is compressed, which was not asked for; correct the service")
            found = bytearray()
            for part in response.raw.stream(PART, decode_content=False):
                found += part
                if len(found) > bytes_max:
                    raise HttpError(f"{where}: the answer has more than {bytes_max} bytes; ask for less, or allow more")
            return Answer(
                status=response.status_code, body=bytes(found), asks_s=retry_after_s(response.headers, time.time())
            )

    def _identity(self, url: str) -> Mapping[str, str]:
        """Never in clear text, never to this machine: an emulator or a test knows nothing of tokens."""
        parts = urlsplit(url)
        if self._token_for is None or parts.scheme != "https" or _is_loopback(parts.hostname or ""):
            return {}
        return {"Authorization": f"Bearer {self._token_for(f'https://{parts.netloc}')}"}


# --- limits ---------------------------------------------------------------------------------------------


class _Within(io.RawIOBase):
    """What a socket brings up to a moment. Its own timeout would begin anew with each byte that trickles in."""

    def __init__(self, connected: socket.socket, received: io.RawIOBase) -> None:
        self._socket = connected
        self._received = received
        self._over_at = time.monotonic() + (connected.gettimeout() or CALL_S)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left_s = self._over_at - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        self._socket.settimeout(left_s)
        return self._received.readinto(buffer)

    def close(self) -> None:
        self._received.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """Its status, headers and body come together within the socket's timeout."""

    def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        received: Any = self.fp
        self.fp = io.BufferedReader(_Within(sock, received.detach()))


class _Connection(HTTPConnection):
    response_class = _Response


class _SafeConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SafePool(HTTPSConnectionPool):
    ConnectionCls = _SafeConnection


class _Pools(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **named: Any) -> None:
        super().init_poolmanager(*arguments, **named)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SafePool}


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # or one caller's would go with another's call
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Pools(pool_connections=POOL, pool_maxsize=POOL))
    return session


# --- errors ---------------------------------------------------------------------------------------------


def named(method: str, url: str) -> str:
    """Method, host and path, for a message. Raises HttpError for what is no address."""
    parts: SplitResult | None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts = port = None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise HttpError(f"{method}: the address is none; give one like https://host/path")
    if parts.username is not None or parts.password is not None:
        raise HttpError(
            f"{method} {readable_text(parts.hostname)}: the address holds a name or password; leave them out"
        )
    return f"{method} {readable_text(parts.hostname)}{f':{port}' if port else ''}{readable_text(parts.path or '/')}"


def refusal(where: str, answer: Answer) -> HttpError:
    match answer.status:
        case 301 | 302 | 303 | 307 | 308:
            remedy = "it points elsewhere, which is not followed; give the address that answers"
        case 401 | 403:
            remedy = "grant this identity roles/run.invoker on it"
        case 404 | 405:
            remedy = "look at the address, and which service answers there"
        case status if status in PASSING:
            remedy = "look at that service's log, and do it again"
        case _:
            remedy = "correct the request"
    text = f"{where}: answered {answer.status}; {remedy}"
    return HttpError(text, status=answer.status, passes=answer.status in PASSING, asks_s=answer.asks_s)


def _explained(where: str, error: Exception, within_s: float) -> HttpError:
    """In words of ours: the libraries' hold the query, and may hold a header."""
    match error:
        case requests.exceptions.ConnectTimeout():
            limit_s = min(CONNECT_S, within_s)
            text = f"no connection within {limit_s:.3g} s; look whether it is up and can be reached from here"
        case requests.exceptions.Timeout() | urllib3.exceptions.TimeoutError() | TimeoutError():
            text = f"no whole answer within {within_s:.3g} s; look at that service's log, or give it more time"
        case requests.exceptions.SSLError() | urllib3.exceptions.SSLError():
            return HttpError(f"{where}: its certificate is not accepted; look who answers there")
        case ValueError():  # also what the libraries raise for an address or a header that is none
            return HttpError(f"{where}: the address is none; give one like https://host/path")
        case _:
            text = f"{_innermost(error)}; look whether it is up and can be reached from here"
    return HttpError(f"{where}: {text}", passes=True)


def _innermost(error: BaseException | None) -> str:
    """What the system said, if it did."""
    said = "the connection broke off"
    while error is not None:
        if isinstance(error, socket.gaierror):
            return "its name is not known"
        if isinstance(error, OSError) and error.errno:
            said = os.strerror(error.errno)
        error = error.__cause__ or error.__context__
    return said


def _passes(error: Exception) -> bool:
    return isinstance(error, HttpError) and error.passes


def _asked_s(error: Exception) -> float | None:
    return error.asks_s if isinstance(error, HttpError) else None


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds, or a date; None for what is neither."""
    said = headers.get("Retry-After", "")[:40].strip()
    if said.isdecimal():
        return float(said)
    try:
        return max(0.0, parsedate_to_datetime(said).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def readable_text(said: object) -> str:
    """What somebody else says, fit for a log or a screen."""
    return "".join(c if c.isprintable() else "?" for c in said[:TEXT_MAX]) if isinstance(said, str) else ""


AGAIN = FullJitter(passes=_passes, first_s=0.1, most_s=2.0, total_s=CALL_S, hint_s=_asked_s)
