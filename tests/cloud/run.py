"""Cloud Run for the fake: services with revisions and traffic, and what answers where they serve."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.cloud.fake import Answer, Refused, Request, Routes, strictly
from tests.cloud.projects import POLICY

NAMESPACE = r"/apis/serving\.knative\.dev/v1/namespaces/(?P<project>[^/]+)/services"
POLICY_OF = r"/v1/projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)/services/(?P<name>[^/:]+)"
TRAFFIC: dict[str, object] = {"revisionName": str, "latestRevision": bool, "percent": int, "tag": str, "url": str}
TEXTS: dict[str, object] = {"name": str, "value": str}


@dataclass(slots=True, kw_only=True)
class Revision:
    """What was deployed once. It never changes, but for how it does."""

    name: str
    template: dict[str, Any]
    identity: dict[str, str]  # what its code says of itself at /health
    is_ready: bool = True
    why: str = ""  # it is not ready
    answers: int = 200  # what it answers at /health


@dataclass(slots=True, kw_only=True)
class Service:
    name: str
    labels: dict[str, str] = field(default_factory=dict)
    revisions: list[Revision] = field(default_factory=list)
    traffic: list[dict[str, Any]] = field(default_factory=lambda: [{"latestRevision": True, "percent": 100}])
    generation: int = 1

    @property
    def latest_ready(self) -> Revision | None:
        return next((each for each in reversed(self.revisions) if each.is_ready), None)

    def revision(self, name: str) -> Revision:
        for each in self.revisions:
            if each.name == name:
                return each
        raise Refused(400, f"Revision '{name}' is not found in service {self.name}.")

    def target(self, entry: dict[str, Any]) -> Revision | None:
        return self.latest_ready if entry.get("latestRevision") else self.revision(entry["revisionName"])

    def serving(self) -> list[Revision]:
        """Those that get requests at the service's own address."""
        found = [self.target(entry) for entry in self.traffic if entry.get("percent")]
        return [revision for revision in found if revision]


