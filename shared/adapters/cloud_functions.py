"""Deployed functions, and where their traffic goes, as the port Cloud has them. Read only: deploying is gcloud's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.cloud_calls import Calls, last
from shared.core.drift import LABEL, NEWEST, PINNED, VARIABLE, Kind, Resource, Value
from shared.core.revisions import COMMIT, built_elsewhere, environment_of, image_of

GCLOUDS_VARIABLES = ("LOG_EXECUTION_ID",)
"""What gcloud and Google add of their own."""

INGRESS = {"ALLOW_ALL": "all", "ALLOW_INTERNAL_ONLY": "internal-only", "ALLOW_INTERNAL_AND_GCLB": "internal-and-gclb"}
MEMORY = re.compile(r"(\d+(?:\.\d+)?)(M|Mi|G|Gi)?B?")


class Functions:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        """Of every region, for one that nobody declares would go on working elsewhere."""
        at, project = f"/v2/projects/{self._calls.project}/locations/-", self._calls.project
        listed = self._calls.get("run", f"/apis/serving.knative.dev/v1/namespaces/{project}/services") or {}
        services = {each["metadata"]["name"]: each for each in listed.get("items", ())}
        found = []
        for each in self._calls.pages("cloudfunctions", f"{at}/functions", "functions"):
            name = _named(each["name"], self._calls.region)
            fields = {**_function(each), **_service(services.get(name), each)}
            found.append(Resource(kind=Kind.FUNCTION, name=name, fields=fields))
        return found

    def create(self, _resources: Sequence[Resource]) -> None:
        raise NotImplementedError("functions are deployed by bin/deploy/deploy")

    def change(self, _resource: Resource, _fields: Sequence[str]) -> None:
        raise NotImplementedError("functions are deployed by bin/deploy/deploy")

    def remove(self, _resource: Resource) -> None:
        raise NotImplementedError("functions are deleted by gcloud functions delete")


def _named(full: str, region: str) -> str:
    """The function's name; with its region before it, where that is another than ours."""
    at, _, name = full.partition("/locations/")[2].partition("/functions/")
    return name if at == region else f"{at}/{name}"


def _function(live: Mapping[str, Any]) -> dict[str, Value]:
    """What it was deployed with last."""
    config, build = live.get("serviceConfig") or {}, live.get("buildConfig") or {}
    fields: dict[str, Value] = {
        "state": live.get("state"),
        "runtime": build.get("runtime"),
        "entry_point": build.get("entryPoint"),
        "account": config.get("serviceAccountEmail"),
        "memory_mb": _memory_mb(config.get("availableMemory")),
        "cpu": float(config.get("availableCpu") or 0),
        "concurrency": config.get("maxInstanceRequestConcurrency", 1),
        "min_instances": config.get("minInstanceCount", 0),
        "max_instances": config.get("maxInstanceCount", 0),
        "timeout_s": config.get("timeoutSeconds"),
        "ingress": INGRESS.get(config.get("ingressSettings", "ALLOW_ALL")),
    }
    fields |= {f"secret.{name}": secret for name, secret in _secrets(config).items()}
    fields |= {f"{LABEL}{name}": value for name, value in (live.get("labels") or {}).items()}
    for name, value in (config.get("environmentVariables") or {}).items():
        if name not in GCLOUDS_VARIABLES:
            fields[f"{VARIABLE}{name}"] = value
    return fields


def _service(live: Mapping[str, Any] | None, function: Mapping[str, Any]) -> dict[str, Value]:
    """Which of its revisions answers; the newest should, and be of the code and have what the function says."""
    if live is None:
        return {"traffic": "nothing serves", "serves": None}
    status = live.get("status") or {}
    going = [each for each in status.get("traffic", ()) if each.get("percent")]
    names = sorted({each.get("revisionName", "") for each in going})
    traffic = PINNED
    if len(names) > 1:
        traffic = "split: " + ", ".join(f"{each['percent']} % {each.get('revisionName', '')}" for each in going)
    elif any(each.get("latestRevision") for each in live["spec"].get("traffic", ()) if each.get("percent")):
        traffic = "the latest, whatever it is"
    newest = status.get("latestCreatedRevisionName")
    if names != [newest]:
        return {"traffic": traffic, "serves": f"{', '.join(names)}, not {newest}"}
    return {"traffic": traffic, "serves": _unlike(live["spec"]["template"], function) or NEWEST}


def _unlike(template: Mapping[str, Any], function: Mapping[str, Any]) -> str:
    """What the newest revision has otherwise than its function, by name: a value may be nobody's to read here. One
    that was made past Cloud Functions is like that; what Google adds of its own is let be."""
    config, image = function.get("serviceConfig") or {}, image_of(template)
    if built_elsewhere(image, str((function.get("buildConfig") or {}).get("dockerRepository", ""))):
        return f"the image {image}, which Cloud Functions did not build"
    variables, secrets = environment_of(template)
    should = config.get("environmentVariables") or {}
    if (has := variables.get(COMMIT)) != should.get(COMMIT):
        return f"code of {has}, not of {should.get(COMMIT)}"
    other = [name for name, value in should.items() if variables.get(name) != value]
    other += [name for name, value in _secrets(config).items() if secrets.get(name) != value]
    return f"another {', '.join(other)} than its function's" if other else ""


def _secrets(config: Mapping[str, Any]) -> dict[str, str]:
    """By variable: the secret and its version."""
    found = config.get("secretEnvironmentVariables") or ()
    return {each["key"]: f"{last(each['secret'])}:{each.get('version', '')}" for each in found}


def _memory_mb(said: object) -> Value:
    """`512Mi`, `1Gi`, `512M` in MB as they are declared; what is none of that, as it is."""
    if not (found := MEMORY.fullmatch(str(said or ""))):
        return str(said)
    amount = float(found[1]) * (1024 if (found[2] or "").startswith("G") else 1)
    return int(amount) if amount == int(amount) else amount
