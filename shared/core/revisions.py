"""A function as it is wanted, and as it is live on Google Cloud: read from what gcloud prints, and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

CANDIDATE = "candidate"
"""The tag at whose address a new revision is asked before it serves."""

VERIFIED = "verified"
"""The tag of the last revision that said what it should."""

COMMIT = "TIPOFF_COMMIT"
ALIASES = "run.googleapis.com/secrets"
ACTIVE, DEPLOYING = "ACTIVE", "DEPLOYING"
INGRESS = {"all": "ALLOW_ALL", "internal-only": "ALLOW_INTERNAL_ONLY"}
MEMORY = re.compile(r"(\d+(?:\.\d+)?)([kMG]i?)?")
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A function as it is to be; nothing is left to what Google does by itself."""

    function: str  # also its entry point
    service: str  # what it is called there
    project: str
    region: str
    runtime: str
    account: str
    memory_mb: int
    cpu: float
    concurrency: int
    min_instances: int
    max_instances: int
    timeout_s: int
    ingress: str
    labels: Mapping[str, str]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]  # from a variable to secret:version
    commit: str
    config_hash: str
    source: str  # the staged folder


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What Cloud Functions says of it."""

    state: str
    settings: Mapping[str, object]
    labels: Mapping[str, str]
    variables: Mapping[str, str]
    secrets: Mapping[str, str]
    repository: str = ""  # where it puts what it builds, by its full name; empty: it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Where a share of the requests goes, or those that name a tag."""

    revision: str
    percent: int
    tag: str
    url: str  # of the tag
    is_named: bool  # not: whichever is the latest


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What Cloud Run says of it."""

    url: str
    created: str  # the revision made last
    ready: str  # the one made last of those that can serve
    why: str  # the last one cannot
    commit: str  # of the last one
    settings: Mapping[str, object]  # of the last one, as far as it tells them
    variables: Mapping[str, str]  # of the last one
    secrets: Mapping[str, str]  # of the last one, from a variable to secret:version
    traffic: tuple[Share, ...]
    image: str = ""  # of the last one; empty: it does not say

    @property
    def serving(self) -> str:
        """The revision that gets most of the requests; empty where none can."""
        getting = [share for share in self.traffic if share.percent and share.revision]
        return max(getting, key=lambda share: share.percent).revision if getting else ""

    def has_all(self, revision: str) -> bool:
        return {share.revision for share in self.traffic if share.percent} == {revision}

    @property
    def is_pinned(self) -> bool:
        """Whether a new revision gets nothing by itself."""
        return all(share.is_named for share in self.traffic if share.percent)

    def tagged(self, tag: str, revision: str) -> Share | None:
        return next((each for each in self.traffic if (each.tag, each.revision) == (tag, revision)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is there."""

    function: Function | None = None
    service: Service | None = None


# --- wanted against live --------------------------------------------------------------------------------


def differences(wanted: Wanted, live: Live) -> tuple[str, ...]:
    """What is not as it is to be, each in words; none: the last revision is the wanted one, and can serve."""
    function, service = live.function, live.service
    if function is None:
        return ("it is not there",)
    found = [] if function.state == ACTIVE else [f"its state is {function.state}"]
    for name, value in settings_of(wanted).items():
        if function.settings.get(name) != value:
            found.append(f"{name} is {function.settings.get(name)}, not {value}")
    for what, has, should in (
        ("label", function.labels, wanted.labels),
        ("variable", function.variables, wanted.variables),
        ("secret", function.secrets, wanted.secrets),
    ):
        found += [
            f"{what} {name} is {has.get(name) or 'not set'}, not {value or 'empty'}"
            for name, value in should.items()
            if has.get(name) != value
        ]
    found += [f"secret {name} is not wanted" for name in function.secrets if name not in wanted.secrets]
    if service is None:
        return (*found, "it has no service")
    if service.ready != service.created or not service.ready:
        found.append(f"revision {service.created} cannot serve: {service.why or 'no reason is given'}")
    if built_elsewhere(service.image, function.repository):
        found.append(f"the image of the last revision is {service.image}, which Cloud Functions did not build")
    return (*found, *_of_the_last(wanted, service))


def _of_the_last(wanted: Wanted, service: Service) -> list[str]:
    """What the last revision has otherwise: Cloud Run can make one past Cloud Functions, which does not hear of it."""
    should = settings_of(wanted)
    found = [
        f"{name} of the last revision is {value}, not {should[name]}"
        for name, value in service.settings.items()
        if value != should[name]
    ]
    variables = {name: value for name, value in wanted.variables.items() if name != COMMIT}
    for what, has, wants in (
        ("variable", service.variables, variables),
        ("secret", service.secrets, wanted.secrets),
    ):
        found += [
            f"{what} {name} of the last revision is {has.get(name) or 'not set'}, not {value or 'empty'}"
            for name, value in wants.items()
            if has.get(name) != value
        ]
    found += [
        f"secret {name} of the last revision is not wanted" for name in service.secrets if name not in wanted.secrets
    ]
    if service.commit != wanted.commit:
        found.append(f"the last revision is of commit {service.commit or 'none'}, not {wanted.commit}")
    return found


def built_elsewhere(image: str, repository: str) -> bool:
    """Whether an image is from elsewhere than where a function puts its builds, projects/P/locations/L/repositories/R.
    Where either is not said, nobody knows."""
    name = repository.rpartition("/repositories/")[2]
    return bool(image and name) and ("-docker.pkg.dev/" not in image or f"/{name}/" not in image)


