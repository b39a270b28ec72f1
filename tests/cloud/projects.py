"""What gcloud asks of a project before it does anything: the project itself, its policy, its services, its accounts."""

from __future__ import annotations

from typing import Any

from tests.cloud.fake import Answer, Request, Routes, strictly

BINDING: dict[str, object] = {
    "role": str,
    "members": [str],
    "condition": {"title": str, "expression": str, "description": str},
}
POLICY: dict[str, object] = {"bindings": [BINDING], "etag": str, "version": int, "auditConfigs": [dict]}


class Projects:
    """Any project is there, all of its services are enabled, and its policy is what was set last."""

    names: tuple[str, ...] = ("cloudbuild", "cloudresourcemanager", "serviceusage")

    def __init__(self) -> None:
        self.number = "100000000001"
        self.builder = f"{self.number}-compute@developer.gserviceaccount.com"
        builds = {"role": "roles/cloudbuild.builds.builder", "members": [f"serviceAccount:{self.builder}"]}
        self.policy: dict[str, Any] = {"bindings": [builds], "etag": "BwYAAAAAAAE=", "version": 1}
        self.routes = Routes()
        self.routes.on("GET", r"/v1/projects/(?P<project>[^/:]+)", self._project)
        self.routes.on("POST", r"/v1/projects/(?P<project>[^/:]+):getIamPolicy", self._policy)
        self.routes.on("POST", r"/v1/projects/(?P<project>[^/:]+):setIamPolicy", self._set_policy)
        self.routes.on("GET", r"/v1/projects/(?P<project>[^/]+)/locations/[^/]+/defaultServiceAccount", self._builder)
        self.routes.on("GET", r"/v1/projects/(?P<project>[^/]+)/services/(?P<service>[^/]+)", self._service)

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def _project(self, _request: Request, project: str) -> Answer:
        return Answer({"projectId": project, "projectNumber": self.number, "lifecycleState": "ACTIVE", "name": project})

    def _policy(self, _request: Request, project: str) -> Answer:
        return Answer(self.policy)

    def _set_policy(self, request: Request, project: str) -> Answer:
        strictly(request.json, {"policy": POLICY, "updateMask": str})
        self.policy = {**self.policy, **request.json["policy"]}
        return Answer(self.policy)

    def _builder(self, _request: Request, project: str) -> Answer:
        name = f"projects/{project}/locations/us-central1/defaultServiceAccount"
        return Answer({"name": name, "serviceAccountEmail": f"projects/{project}/serviceAccounts/{self.builder}"})

    def _service(self, _request: Request, project: str, service: str) -> Answer:
        name = f"projects/{self.number}/services/{service}"
        return Answer({"name": name, "parent": f"projects/{project}", "state": "ENABLED"})
