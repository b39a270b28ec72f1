"""Cloud Functions of the second generation for the fake: what is uploaded and built becomes a revision of Cloud Run.

A mishap is planted for the next time that a function is deployed: see Mishap.
"""

from __future__ import annotations

import copy
import io
import zipfile
from collections import defaultdict
from enum import StrEnum
from typing import Any

from tests.cloud.fake import Answer, Refused, Request, Routes, strictly
from tests.cloud.run import CloudRun

AT = r"/v2/projects/(?P<project>[^/]+)/locations/(?P<region>[^/]+)"
SECRET: dict[str, object] = {"key": str, "projectId": str, "secret": str, "version": str}
SOURCE: dict[str, object] = {"storageSource": {"bucket": str, "object": str, "generation": str, "sourceUploadUrl": str}}
FUNCTION: dict[str, object] = {
    "name": str,
    "description": str,
    "labels": dict,
    "environment": {"GEN_2"},
    "buildConfig": {
        "runtime": str,
        "entryPoint": str,
        "source": SOURCE,
        "environmentVariables": dict,
        "dockerRepository": str,
        "serviceAccount": str,
        "workerPool": str,
    },
    "serviceConfig": {
        "timeoutSeconds": int,
        "availableMemory": str,
        "availableCpu": str,
        "environmentVariables": dict,
        "maxInstanceCount": int,
        "minInstanceCount": int,
        "ingressSettings": {"ALLOW_ALL", "ALLOW_INTERNAL_ONLY", "ALLOW_INTERNAL_AND_GCLB"},
        "serviceAccountEmail": str,
        "allTrafficOnLatestRevision": bool,
        "secretEnvironmentVariables": [SECRET],
        "secretVolumes": list,
        "maxInstanceRequestConcurrency": int,
    },
}
"""google.cloud.functions.v2.Function, as far as we set it. The types themselves are in a package whose presence alone
makes functions-framework's import three times as slow, so they are not installed."""

FIELDS = {  # of an update mask, to where they lie
    "labels": ("labels",),
    "event_trigger": ("eventTrigger",),  # of those that have one
    **{
        f"service_config.{snake}": ("serviceConfig", camel)
        for snake, camel in {
            "timeout_seconds": "timeoutSeconds",
            "available_memory": "availableMemory",
            "available_cpu": "availableCpu",
            "environment_variables": "environmentVariables",
            "max_instance_count": "maxInstanceCount",
            "min_instance_count": "minInstanceCount",
            "ingress_settings": "ingressSettings",
            "service_account_email": "serviceAccountEmail",
            "all_traffic_on_latest_revision": "allTrafficOnLatestRevision",
            "secret_environment_variables": "secretEnvironmentVariables",
            "secret_volumes": "secretVolumes",
            "max_instance_request_concurrency": "maxInstanceRequestConcurrency",
        }.items()
    },
    "build_config.runtime": ("buildConfig", "runtime"),
    "build_config.entry_point": ("buildConfig", "entryPoint"),
    "build_config.source": ("buildConfig", "source"),
    "build_config.worker_pool": ("buildConfig", "workerPool"),
    "build_config.docker_repository": ("buildConfig", "dockerRepository"),
    "build_config.service_account": ("buildConfig", "serviceAccount"),
    "build_config.environment_variables": ("buildConfig", "environmentVariables"),
}


class Mishap(StrEnum):
    """What may go wrong when a function is deployed."""

    BUILD_ERROR = "build error"  # nothing becomes of it
    BAD_IMPORT = "bad import"  # a revision that does not start
    MISSING_SECRET = "missing secret"  # noqa: S105 - a revision that does not start either
    TIMEOUT = "timeout"  # it is done, but whoever waits for it is not told, and for a while it is under way
    PARTIAL = "partial apply"  # the function says that it is the new one, its service is not
    WRONG_CODE = "wrong code"  # a revision that is ready, and not what was deployed
    SICK = "sick"  # a revision that is ready, and answers 500


