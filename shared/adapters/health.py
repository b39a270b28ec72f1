"""The port HealthProbe over HTTP: what a service of ours says of itself, for wiring."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from shared.adapters.http import Http, HttpError, named, readable_text, refusal
from shared.ports import INSTALLATION, Health

IDENTITY = ("service", "version", "config_hash")
BODY_MAX = 65_536  # bytes of an answer
CHECKS_MAX = 5  # that are named where a service is not ready


class HttpHealthProbe:
    """Keeps the promise of ports.HealthProbe: GET /health, then, deep, GET /ready, each tried once."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def probe(self, url: str, *, within_s: float, deep: bool = True) -> Health:
        over_at = time.monotonic() + within_s
        try:
            alive = self._said(f"{url.rstrip('/')}/health", {200: "alive"}, within_s)
        except HttpError as error:
            return Health(alive=False, why=str(error))
        found = Health(
            alive=True,
            service=readable_text(alive["service"]),
            version=readable_text(alive["version"]),
            config_hash=readable_text(alive["config_hash"]),
        )
        if not deep:
            return replace(found, ready=True)
        try:
            states = {200: "ready", 503: "not_ready"}
            ready = self._said(f"{url.rstrip('/')}/ready", states, over_at - time.monotonic())
        except HttpError as error:
            return replace(found, why=str(error))
        if other := [name for name in IDENTITY if ready[name] != alive[name]]:
            return replace(found, why=f"/health and /ready differ in {', '.join(other)}; ask again")
        if ready["status"] != "ready":
            listed = ready.get("checks")
            failed = _failed(listed if isinstance(listed, list) else [])
            return replace(found, why=_not_ready(failed), blameless=_is_blameless(failed))
        return replace(found, ready=True)

    def _said(self, url: str, states: Mapping[int, str], within_s: float) -> dict[str, Any]:
        """An answer in the form that every service of ours gives. Raises HttpError for any other."""
        where = named("GET", url)
        answer = self._http.ask("GET", url, within_s=within_s, bytes_max=BODY_MAX, identified=True)
        if answer.status not in states:
            raise refusal(where, answer)
        said: object = None
        with suppress(ValueError, RecursionError):
            said = json.loads(answer.body)
        if (
            not isinstance(said, dict)
            or said.get("status") != states[answer.status]
            or not all(isinstance(said.get(name), str) for name in IDENTITY)
            or not (said["service"] and said["version"])  # what works for no pipeline of ours has no configuration
        ):
            raise HttpError(
                f"{where}: answered {answer.status}, but not as a service of Tipoff does; look what answers there"
            )
        return said


def _failed(checks: list[object]) -> list[Mapping[str, object]]:
    """Those that are not well; what is no check is none that is well."""
    read = [each if isinstance(each, dict) else {} for each in checks]
    return [each for each in read if each.get("ok") is not True]


def _is_blameless(failed: list[Mapping[str, object]]) -> bool:
    return bool(failed) and all(each.get("of") == INSTALLATION for each in failed)


def _not_ready(failed: list[Mapping[str, object]]) -> str:
    """Which of its checks failed, and what they say."""
    told = [
        f"{readable_text(each.get('name')) or 'a check'}: {readable_text(each.get('why')) or 'failed'}"
        for each in failed
        if each
    ]
    more = [f"{len(told) - CHECKS_MAX} more"] if len(told) > CHECKS_MAX else []
    return "not ready: " + ("; ".join(told[:CHECKS_MAX] + more) or "it does not say why")