def settings_of(wanted: Wanted) -> dict[str, object]:
    """Those that Cloud Functions keeps under a name of its own, as `read_function` reads them."""
    return {
        "runtime": wanted.runtime,
        "entry point": wanted.function,
        "account": wanted.account,
        "memory": wanted.memory_mb * 2**20,
        "cpu": wanted.cpu,
        "concurrency": wanted.concurrency,
        "min instances": wanted.min_instances,
        "max instances": wanted.max_instances,
        "timeout": wanted.timeout_s,
        "ingress": INGRESS[wanted.ingress],
    }


def read_function(told: Mapping[str, Any]) -> Function:
    """From what `gcloud functions describe` prints. What is missing counts as not set."""
    build, config = told.get("buildConfig") or {}, told.get("serviceConfig") or {}
    return Function(
        state=str(told.get("state", "")),
        settings={
            "runtime": build.get("runtime"),
            "entry point": build.get("entryPoint"),
            "account": config.get("serviceAccountEmail"),
            "memory": _bytes(str(config.get("availableMemory", ""))),
            "cpu": _number(config.get("availableCpu")),
            "concurrency": config.get("maxInstanceRequestConcurrency", 1),
            "min instances": config.get("minInstanceCount", 0),
            "max instances": config.get("maxInstanceCount", 0),
            "timeout": config.get("timeoutSeconds"),
            "ingress": config.get("ingressSettings"),
        },
        labels=told.get("labels") or {},
        variables=config.get("environmentVariables") or {},
        secrets={
            each["key"]: f"{each['secret']}:{each['version']}"
            for each in config.get("secretEnvironmentVariables") or ()
        },
        repository=str(build.get("dockerRepository", "")),
    )


def read_service(told: Mapping[str, Any]) -> Service:
    """From what `gcloud run services describe` prints."""
    status = told.get("status") or {}
    template = told["spec"]["template"]
    variables, secrets = environment_of(template)
    not_ready = [each for each in status.get("conditions") or () if each.get("status") == "False"]
    ready = str(status.get("latestReadyRevisionName", ""))
    # What is asked for stands in spec; which revision the latest is, and where tags answer, only in status.
    asked = told["spec"].get("traffic") or ()
    urls = {each["tag"]: each.get("url", "") for each in status.get("traffic") or () if each.get("tag")}
    return Service(
        url=str(status.get("url", "")),
        created=str(status.get("latestCreatedRevisionName", "")),
        ready=ready,
        why=next((str(each.get("message", "")) for each in not_ready), ""),
        commit=variables.get(COMMIT, ""),
        settings=_settings(template["spec"]),
        variables=variables,
        secrets=secrets,
        image=image_of(template),
        traffic=tuple(
            Share(
                revision=each.get("revisionName") or ready,
                percent=int(each.get("percent") or 0),
                tag=each.get("tag", ""),
                url=urls.get(each.get("tag", ""), ""),
                is_named=not each.get("latestRevision"),
            )
            for each in asked
        ),
    )


def read_traffic(told: Sequence[Mapping[str, Any]]) -> tuple[Share, ...]:
    """From what `gcloud run services update-traffic` prints: where requests go from now on."""
    found: list[Share] = []
    for each in told:
        share = str(each.get("specPercent") or "")
        named = Share(
            revision=str(each["revisionName"]),
            percent=int(share) if share.isdecimal() else 0,
            tag="",
            url="",
            is_named=not each.get("latestRevision"),
        )
        tags = [tag for tag in each.get("tags") or () if tag.get("inSpec")]
        found += [named, *(replace(named, percent=0, tag=tag["tag"], url=tag.get("url", "")) for tag in tags)]
    return tuple(found)


def environment_of(template: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The variables of a revision, and which of a secret's versions each other one has. A secret may stand under an
    alias, which an annotation explains."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    aliases = dict(pair.partition(":")[::2] for pair in str(annotations.get(ALIASES, "")).split(",") if pair)
    variables, secrets = dict[str, str](), dict[str, str]()
    for each in _container(template["spec"]).get("env") or ():
        if (source := each.get("valueFrom")) is None:
            variables[each["name"]] = each.get("value", "")
        elif named := source.get("secretKeyRef"):
            secret = aliases.get(named["name"], named["name"]).rpartition("/")[2]
            secrets[each["name"]] = f"{secret}:{named.get('key', '')}"
    return variables, secrets


def image_of(template: Mapping[str, Any]) -> str:
    """Of a revision."""
    return str(_container(template["spec"]).get("image", ""))


def _container(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (spec.get("containers") or [{}])[0]
    return found


def _settings(spec: Mapping[str, Any]) -> dict[str, object]:
    limits = (_container(spec).get("resources") or {}).get("limits") or {}
    told = {
        "account": spec.get("serviceAccountName"),
        "concurrency": spec.get("containerConcurrency"),
        "timeout": spec.get("timeoutSeconds"),
        "memory": _bytes(limits["memory"]) if "memory" in limits else None,
        "cpu": _number(limits["cpu"]) if "cpu" in limits else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _bytes(memory: str) -> int:
    found = MEMORY.fullmatch(memory)
    return round(float(found[1]) * UNITS[found[2] or ""]) if found else 0


def _number(text: object) -> float:
    """Of processors: 1, 0.5, 500m."""
    number = str(text or "0")
    return float(number.removesuffix("m")) / (1000 if number.endswith("m") else 1)