class Functions:
    """Functions by name. Each deployment adds a revision to the service of its name."""

    names: tuple[str, ...] = ("cloudfunctions", "upload")

    def __init__(self, run: CloudRun) -> None:
        self.run = run
        self.functions: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, bytes] = {}  # by object
        self.mishaps: dict[str, list[Mishap]] = defaultdict(list)  # by function: of its next deployments
        self.busy: dict[str, int] = defaultdict(int)  # by function: how often it still says that it is being deployed
        self.upload = ""  # where sources are put; known once the fake listens
        self.routes = Routes()
        self.routes.on("GET", AT + "/runtimes", self._runtimes)
        self.routes.on("GET", AT + "/functions", self._list)
        self.routes.on("POST", AT + "/functions:generateUploadUrl", self._generate)
        self.routes.on("POST", AT + "/functions", self._create)
        self.routes.on("GET", AT + "/functions/(?P<name>[^/:]+)", self._get)
        self.routes.on("PATCH", AT + "/functions/(?P<name>[^/:]+)", self._patch)
        self.routes.on("DELETE", AT + "/functions/(?P<name>[^/:]+)", self._delete)
        self.routes.on("GET", AT + "/operations/(?P<name>[^/:]+)", self._operation)
        self.routes.on("GET", r"/v1/projects/(?P<project>[^/]+)/locations", self._locations)
        self.routes.on("GET", r"/v2/projects/(?P<project>[^/]+)/locations", self._locations)
        self.routes.on("PUT", "/(?P<name>[^/]+)", self._put)

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    # --- what is asked before ---------------------------------------------------------------------------

    def _runtimes(self, _request: Request, project: str, region: str) -> Answer:
        runtimes = [{"name": name, "environment": "GEN_2", "stage": "GA"} for name in ("python311", "python312")]
        return Answer({"runtimes": runtimes})

    def _locations(self, _request: Request, project: str) -> Answer:
        location = {"name": f"projects/{project}/locations/us-central1", "locationId": "us-central1"}
        return Answer({"locations": [location]})

    def _generate(self, request: Request, project: str, region: str) -> Answer:
        strictly(request.json, {"kmsKeyName": str, "environment": {"GEN_2"}})
        name = f"source-{len(self.sources) + 1}.zip"
        self.sources[name] = b""
        source = {"bucket": "uploads", "object": name, "generation": "1"}
        return Answer({"uploadUrl": f"{self.upload}/{name}", "storageSource": source})

    def _put(self, request: Request, name: str) -> Answer:
        if "authorization" in request.headers:
            raise Refused(400, "a signed address takes no token")
        self.sources[name] = request.body
        return Answer()

    def files(self, name: str) -> set[str]:
        """What was uploaded for a function that is there."""
        uploaded = self.functions[name]["buildConfig"]["source"]["storageSource"]["object"]
        return set(zipfile.ZipFile(io.BytesIO(self.sources[uploaded])).namelist())

    # --- functions --------------------------------------------------------------------------------------

    def _list(self, _request: Request, project: str, region: str) -> Answer:
        return Answer({"functions": [self._told(name) for name in self.functions]})

    def _get(self, _request: Request, project: str, region: str, name: str) -> Answer:
        if name not in self.functions:
            full = f"projects/{project}/locations/{region}/functions/{name}"
            raise Refused(404, f"Resource '{full}' was not found")
        return Answer(self._told(name))

    def _told(self, name: str) -> dict[str, Any]:
        if self.busy[name]:
            self.busy[name] -= 1
            return {**self.functions[name], "state": "DEPLOYING"}
        return self.functions[name]

    def _create(self, request: Request, project: str, region: str) -> Answer:
        name, body = request.query["functionId"], request.json
        strictly(body, FUNCTION)
        if name in self.functions:
            raise Refused(409, f"Function {name} already exists")
        full = f"projects/{project}/locations/{region}/functions/{name}"
        body["buildConfig"].setdefault(
            "dockerRepository", f"projects/{project}/locations/{region}/repositories/gcf-artifacts"
        )
        made = {**body, "name": full, "environment": "GEN_2", "state": "ACTIVE", "createTime": "2026-01-01T00:00:00Z"}
        self.functions[name] = made
        return self._deploy(name, made, project, region)

    def _patch(self, request: Request, project: str, region: str, name: str) -> Answer:
        body = request.json
        strictly(body, FUNCTION)
        self._get(request, project, region, name)
        changed = copy.deepcopy(self.functions[name])
        if self.busy[name]:
            raise Refused(409, f"unable to queue the operation: {name} is being deployed")
        for field in request.query["updateMask"].split(","):
            if field not in FIELDS:
                raise Refused(400, f"Invalid field in update_mask: {field}")
            *within, last = FIELDS[field]
            source, target = body, changed
            for step in within:
                source, target = source.get(step, {}), target.setdefault(step, {})
            if last in source:
                target[last] = source[last]
            else:
                target.pop(last, None)
        self.functions[name] = changed
        return self._deploy(name, changed, project, region)

    def _delete(self, request: Request, project: str, region: str, name: str) -> Answer:
        self._get(request, project, region, name)
        del self.functions[name]
        self.run.services.pop(name, None)
        return self._operate(project, region, {})

    # --- what becomes of them ---------------------------------------------------------------------------

    def _deploy(self, name: str, function: dict[str, Any], project: str, region: str) -> Answer:
        mishap = self.mishaps[name].pop(0) if self.mishaps[name] else None
        config = function["serviceConfig"]
        if mishap is Mishap.BUILD_ERROR:
            function["state"] = "FAILED"
            return self._operate(project, region, function, "Build failed: requirements.txt: no matching distribution")
        if mishap is Mishap.PARTIAL and name in self.run.services:
            return self._operate(project, region, function, "An internal error has occurred", code=13)
        identity = {
            "service": function["buildConfig"]["entryPoint"],
            "version": config["environmentVariables"].get("TIPOFF_COMMIT", ""),
            "config_hash": function.get("labels", {}).get("config-hash", ""),
        }
        if mishap is Mishap.WRONG_CODE:
            identity["version"] = "0" * 40
        why = (
            {
                Mishap.BAD_IMPORT: "The user-provided container failed to start and listen on the port 8080",
                Mishap.MISSING_SECRET: f"Secret projects/{project}/secrets/a/versions/latest was not found",
            }.get(mishap, "")
            if mishap
            else ""
        )
        revision = self.run.add_revision(
            name,
            _template(function),
            identity,
            is_ready=not why,
            why=why,
            answers=500 if mishap is Mishap.SICK else 200,
        )
        config.update(
            revision=revision.name,
            service=f"projects/{project}/locations/{region}/services/{name}",
            uri=self.run.url(name),
            allTrafficOnLatestRevision=any(entry.get("latestRevision") for entry in self.run.service(name).traffic),
        )
        function["url"] = f"https://{region}-{project}.cloudfunctions.net/{name}"
        function["state"] = "FAILED" if why else "ACTIVE"
        self.busy[name] = 3 if mishap is Mishap.TIMEOUT else 0
        error = f"Could not create or update Cloud Run service {name}. Revision '{revision.name}' is not ready: {why}"
        return self._operate(project, region, function, error if why else "", ends=mishap is not Mishap.TIMEOUT)

    def _operate(
        self, project: str, region: str, response: dict[str, Any], error: str = "", *, code: int = 3, ends: bool = True
    ) -> Answer:
        """An operation that is over when it is asked for the first time, or never."""
        name = f"operation-{len(self.operations) + 1}"
        full = f"projects/{project}/locations/{region}/operations/{name}"
        how = {"error": {"code": code, "message": error}} if error else {"response": {"@type": "x", **response}}
        metadata = {
            "@type": "type.googleapis.com/google.cloud.functions.v2.OperationMetadata",
            "stages": [{"name": stage, "state": "COMPLETE"} for stage in ("BUILD", "SERVICE")],
        }
        self.operations[name] = {"name": full, "metadata": metadata, "done": ends, **(how if ends else {})}
        return Answer({"name": full, "metadata": metadata, "done": False})

    def _operation(self, _request: Request, project: str, region: str, name: str) -> Answer:
        return Answer(self.operations[name])


def _image(function: dict[str, Any]) -> str:
    """Of what was built for it, under the name that Cloud Functions gives."""
    _, project, _, region, _, repository = function["buildConfig"]["dockerRepository"].split("/")
    return f"{region}-docker.pkg.dev/{project}/{repository}/{function['name'].rpartition('/')[2]}:version_1"


def _template(function: dict[str, Any]) -> dict[str, Any]:
    """Of the revision, as Cloud Run would tell it."""
    config = function["serviceConfig"]
    variables = [{"name": name, "value": value} for name, value in config["environmentVariables"].items()]
    secrets = [
        {"name": each["key"], "valueFrom": {"secretKeyRef": {"name": each["secret"], "key": each["version"]}}}
        for each in config.get("secretEnvironmentVariables", [])
    ]
    return {
        "metadata": {"labels": function.get("labels", {})},
        "spec": {
            "containerConcurrency": config.get("maxInstanceRequestConcurrency", 1),
            "serviceAccountName": config["serviceAccountEmail"],
            "timeoutSeconds": config["timeoutSeconds"],
            "containers": [{"image": _image(function), "env": [*variables, *secrets]}],
        },
    }
