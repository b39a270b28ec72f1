"""Firestore's indexes and fields for the fake: an index is being built until somebody says that it is."""

from __future__ import annotations

from google.cloud.firestore_admin_v1 import types

from tests.cloud.fake import Answer, Refused, Request, Routes
from tests.cloud.things import Body, paged, parsed

GROUP = r"/v1/(?P<group>projects/[^/]+/databases/[^/]+/collectionGroups/[^/]+)"


class Firestore:
    names: tuple[str, ...] = ("firestore",)

    def __init__(self) -> None:
        self.indexes: dict[str, Body] = {}
        self.fields: dict[str, Body] = {}
        self.routes = Routes()
        self.routes.on("GET", GROUP + "/indexes", lambda r, group: paged(r, "indexes", self.indexes.values(), 1))
        self.routes.on("POST", GROUP + "/indexes", self._create)
        self.routes.on("DELETE", r"/v1/(?P<name>.*/indexes/[^/]+)", self._delete)
        self.routes.on("GET", GROUP + "/fields", self._list)
        self.routes.on("PATCH", r"/v1/(?P<name>.*/fields/[^/]+)", self._patch)

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def build(self) -> None:
        """All that was being built is there."""
        for each in [*self.indexes.values(), *self._singles()]:
            each["state"] = "READY"

    def _singles(self) -> list[Body]:
        return [index for each in self.fields.values() for index in each.get("indexConfig", {}).get("indexes", ())]

    def _create(self, request: Request, group: str) -> Answer:
        index = parsed(request.json, types.Index)
        same = [each for each in self.indexes.values() if each["name"].startswith(f"{group}/")]
        if any(_key(each) == _key(index) for each in same):
            raise Refused(409, "index already exists")
        name = f"{group}/indexes/C{len(self.indexes) + 1}"
        ends = {"fieldPath": "__name__", "order": index["fields"][-1].get("order", "ASCENDING")}
        self.indexes[name] = {**index, "name": name, "fields": [*index["fields"], ends], "state": "CREATING"}
        return Answer({"name": f"{name}/operations/1"})

    def _delete(self, _request: Request, name: str) -> Answer:
        self.indexes.pop(name)
        return Answer()

    def _list(self, request: Request, group: str) -> Answer:
        wanted = request.query["filter"]
        if wanted == "ttlConfig:*":
            found = [each for each in self.fields.values() if "ttlConfig" in each]
        else:
            found = [each for each in self.fields.values() if not each.get("indexConfig", {}).get("usesAncestorConfig")]
        every = {"name": f"{group.rpartition('/')[0]}/__default__/fields/*", "indexConfig": {}}
        return paged(request, "fields", [every, *found], 4)

    def _patch(self, request: Request, name: str) -> Answer:
        given = parsed(request.json, types.Field)
        stands = self.fields.setdefault(name, {"name": name, "indexConfig": {"usesAncestorConfig": True}})
        for mask in request.query["updateMask"].split(","):
            if mask == "indexConfig":
                config = given.get("indexConfig")
                made = [{**each, "state": "CREATING"} for each in (config or {}).get("indexes", ())]
                stands["indexConfig"] = {"usesAncestorConfig": True} if config is None else {"indexes": made}
            elif "ttlConfig" in given:
                stands["ttlConfig"] = {"state": "CREATING"}
            else:
                stands.pop("ttlConfig", None)
        return Answer({"name": f"{name}/operations/1"})


def _key(index: Body) -> object:
    fields = [(f["fieldPath"], f.get("order")) for f in index["fields"] if f["fieldPath"] != "__name__"]
    return index["queryScope"], fields
