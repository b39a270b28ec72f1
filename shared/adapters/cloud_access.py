"""Service accounts, datasets, secrets and who has which role on what, as the port Cloud has them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from shared.adapters.cloud_calls import Absent, Calls, Conflict, last
from shared.adapters.retry import FullJitter, is_one_of
from shared.core.drift import HAS_VALUE, Kind, Resource, Value, binding
from shared.ports import CloudError

ASKERS = 8  # policies that are read beside each other
POLICY_VERSION = 3  # the first that tells conditions
OF_ALL = ("roles/bigquery.dataOwner", "roles/bigquery.dataEditor", "roles/bigquery.dataViewer")
LEGACY = {"OWNER": OF_ALL[0], "WRITER": OF_ALL[1], "READER": OF_ALL[2]}
"""What BigQuery calls roles when it is asked who may do what with a dataset."""

AT_ONCE = FullJitter(passes=is_one_of(Conflict), first_s=0.2, most_s=2.0, total_s=20.0)
"""A policy is read and written as a whole: whoever was slower begins anew."""

Policy = dict[str, Any]


class Accounts:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._path = f"/v1/projects/{calls.project}/serviceAccounts"

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        """The project's own; those that Google makes in it have other domains."""
        domain = f"@{self._calls.project}.iam.gserviceaccount.com"
        return [
            Resource(
                kind=Kind.ACCOUNT,
                name=each["email"].removesuffix(domain),
                fields={"disabled": bool(each.get("disabled"))},
            )
            for each in self._calls.pages("iam", self._path, "accounts", pageSize="100")
            if each["email"].endswith(domain)
        ]

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            body = {"accountId": each.name, "serviceAccount": {"displayName": f"Tipoff: {each.name}"}}
            self._calls.make("iam", "POST", self._path, body)

    def change(self, resource: Resource, _fields: Sequence[str]) -> None:
        self._calls.ask("iam", "POST", f"{self._path}/{email_of(resource.name, self._calls)}:enable", body={})

    def remove(self, resource: Resource) -> None:
        self._calls.delete("iam", f"{self._path}/{email_of(resource.name, self._calls)}")


class Secrets:
    """Whether there is one and whether it has a value that can be read. No value is ever read, or written."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._path = f"/v1/projects/{calls.project}/secrets"

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        names = [last(each["name"]) for each in self._calls.pages("secretmanager", self._path, "secrets")]
        return [Resource(kind=Kind.SECRET, name=name, fields={HAS_VALUE: self._has_value(name)}) for name in names]

    def _has_value(self, name: str) -> bool:
        """By `latest`, which is what functions read: the newest version, also where it is disabled."""
        newest = self._calls.get("secretmanager", f"{self._path}/{name}/versions/latest")
        return bool(newest) and newest.get("state") == "ENABLED"

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            body = {"replication": {"automatic": {}}, "labels": {"app": "tipoff"}}
            self._calls.make("secretmanager", "POST", self._path, body, secretId=each.name)

    def change(self, _resource: Resource, _fields: Sequence[str]) -> None:
        """Nothing: its value is a person's to give."""

    def remove(self, resource: Resource) -> None:
        self._calls.delete("secretmanager", f"{self._path}/{resource.name}")