class CloudRun:
    """Services by project and name; `address` is where they serve."""

    names: tuple[str, ...] = ("run", "serving")

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.address = ""  # known once the fake listens
        self.number = "100000000001"
        self.policies: dict[str, dict[str, Any]] = {}
        self.routes = Routes()
        self.routes.on("GET", NAMESPACE, self._list)
        self.routes.on("GET", NAMESPACE + r"/(?P<name>[^/]+)", self._get)
        self.routes.on("PUT", NAMESPACE + r"/(?P<name>[^/]+)", self._put)
        self.routes.on("GET", POLICY_OF + ":getIamPolicy", self._policy)
        self.routes.on("POST", POLICY_OF + ":setIamPolicy", self._set_policy)
        self.routes.on("GET", r"/(?:(?P<tag>[^/]+)---)?(?P<name>[^/]+)/(?P<what>health|ready)", self._serve)

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def service(self, name: str) -> Service:
        if name not in self.services:
            raise Refused(404, f"Resource '{name}' of kind 'SERVICE' does not exist.")
        return self.services[name]

    def add_revision(self, name: str, template: dict[str, Any], identity: dict[str, str], **how: Any) -> Revision:
        """A new one, which gets what traffic goes to the latest once it is ready."""
        service = self.services.setdefault(name, Service(name=name))
        revision = Revision(
            name=f"{name}-{len(service.revisions) + 1:05d}-fak", template=template, identity=identity, **how
        )
        service.revisions.append(revision)
        service.generation += 1
        return revision

    # --- requests ---------------------------------------------------------------------------------------

    def _list(self, _request: Request, project: str) -> Answer:
        items = [self._body(project, service) for service in self.services.values()]
        return Answer({"apiVersion": "serving.knative.dev/v1", "kind": "ServiceList", "metadata": {}, "items": items})

    def _get(self, _request: Request, project: str, name: str) -> Answer:
        return Answer(self._body(project, self.service(name)))

    def _put(self, request: Request, project: str, name: str) -> Answer:
        """Of all that may be replaced, traffic is; a changed template would be another's work."""
        service, body = self.service(name), request.json
        if body["spec"]["template"] != self._body(project, service)["spec"]["template"]:
            raise Refused(400, "the fake takes no changed template: functions are deployed by Cloud Functions")
        for entry in body["spec"]["traffic"]:
            strictly(entry, TRAFFIC, "spec.traffic")
            if not entry.get("latestRevision"):
                service.revision(entry["revisionName"])
        if sum(entry.get("percent", 0) for entry in body["spec"]["traffic"]) != 100:
            raise Refused(400, "Traffic targets must sum to 100.")
        service.traffic = [{k: v for k, v in entry.items() if k != "url"} for entry in body["spec"]["traffic"]]
        service.generation += 1
        return Answer(self._body(project, service))

    def _policy(self, _request: Request, project: str, region: str, name: str) -> Answer:
        self.service(name)
        return Answer(self.policies.get(name, {"etag": "BwYAAAAAAAE=", "version": 1}))

    def _set_policy(self, request: Request, project: str, region: str, name: str) -> Answer:
        self.service(name)
        strictly(request.json, {"policy": POLICY, "updateMask": str})
        self.policies[name] = request.json["policy"]
        return Answer(self.policies[name])

    def _serve(self, _request: Request, name: str, what: str, tag: str | None = None) -> Answer:
        service = self.service(name)
        tagged = [service.target(entry) for entry in service.traffic if entry.get("tag") == tag]
        found = tagged if tag else service.serving()
        if not found or found[0] is None:
            raise Refused(404, "The requested URL was not found on this server.")
        revision = found[0]
        if not revision.is_ready or revision.answers != 200:
            raise Refused(503 if not revision.is_ready else revision.answers, "Service Unavailable")
        checks = {"checks": [{"name": "state", "ok": True, "ms": 1.0, "why": ""}]} if what == "ready" else {}
        return Answer({"status": "ready" if what == "ready" else "alive", **revision.identity, **checks})

    # --- a service as it is told ------------------------------------------------------------------------

    def url(self, name: str, tag: str = "") -> str:
        return f"{self.address}/{f'{tag}---' if tag else ''}{name}"

    def _body(self, project: str, service: Service) -> dict[str, Any]:
        latest = service.revisions[-1]
        ready = service.latest_ready
        is_ready = ready is latest
        told = []
        for entry in service.traffic:
            target = service.target(entry)
            url = {"url": self.url(service.name, entry["tag"])} if entry.get("tag") else {}
            told.append({**entry, **({"revisionName": target.name} if target else {}), **url})
        condition = {"status": "True"} if is_ready else {"status": "False", "reason": "Failed", "message": latest.why}
        return {
            "apiVersion": "serving.knative.dev/v1",
            "kind": "Service",
            "metadata": {
                "name": service.name,
                "namespace": self.number,
                "selfLink": f"/apis/serving.knative.dev/v1/namespaces/{self.number}/services/{service.name}",
                "uid": f"uid-{service.name}",
                "resourceVersion": "AAYp",
                "generation": service.generation,
                "labels": {"cloud.googleapis.com/location": "us-central1", **service.labels},
                "annotations": {"run.googleapis.com/ingress": "all"},
            },
            "spec": {"template": latest.template, "traffic": service.traffic},
            "status": {
                "observedGeneration": service.generation,
                "conditions": [{"type": kind, **condition} for kind in ("Ready", "ConfigurationsReady")]
                + [{"type": "RoutesReady", "status": "True"}],
                "latestReadyRevisionName": ready.name if ready else "",
                "latestCreatedRevisionName": latest.name,
                "traffic": told,
                "url": self.url(service.name),
                "address": {"url": self.url(service.name)},
            },
        }
