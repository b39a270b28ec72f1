"""Cloud Monitoring for the fake: what it names itself, and what it fills in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from google.api import metric_pb2
from google.cloud.monitoring_dashboard_v1 import types as dashboards
from google.cloud.monitoring_v3 import types

from tests.cloud.fake import Answer, Refused, Request, Routes
from tests.cloud.things import Body, paged, parsed

ROOT = r"/v[13]/(?P<parent>projects/[^/]+(?:/services/[^/]+)?)"
KINDS: dict[str, Any] = {
    "metricDescriptors": metric_pb2.MetricDescriptor,
    "services": types.Service,
    "serviceLevelObjectives": types.ServiceLevelObjective,
    "uptimeCheckConfigs": types.UptimeCheckConfig,
    "alertPolicies": types.AlertPolicy,
    "dashboards": dashboards.Dashboard,
}
NAMED_BY = {"services": "serviceId", "serviceLevelObjectives": "serviceLevelObjectiveId"}
NUMBERS = {"projects/tipoff-dev/": "projects/100000000001/"}
"""What a project is called in the names of services and objectives, whatever it was called by who made them."""


class Monitoring:
    names: tuple[str, ...] = ("monitoring",)

    def __init__(self) -> None:
        self.things: dict[str, Body] = {}
        self.routes = Routes()
        kinds = "|".join(KINDS)
        self.routes.on("GET", rf"{ROOT}/(?P<kind>{kinds})", self._list)
        self.routes.on("POST", rf"{ROOT}/(?P<kind>{kinds})", self._create)
        name = rf"/v[13]/(?P<name>projects/[^/]+/(?:services/[^/]+/)?(?P<kind>{kinds})/.+)"
        self.routes.on("GET", name, lambda _, name, kind: Answer(self._there(name)))
        self.routes.on("PATCH", name, self._patch)
        self.routes.on("DELETE", name, self._delete)

    def answer(self, request: Request) -> Answer | None:
        """By the project's number as by its id."""
        path = request.path
        for by_id, by_number in NUMBERS.items():
            path = path.replace(by_number, by_id)
        return self.routes.answer(replace(request, path=path))

    def of(self, kind: str, parent: str = "projects/tipoff-dev") -> list[Body]:
        """Those of a kind under something; a metric's name has slashes of its own."""
        under = {name: each for name, each in self.things.items() if name.startswith(f"{parent}/{kind}/")}
        if kind == "metricDescriptors":
            return list(under.values())
        return [each for name, each in under.items() if name.count("/") == parent.count("/") + 2]

    def _list(self, request: Request, parent: str, kind: str) -> Answer:
        return paged(request, kind, self.of(kind, parent), 3)

    def _create(self, request: Request, parent: str, kind: str) -> Answer:
        body = parsed(request.json, KINDS[kind])
        if kind == "metricDescriptors":
            name = f"{parent}/metricDescriptors/{body['type']}"
        elif kind in NAMED_BY:
            name = f"{parent}/{kind}/{request.query[NAMED_BY[kind]]}"
            if name in self.things:
                raise Refused(409, f"{name} already exists")
        else:
            name = f"{parent}/{kind}/{len(self.things) + 1}"
        self.things[name] = {**body, "name": _told(name, kind), "etag": "e1"}
        return Answer(self.things[name])

    def _patch(self, request: Request, name: str, kind: str) -> Answer:
        stands = self._there(name)
        if kind == "dashboards" and request.json.get("etag") != stands["etag"]:
            raise Refused(409, "the dashboard has changed")
        given = {key: value for key, value in request.json.items() if key != "etag"}
        etag = f"e{int(stands['etag'][1:]) + 1}"
        self.things[name] = {**parsed(given, KINDS[kind]), "name": _told(name, kind), "etag": etag}
        return Answer(self.things[name])

    def _delete(self, _request: Request, name: str, kind: str) -> Answer:
        self._there(name)
        del self.things[name]
        return Answer()

    def _there(self, name: str) -> Body:
        if name not in self.things:
            raise Refused(404, f"{name} is not there")
        return self.things[name]


def _told(name: str, kind: str) -> str:
    """What a thing is called when it is read."""
    for by_id, by_number in NUMBERS.items() if kind in NAMED_BY else ():
        name = name.replace(by_id, by_number)
    return name
