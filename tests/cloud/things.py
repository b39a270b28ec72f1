"""What several of the fake's services do alike: lists in pages, policies, bodies read by Google's own types."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.iam.v1 import policy_pb2
from google.protobuf import json_format

from tests.cloud.fake import Answer, Refused, Request

Body = dict[str, Any]


def parsed(body: object, message: Any) -> Body:
    """The body as Google's type has it, every name and value checked; a message of protobuf, or of proto-plus."""
    made = message() if hasattr(message, "DESCRIPTOR") else message.pb(message())
    try:
        json_format.ParseDict(body, made, ignore_unknown_fields=False)
    except (json_format.ParseError, TypeError, ValueError) as error:
        raise Refused(400, f"Invalid JSON payload received: {error}") from None
    told: Body = json_format.MessageToDict(made)
    return told


def paged(request: Request, key: str, things: Iterable[object], most: int = 7) -> Answer:
    """Few to a page, so that whoever reads but the first is found out."""
    listed = list(things)
    first = int(request.query.get("pageToken") or 0)
    page: Body = {key: copy.deepcopy(listed[first : first + most])}
    if first + most < len(listed):
        page["nextPageToken"] = str(first + most)
    return Answer(page)


def masked(stands: Body, given: Body, fields: Iterable[str]) -> None:
    """Take over the fields that an update names: one that is not given is unset."""
    for name in fields:
        if name in given:
            stands[name] = given[name]
        else:
            stands.pop(name, None)


class Policies:
    """Who may do what with each thing; written only by who has read what stands."""

    def __init__(self, known: Callable[[str], bool] = lambda _: True) -> None:
        self.known = known  # whether a thing is there
        self.held: dict[str, Body] = {}
        self.version = 0

    def get(self, name: str) -> Answer:
        if not self.known(name):
            raise Refused(404, f"Resource not found (resource={name}).")
        return Answer(copy.deepcopy(self.held.get(name, {"etag": "ACAB"})))

    def set(self, name: str, policy: Body) -> Answer:
        stands = self.get(name).body
        assert isinstance(stands, dict)
        checked = parsed(policy, policy_pb2.Policy)
        if checked.get("etag") != stands["etag"]:
            raise Refused(409, "There were concurrent policy changes. Please retry the whole read-modify-write.")
        self.version += 1
        self.held[name] = {**checked, "etag": f"AC{self.version:02d}"}
        return self.get(name)

    def grant(self, name: str, role: str, member: str) -> None:
        """As somebody else would."""
        self.held.setdefault(name, {"etag": "ACAB"}).setdefault("bindings", []).append(
            {"role": role, "members": [member]}
        )


def body_of(request: Request) -> Mapping[str, Any]:
    found: Mapping[str, Any] = request.json
    return found
