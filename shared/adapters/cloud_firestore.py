"""Firestore's indexes and its fields that are indexed otherwise than all are, as the port Cloud has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.cloud_calls import Calls
from shared.core.drift import BUILDING, Kind, Resource, Value

SERVICE = "firestore"
ITSELF = "__name__"  # ends every index, said or not
EVERY = "__default__"  # the collection whose field `*` says what holds where nothing else is said
ODD = ("indexConfig.usesAncestorConfig:false", "ttlConfig:*")
"""Which fields are told of: those that are indexed otherwise, and those that have a time to live."""


class Indexes:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._path = f"/v1/projects/{calls.project}/databases/(default)/collectionGroups"

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        return [
            Resource(kind=Kind.INDEX, name=_name(each), fields={"scope": each["queryScope"], "state": each["state"]})
            for each in self._calls.pages(SERVICE, f"{self._path}/-/indexes", "indexes")
        ]

    def create(self, resources: Sequence[Resource]) -> None:
        """Google goes on building them when this has returned."""
        for each in resources:
            collection, _, over = each.name.partition(": ")
            fields = [_told(field) for field in over.split(", ")]
            body = {"queryScope": each.fields["scope"], "fields": fields}
            self._calls.make(SERVICE, "POST", f"{self._path}/{collection}/indexes", body)

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        """An index is what it is; one that is being built is waited for."""

    def remove(self, resource: Resource) -> None:
        for each in self._calls.pages(SERVICE, f"{self._path}/-/indexes", "indexes"):
            if _name(each) == resource.name:
                self._calls.delete(SERVICE, f"/v1/{each['name']}")


class Fields:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._path = f"/v1/projects/{calls.project}/databases/(default)/collectionGroups"

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        told = {
            each["name"]: each
            for odd in ODD
            for each in self._calls.pages(SERVICE, f"{self._path}/-/fields", "fields", filter=odd)
        }
        return [_field(each) for each in told.values() if f"/{EVERY}/" not in each["name"]]

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            self.change(each, ["indexes", "time_to_live"] if each.fields["time_to_live"] else ["indexes"])

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        collection, _, field = resource.name.partition(".")
        name = f"{self._path.removeprefix('/v1/')}/{collection}/fields/{field}"
        body: dict[str, Any] = {"name": name}
        masks = {"indexes": "indexConfig", "time_to_live": "ttlConfig"}
        if "indexes" in fields:
            made: Any = resource.fields["indexes"]
            indexes = [_single(field, *each.split(" ")) for each in made]
            body["indexConfig"] = {"indexes": indexes}
        if "time_to_live" in fields and resource.fields["time_to_live"]:
            body["ttlConfig"] = {}
        mask = ",".join(masks[name] for name in sorted(fields))
        self._calls.ask(SERVICE, "PATCH", f"/v1/{name}", body=body, query={"updateMask": mask})

    def remove(self, resource: Resource) -> None:
        """It is indexed as all are again, and lives for ever."""
        collection, _, field = resource.name.partition(".")
        name = f"{self._path.removeprefix('/v1/')}/{collection}/fields/{field}"
        query = {"updateMask": "indexConfig,ttlConfig"}
        self._calls.ask(SERVICE, "PATCH", f"/v1/{name}", body={"name": name}, query=query)


def _name(index: Mapping[str, Any]) -> str:
    collection = index["name"].split("/collectionGroups/")[1].partition("/")[0]
    over = [f"{each['fieldPath']} {_how(each)}" for each in index["fields"] if each["fieldPath"] != ITSELF]
    return f"{collection}: {', '.join(over)}"


def _how(field: Mapping[str, Any]) -> str:
    return str(field.get("order") or field.get("arrayConfig") or "VECTOR")


def _told(field: str) -> dict[str, str]:
    path, _, how = field.rpartition(" ")
    return {"fieldPath": path, "arrayConfig" if how == "CONTAINS" else "order": how}


def _single(field: str, how: str, scope: str) -> dict[str, Any]:
    return {"queryScope": scope, "fields": [_told(f"{field} {how}")]}


def _field(live: Mapping[str, Any]) -> Resource:
    collection, _, field = live["name"].split("/collectionGroups/")[1].partition("/fields/")
    config = live.get("indexConfig") or {}
    indexes: Value = None
    if not config.get("usesAncestorConfig"):
        made = config.get("indexes", ())
        indexes = tuple(sorted(f"{_how(each['fields'][0])} {each['queryScope']}" for each in made))
        if any(each.get("state") == BUILDING for each in made):
            indexes = BUILDING
    lives = live.get("ttlConfig")
    fields: dict[str, Value] = {"indexes": indexes, "time_to_live": None if lives is None else True}
    return Resource(kind=Kind.FIELD, name=f"{collection}.{field}", fields=fields)
