"""gcloud without gcloud: a deployment's commands, carried out on the parts of the fake, in microseconds.

It keeps the same contract as the real one against the same parts: tests/contract/test_gcloud.py runs both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from orchestration.deploying.tools import Ran, judge
from shared.core.deployment import Verify
from shared.core.revisions import Wanted
from shared.ports import Health
from tests.cloud.fake import Cloud, Dropped, Refused, Request, read_request
from tests.cloud.functions import Functions
from tests.cloud.google import Google
from tests.cloud.projects import Projects
from tests.cloud.run import CloudRun


class MemoryGcloud:
    """A gcloud, and a look at what it deployed."""

    def __init__(self, there: Google | None = None) -> None:
        """With parts of its own, or with those of a fake that listens."""
        self.run = there.run if there else CloudRun()
        self.run.address = self.run.address or "http://127.0.0.1:1/-/serving"
        self.functions = there.functions if there else Functions(self.run)
        self.cloud = there.cloud if there else Cloud(self.run, self.functions, Projects())

    def __call__(self, arguments: Sequence[str]) -> Ran:
        words = [word for word in arguments if not word.startswith("-")]
        flags = dict(word.removeprefix("--").partition("=")[::2] for word in arguments if word.startswith("-"))
        at = f"projects/{flags['project']}/locations/{flags.get('region') or flags['regions']}"
        services = f"/apis/serving.knative.dev/v1/namespaces/{flags['project']}/services"
        try:
            match words:
                case ["functions", "list"]:
                    return _printed(self._ask("cloudfunctions", f"/v2/{at}/functions")["functions"])
                case ["functions", "describe", name]:
                    return _printed(self._ask("cloudfunctions", f"/v2/{at}/functions/{name}"))
                case ["functions", "deploy", name]:
                    return self._deploy(f"/v2/{at}/functions", name, flags)
                case ["run", "services", "list"]:
                    return _printed(self._ask("run", services)["items"])
                case ["run", "services", "describe", name]:
                    return _printed(self._ask("run", f"{services}/{name}"))
                case ["run", "services", "update-traffic", name]:
                    return self._traffic(f"{services}/{name}", flags)
        except Refused as refused:
            error = refused.answer.body["error"]  # type: ignore[index]
            return _failed(f"ResponseError: status=[{error['code']}], code=[Ok], message=[{error['message']}]")
        except Dropped:
            return _failed("gcloud crashed (ConnectionError): Connection aborted.")
        raise AssertionError(f"no such command: {arguments}")

    def look(self, step: Verify, wanted: Wanted) -> str:
        """As the real one, without its patience."""
        path, said = urlsplit(step.url).path.partition("/-/serving")[2], dict[str, dict[str, Any]]()
        for what in ("health", "ready"):
            try:
                said[what] = self._ask("serving", f"{path}/{what}")
            except Refused as refused:
                return f"/{what}: answered {refused.answer.status}"
        return judge(
            Health(
                alive=True,
                ready=said["ready"]["status"] == "ready",
                service=said["health"]["service"],
                version=said["health"]["version"],
                config_hash=said["health"]["config_hash"],
            ),
            wanted,
        )[0]

    def _ask(self, service: str, path: str, method: str = "GET", body: object = None) -> Any:
        sent = b"" if body is None else json.dumps(body).encode()
        return self.cloud.respond(_request(service, method, path, sent)).body

    # --- commands ---------------------------------------------------------------------------------------

    def _deploy(self, functions: str, name: str, flags: dict[str, str]) -> Ran:
        try:
            before = self._ask("cloudfunctions", f"{functions}/{name}")
        except Refused as refused:
            if refused.answer.status != 404:
                raise
            before = {}
        body = _function(before, flags)
        if before:
            mask = ",".join(_MASK)
            operation = self._ask("cloudfunctions", f"{functions}/{name}?updateMask={mask}", "PATCH", body)
        else:
            operation = self._ask("cloudfunctions", f"{functions}?functionId={name}", "POST", body)
        ended = self._ask("cloudfunctions", f"/v2/{operation['name']}")
        if not ended["done"]:
            return Ran(None, "", "ERROR: no answer in time; what was asked may still be done")
        if "error" in ended:
            return _failed(f"OperationError: code={ended['error']['code']}, message={ended['error']['message']}")
        return _printed(self._ask("cloudfunctions", f"{functions}/{name}"))

    def _traffic(self, path: str, flags: dict[str, str]) -> Ran:
        service = self._ask("run", path)
        traffic = service["spec"]["traffic"]
        if "to-revisions" in flags:
            revision, _, percent = flags["to-revisions"].partition("=")
            kept = [{k: v for k, v in each.items() if k != "percent"} for each in traffic if each.get("tag")]
            traffic = [*kept, {"revisionName": revision, "percent": int(percent)}]
        if "update-tags" in flags:
            tag, _, revision = flags["update-tags"].partition("=")
            kept = [each for each in traffic if each.get("tag") != tag]
            traffic = [*kept, {"revisionName": revision, "tag": tag}]
        service["spec"]["traffic"] = traffic
        told = self._ask("run", path, "PUT", service)
        urls = {each["tag"]: each["url"] for each in told["status"]["traffic"] if each.get("tag")}
        return _printed(
            [
                {
                    "revisionName": each["revisionName"],
                    "latestRevision": False,
                    "specPercent": str(each.get("percent", "-")),
                    "tags": [{"tag": each["tag"], "url": urls[each["tag"]], "inSpec": True}] if each.get("tag") else [],
                }
                for each in told["spec"]["traffic"]
            ]
        )


_MASK = (
    *("labels", "build_config.runtime", "build_config.entry_point", "build_config.source"),
    *(f"service_config.{name}" for name in ("available_cpu", "available_memory", "environment_variables")),
    *(f"service_config.{name}" for name in ("ingress_settings", "max_instance_count", "min_instance_count")),
    *(f"service_config.{name}" for name in ("max_instance_request_concurrency", "service_account_email")),
    *("service_config.secret_environment_variables", "service_config.timeout_seconds"),
)


def _function(before: dict[str, Any], flags: dict[str, str]) -> dict[str, Any]:
    variables = before.get("serviceConfig", {}).get("environmentVariables", {})
    return {
        "labels": {**before.get("labels", {}), **_pairs(flags["update-labels"], ",")},
        "buildConfig": {
            "runtime": flags["runtime"],
            "entryPoint": flags["entry-point"],
            "source": {"storageSource": {"bucket": "uploads", "object": "none", "generation": "1"}},
        },
        "serviceConfig": {
            "availableMemory": flags["memory"],
            "availableCpu": flags["cpu"],
            "maxInstanceRequestConcurrency": int(flags["concurrency"]),
            "minInstanceCount": int(flags["min-instances"]),
            "maxInstanceCount": int(flags["max-instances"]),
            "timeoutSeconds": int(flags["timeout"]),
            "serviceAccountEmail": flags["run-service-account"],
            "ingressSettings": {"all": "ALLOW_ALL", "internal-only": "ALLOW_INTERNAL_ONLY"}[flags["ingress-settings"]],
            "environmentVariables": {
                **variables,
                **_pairs(flags["update-env-vars"].removeprefix("^|^"), "|"),
            },
            "secretEnvironmentVariables": _secrets(flags),
        },
    }


def _secrets(flags: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"key": key, "projectId": "1", "secret": secret.partition(":")[0], "version": secret.partition(":")[2]}
        for key, secret in _pairs(flags.get("set-secrets", ""), ",").items()
    ]


def _pairs(text: str, between: str) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in text.split(between) if pair)


def _request(service: str, method: str, target: str, body: bytes) -> Request:
    return read_request(method, f"http://{service}.googleapis.fake{target}", "", {}, body)


def _printed(value: object) -> Ran:
    return Ran(0, json.dumps(value), "")


def _failed(why: str) -> Ran:
    return Ran(1, "", f"ERROR: (gcloud) {why}")