class Datasets:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._path = f"/bigquery/v2/projects/{calls.project}/datasets"

    def read(self, declared: Sequence[Resource]) -> list[Resource]:
        """Those that are declared: a project may hold others."""
        found = []
        for each in declared:
            live = self._calls.get("bigquery", f"{self._path}/{each.name}") if each.kind is Kind.DATASET else None
            if live:
                expires_ms = live.get("defaultTableExpirationMs")
                fields: dict[str, Value] = {
                    "location": live.get("location"),
                    "expires_s": int(expires_ms) // 1_000 if expires_ms else None,
                }
                found.append(Resource(kind=Kind.DATASET, name=each.name, fields=fields))
        return found

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            reference = {"projectId": self._calls.project, "datasetId": each.name}
            body = {"datasetReference": reference, "location": each.fields["location"], **self._expiry(each)}
            self._calls.make("bigquery", "POST", self._path, body)

    def change(self, resource: Resource, _fields: Sequence[str]) -> None:
        body: dict[str, str | None] = {"defaultTableExpirationMs": None, **self._expiry(resource)}
        self._calls.ask("bigquery", "PATCH", f"{self._path}/{resource.name}", body=body)

    def remove(self, resource: Resource) -> None:
        raise NotImplementedError(f"dataset {resource.name}: tables are deleted by a person, with bq")

    def _expiry(self, resource: Resource) -> dict[str, str]:
        expires_s = resource.fields["expires_s"]
        return {"defaultTableExpirationMs": str(int(str(expires_s)) * 1_000)} if expires_s else {}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the policy of something is read and written."""

    service: str
    path: str
    asks_by_post: bool = False  # the oldest interfaces do


class Bindings:
    """Each role of each member by itself, though Google keeps a policy of each thing as a whole."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, declared: Sequence[Resource]) -> list[Resource]:
        """On everything that is declared: of what is not, that it is there is said already."""
        things = sorted({on for each in declared if (on := _thing(each))})
        with ThreadPoolExecutor(max_workers=ASKERS) as pool:
            return [each for found in pool.map(self._read, things) for each in found]

    def _read(self, on: str) -> list[Resource]:
        policy = self._policy(on)
        return [
            binding(on, each["role"] + _condition(each), member)
            for each in (policy or {}).get("bindings", ())
            for member in each.get("members", ())
        ]

    def create(self, resources: Sequence[Resource]) -> None:
        self._each(resources, _grant)

    def change(self, resource: Resource, _fields: Sequence[str]) -> None:
        raise NotImplementedError(f"{resource.name}: a binding is there or not")

    def remove(self, resource: Resource) -> None:
        self._each([resource], _revoke)

    def _each(self, resources: Sequence[Resource], alter: Callable[[Policy, str, str], bool]) -> None:
        by_thing: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for each in resources:
            by_thing[str(each.fields["on"])].append((str(each.fields["role"]), str(each.fields["member"])))
        absent = [on for on, pairs in by_thing.items() if not AT_ONCE(self._alter)(on, pairs, alter)]
        if buckets := [on.partition("/")[2] for on in absent if on.startswith("bucket/")]:
            raise CloudError("; ".join(map(self._no_bucket, buckets)))  # nothing here makes one, unlike all else

    def _alter(self, on: str, pairs: Sequence[tuple[str, str]], alter: Callable[[Policy, str, str], bool]) -> bool:
        """In one write for each thing, on what was read a moment ago; nothing where nothing would change. Whether the
        thing is there."""
        policy = self._policy(on)
        if policy is None:
            return False
        altered = [alter(policy, role, member) for role, member in pairs]
        if any(altered):
            self._write(on, policy)
        return True

    def _no_bucket(self, name: str) -> str:
        at = f"--location={self._calls.region} --uniform-bucket-level-access --project={self._calls.project}"
        return f"bucket {name}: is not there; run `gcloud storage buckets create gs://{name} {at}`, then this again"

    def _policy(self, on: str) -> Policy | None:
        place = place_of(on, self._calls)
        try:
            if on.startswith("dataset/"):
                return _from_access(self._calls.ask(place.service, "GET", place.path))
            if on.startswith("bucket/"):
                query = {"optionsRequestedPolicyVersion": str(POLICY_VERSION)}
                return dict(self._calls.ask(place.service, "GET", place.path, query=query))
            if place.asks_by_post:
                body = {"options": {"requestedPolicyVersion": POLICY_VERSION}} if on == "project" else None
                return dict(self._calls.ask(place.service, "POST", f"{place.path}:getIamPolicy", body=body or {}))
            query = {"options.requestedPolicyVersion": str(POLICY_VERSION)}
            return dict(self._calls.ask(place.service, "GET", f"{place.path}:getIamPolicy", query=query))
        except Absent:
            return None

    def _write(self, on: str, policy: Policy) -> None:
        place = place_of(on, self._calls)
        if any(each.get("condition") for each in policy["bindings"]):
            policy["version"] = POLICY_VERSION
        if on.startswith("dataset/"):
            body = {"access": _to_access(policy)}
            self._calls.ask(place.service, "PATCH", place.path, body=body, etag=str(policy["etag"]))
        elif on.startswith("bucket/"):
            self._calls.ask(place.service, "PUT", place.path, body=policy)
        else:
            self._calls.ask(place.service, "POST", f"{place.path}:setIamPolicy", body={"policy": policy})


