"""What Cloud Monitoring holds, as the port Cloud has it: metrics, objectives, checks, alert policies, dashboards.

Each is JSON as Google takes it, declared whole; its fields are the paths into it. What Google fills in beside them is
let be. What Google names itself is found again by its labels `app` and `id`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.adapters.cloud_calls import Calls, last
from shared.core.drift import Kind, Resource, flat

SERVICE = "monitoring"


@dataclass(frozen=True, slots=True)
class Way:
    """How one kind is asked for."""

    path: str  # under the project
    key: str  # of the list
    names_itself: bool = False  # Google chooses its name
    version: str = "v3"
    query: str = ""  # of a create: the parameter that takes the name
    by_put: bool = False
    labels: str = "userLabels"


WAYS: Mapping[Kind, Way] = {
    Kind.METRIC: Way("metricDescriptors", "metricDescriptors"),
    Kind.SERVICE: Way("services", "services", query="serviceId"),
    Kind.OBJECTIVE: Way("services", "serviceLevelObjectives", query="serviceLevelObjectiveId"),
    Kind.UPTIME: Way("uptimeCheckConfigs", "uptimeCheckConfigs", names_itself=True),
    Kind.POLICY: Way("alertPolicies", "alertPolicies", names_itself=True),
    Kind.DASHBOARD: Way("dashboards", "dashboards", names_itself=True, version="v1", labels="labels"),
}
OURS = "workload.googleapis.com/tipoff."


class Monitored:
    """One kind of it."""

    def __init__(self, calls: Calls, kind: Kind) -> None:
        self._calls, self._kind, self._way = calls, kind, WAYS[kind]
        self._root = f"/{self._way.version}/projects/{calls.project}"

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        return [
            Resource(kind=self._kind, name=name, fields=flat(_filled(live)), seen={"name": str(live["name"])})
            for live in self._listed()
            if (name := self._ours(live))
        ]

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        if self._kind is Kind.METRIC:
            only = {"filter": f'metric.type = starts_with("{OURS}")'}
            yield from self._calls.pages(SERVICE, f"{self._root}/metricDescriptors", "metricDescriptors", **only)
        elif self._kind is Kind.OBJECTIVE:
            for service in self._calls.pages(SERVICE, f"{self._root}/services", "services"):
                path = f"/v3/{service['name']}/serviceLevelObjectives"
                yield from self._calls.pages(SERVICE, path, "serviceLevelObjectives", view="EXPLICIT")
        else:
            yield from self._calls.pages(SERVICE, f"{self._root}/{self._way.path}", self._way.key)

    def _ours(self, live: Mapping[str, Any]) -> str:
        """The name by which it is declared; empty for what is none of ours."""
        if self._kind is Kind.METRIC:
            return str(live["type"])
        labels = live.get(self._way.labels) or {}
        return str(labels.get("id", "")) if labels.get("app") == "tipoff" else ""

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            body = body_of(each)
            if self._kind is Kind.OBJECTIVE:
                service, _, name = str(body["name"]).partition("/serviceLevelObjectives/")
                self._make(f"/v3/{service}/serviceLevelObjectives", body, name)
            else:
                name = last(body["name"]) if self._way.query else ""
                self._make(f"{self._root}/{self._way.path}", body, name)

    def _make(self, path: str, body: Mapping[str, Any], name: str) -> None:
        self._calls.make(SERVICE, "POST", path, body, **({self._way.query: name} if name else {}))

    def change(self, resource: Resource, _fields: Sequence[str]) -> None:
        """As a whole: what Google fills in it fills in again."""
        body = body_of(resource)
        if self._kind is Kind.METRIC:  # made again it takes the new description; its type never changes
            self._calls.ask(SERVICE, "POST", f"{self._root}/metricDescriptors", body=body)
            return
        name = body.get("name") or self._name_of(resource)
        etag = {}
        if self._kind is Kind.DASHBOARD:  # replaced only as it was read
            etag = {"etag": (self._calls.get(SERVICE, f"/v1/{name}") or {}).get("etag", "")}
        path = f"/{self._way.version}/{name}"
        self._calls.ask(SERVICE, "PATCH", path, body={**body, "name": name, **etag})

    def remove(self, resource: Resource) -> None:
        if name := self._name_of(resource):
            self._calls.delete(SERVICE, f"/{self._way.version}/{name}")

    def _name_of(self, resource: Resource) -> str:
        return next((str(each["name"]) for each in self._listed() if self._ours(each) == resource.name), "")


def _filled(live: Mapping[str, Any]) -> Mapping[str, Any]:
    """With the word that JSON leaves out because it stands first in its list: a label of a metric is a STRING."""
    if "metricKind" not in live:
        return live
    return {**live, "labels": [{"valueType": "STRING", **label} for label in live.get("labels", ())]}


def body_of(resource: Resource) -> dict[str, Any]:
    """The JSON that a declared one was made of."""
    found: dict[str, Any] = json.loads(str(resource.seen["body"]))
    return found
