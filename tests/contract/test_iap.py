"""Whom Identity-Aware Proxy has let in: what it signs is believed, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.auth import jwt
from google.auth.crypt.es import EsSigner

from orchestration.dashboard.service import proxied, verified, who_of
from orchestration.dashboard.site import Nobody
from shared.adapters.iap import ASSERTION_MAX, KEYS_AGAIN_S, KEYS_LAST_S, Assertions, NotSigned
from shared.config.settings import SettingsError, read_settings

AUDIENCE = "/projects/100000000002/locations/us-central1/services/nba-admin-dashboard"
CLOUD = {
    "TIPOFF_TARGET": "gcp",
    "GOOGLE_CLOUD_PROJECT": "tipoff-prod",
    "TIPOFF_EXPORTS": "gs://tipoff-prod-exports/nba",
}


class Key:
    """One that the proxy may sign by."""

    def __init__(self, id: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        self.id = id
        self.public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        self.signer = EsSigner.from_string(private, id)  # type: ignore[no-untyped-call]

    def sign(self, **told: Any) -> str:
        now = int(time.time())
        usual = {"iss": "https://cloud.google.com/iap", "aud": AUDIENCE, "email": "ann@example.com"}
        claims = {**usual, "iat": now - 5, "exp": now + 600, **told}
        signed: bytes = jwt.encode(self.signer, claims, key_id=self.id)  # type: ignore[no-untyped-call]
        return signed.decode()


OURS, NEXT, OTHERS = Key("a"), Key("b"), Key("a")


@dataclass
class Google:
    """Where the keys are fetched, and when."""

    keys: dict[str, str] = field(default_factory=lambda: {OURS.id: OURS.public})
    fetched: int = 0
    time: float = 1_000_000.0

    def fetch(self) -> Mapping[str, str]:
        self.fetched += 1
        return dict(self.keys)

    @property
    def assertions(self) -> Assertions:
        return Assertions(AUDIENCE, fetch=self.fetch, now=lambda: self.time)


def test_what_the_proxy_has_signed_for_us_names_the_person() -> None:
    assert Google().assertions(OURS.sign()) == "ann@example.com"


LIES = {
    "nothing": "",
    "no assertion": "ann@example.com",
    "another's signature": OTHERS.sign(),
    "a key that nobody knows": Key("z").sign(),
    "for another service": OURS.sign(aud="/projects/1/locations/us-central1/services/other"),
    "another issuer's": OURS.sign(iss="https://accounts.google.com"),
    "over": OURS.sign(iat=int(time.time()) - 900, exp=int(time.time()) - 300),
    "not yet": OURS.sign(iat=int(time.time()) + 900, exp=int(time.time()) + 1800),
    "without a person": OURS.sign(email=""),
    "with a person that is none": OURS.sign(email=["ann"]),
    "not signed at all": "eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30.",
    "altered": OURS.sign()[:-8] + "AAAAAAAA",
    "endless": "a" * (ASSERTION_MAX + 1),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_anything_else_names_nobody(lie: str) -> None:
    with pytest.raises(NotSigned) as refused:
        Google().assertions(lie)
    assert "ann" not in str(refused.value)


def test_keys_are_kept_and_fetched_anew_when_one_is_not_known() -> None:
    google = Google()
    assertions = google.assertions
    for _ in range(3):
        assertions(OURS.sign())
    assert google.fetched == 1
    google.keys[NEXT.id] = NEXT.public
    with pytest.raises(NotSigned):
        assertions(NEXT.sign())
    assert google.fetched == 1, "made up keys have nothing fetched again and again"
    google.time += KEYS_AGAIN_S + 1
    assert assertions(NEXT.sign()) == "ann@example.com"
    google.time += KEYS_LAST_S + 1
    assertions(OURS.sign())
    assert google.fetched == 3


def test_the_plain_header_counts_for_nothing() -> None:
    who = proxied(Google().assertions)
    plain = {"X-Goog-Authenticated-User-Email": "accounts.google.com:eve@example.com"}
    with pytest.raises(Nobody, match="come by the address that the proxy stands before"):
        who(plain)
    assert who({**plain, "X-Goog-IAP-JWT-Assertion": OURS.sign()}) == "ann@example.com"


def test_the_setting_says_whether_the_proxy_is_asked() -> None:
    assert who_of(read_settings(CLOUD)) is verified
    assert who_of(read_settings({**CLOUD, "TIPOFF_IAP_AUDIENCE": AUDIENCE})) is not verified
    with pytest.raises(SettingsError, match="TIPOFF_IAP_AUDIENCE='dashboard' is none; set the Signed"):
        read_settings({**CLOUD, "TIPOFF_IAP_AUDIENCE": "dashboard"})