def place_of(on: str, calls: Calls) -> Place:
    """From `topic/nba-raw-start` to where its policy is."""
    kind, _, name = on.partition("/")
    project = f"/v1/projects/{calls.project}"
    match kind:
        case "project":
            return Place("cloudresourcemanager", project, asks_by_post=True)
        case "topic":
            return Place("pubsub", f"{project}/topics/{name}")
        case "subscription":
            return Place("pubsub", f"{project}/subscriptions/{name}")
        case "run":
            return Place("run", f"{project}/locations/{calls.region}/services/{name}")
        case "secret":
            return Place("secretmanager", f"{project}/secrets/{name}")
        case "account":
            return Place("iam", f"{project}/serviceAccounts/{email_of(name, calls)}", asks_by_post=True)
        case "bucket":
            return Place("storage", f"/storage/v1/b/{name}/iam")
        case "dataset":
            return Place("bigquery", f"/bigquery/v2/projects/{calls.project}/datasets/{name}")
    raise ValueError(f"{on!r} is nothing that has a policy")


def email_of(account: str, calls: Calls) -> str:
    return f"{account}@{calls.project}.iam.gserviceaccount.com"


def _thing(declared: Resource) -> str:
    """What a declared resource says that has a policy."""
    kinds = {
        Kind.TOPIC: "topic",
        Kind.SUBSCRIPTION: "subscription",
        Kind.FUNCTION: "run",
        Kind.SECRET: "secret",
        Kind.ACCOUNT: "account",
        Kind.DATASET: "dataset",
    }
    if declared.kind is Kind.BINDING:
        return str(declared.fields["on"])
    return f"{kinds[declared.kind]}/{declared.name}" if declared.kind in kinds else ""


def _condition(held: Mapping[str, Any]) -> str:
    """A role that is held on a condition is another than the role."""
    condition = held.get("condition")
    return f" if {condition.get('title') or condition.get('expression')}" if condition else ""


def _grant(policy: Policy, role: str, member: str) -> bool:
    """Whether that changes anything."""
    held = policy.setdefault("bindings", [])
    for each in held:
        if each["role"] == role and not each.get("condition"):
            if member in each.setdefault("members", []):
                return False
            each["members"].append(member)
            return True
    held.append({"role": role, "members": [member]})
    return True


def _revoke(policy: Policy, role: str, member: str) -> bool:
    """Whether that changes anything."""
    found = False
    for each in policy.get("bindings", ()):
        if each["role"] + _condition(each) == role and member in each.get("members", ()):
            each["members"].remove(member)
            found = True
    policy["bindings"] = [each for each in policy.get("bindings", ()) if each.get("members")]
    return found


def _from_access(dataset: Mapping[str, Any]) -> Policy:
    """A dataset's list of who may what, as a policy. What is no role of a member is kept aside, to be written again."""
    bindings: dict[str, list[str]] = {}
    beside = []
    for entry in dataset.get("access", ()):
        member = _member(entry)
        if member and entry.get("role") and not entry.get("condition"):
            bindings.setdefault(LEGACY.get(entry["role"], entry["role"]), []).append(member)
        else:
            beside.append(entry)
    held = [{"role": role, "members": members} for role, members in bindings.items()]
    return {"bindings": held, "beside": beside, "etag": dataset.get("etag", "")}


def _member(entry: Mapping[str, Any]) -> str:
    """Of an entry that names a person, a group or an account."""
    if email := entry.get("userByEmail"):
        return f"{'serviceAccount' if email.endswith('gserviceaccount.com') else 'user'}:{email}"
    if email := entry.get("groupByEmail"):
        return f"group:{email}"
    if entry.get("specialGroup") in ("allAuthenticatedUsers", "allUsers"):
        return str(entry["specialGroup"])
    return str(entry.get("iamMember", ""))


def _to_access(policy: Policy) -> list[dict[str, Any]]:
    names = {role: legacy for legacy, role in LEGACY.items()}
    entries = list(policy["beside"])
    for each in policy["bindings"]:
        for member in each["members"]:
            kind, _, email = member.partition(":")
            who = {"serviceAccount": "userByEmail", "user": "userByEmail", "group": "groupByEmail"}.get(kind)
            role = names.get(each["role"], each["role"])
            entries.append({"role": role, who: email} if who else {"role": role, "iamMember": member})
    return entries
