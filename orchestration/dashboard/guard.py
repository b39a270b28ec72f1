"""Whether a form was sent by a person who had it before him: pure, and without a secret that instances would share.

A browser gets a random key in a cookie that no other site's request carries (SameSite=Strict) and no script reads. Each
form holds a token made with that key of what the form is about, of who asked for it and when: it serves for nothing
else. Beside it stands where the browser says that the form comes from.

Between a browser and a deployed dashboard `gcloud run services proxy` may stand: it asks by the service's name, and
leaves the form's origin, which is its own address on the person's machine. That such a form comes from the page that
it was sent to, the browser alone can say, and says it of an address of the machine (Sec-Fetch-Site: same-origin).
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256

COOKIE, COOKIE_SECURE = "tipoff", "__Host-tipoff"
"""Of a machine's own server, which has no certificate; of a deployed one, whose cookie nothing but itself can set."""

KEY_MIN, KEY_MAX = 32, 128  # characters
THIS_MACHINE = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?")
FORM_LASTS = timedelta(hours=12)  # a shift; an older form was left open, and the run is not what it was


def new_key() -> str:
    """What a browser's forms are made with."""
    return secrets.token_urlsafe(32)


def is_key(text: str) -> bool:
    """Whether a cookie may be a key of ours."""
    return KEY_MIN <= len(text) <= KEY_MAX and text.isascii() and text.isprintable()


def set_cookie(key: str, *, secure: bool) -> str:
    """The header that gives a browser its key, until it is closed."""
    name = COOKIE_SECURE if secure else COOKIE
    return f"{name}={key}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")


def token(key: str, action: str, who: str, asked_at: str) -> str:
    """What shows that a form of this key's browser was sent."""
    return hmac.new(key.encode(), "\n".join((action, who, asked_at)).encode(), sha256).hexdigest()


def is_made_with(key: str, action: str, who: str, asked_at: str, given: str) -> bool:
    """Whether this token is the form's own."""
    made = token(key, action, who, asked_at) if is_key(key) else ""
    return bool(made) and hmac.compare_digest(made.encode(), given.encode(errors="replace"))


def lasts(asked_at: datetime, now: datetime) -> bool:
    """Whether a form that was asked for then may still be sent."""
    return now - FORM_LASTS <= asked_at <= now


def stranger(headers: Mapping[str, str], host: str, *, is_tunnelled: bool) -> str:
    """Why a form does not come from a page of ours; empty if it does. Every browser says where a form comes from.

    `is_tunnelled`: whether gcloud's proxy may stand between. Who does not say how near a form comes from is then held
    to `host`, as everywhere: a name of a stranger's that leads to the proxy is an origin of its own.
    """
    told = {name.lower(): value for name, value in headers.items()}
    site, origin = told.get("sec-fetch-site"), told.get("origin")
    if site not in (None, "same-origin"):
        return f"the browser says that it comes from elsewhere (Sec-Fetch-Site: {site[:40]})"
    if origin is None:
        return "" if site else "it does not say where it comes from (no Origin)"
    is_through = is_tunnelled and site == "same-origin" and THIS_MACHINE.fullmatch(origin)
    if origin in (f"https://{host}", f"http://{host}") or is_through:
        return ""
    return f"it comes from {origin[:80]}"
