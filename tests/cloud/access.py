"""Service accounts, secrets, datasets and a bucket's policy for the fake."""

from __future__ import annotations

from typing import Any

from google.cloud.iam_admin_v1 import types as iam
from google.cloud.secretmanager_v1 import types as secrets

from tests.cloud.fake import Answer, Refused, Request, Routes, strictly
from tests.cloud.things import Body, Policies, body_of, paged, parsed

PROJECT = r"/v1/projects/(?P<project>[^/]+)"
ACCOUNT = PROJECT + r"/serviceAccounts/(?P<email>[^/:]+)"
NAMED = r"/v1/(?P<name>projects/[^/]+/secrets/[^/:]+)"
DATASETS = r"/bigquery/v2/projects/(?P<project>[^/]+)/datasets"
ENTRY: dict[str, object] = {
    **dict.fromkeys(("role", "userByEmail", "groupByEmail", "specialGroup", "iamMember", "domain"), str),
    "view": dict,
}
DATASET: dict[str, object] = {
    "datasetReference": {"projectId": str, "datasetId": str},
    "location": str,
    "defaultTableExpirationMs": str,
    "access": [ENTRY],
}


class Accounts:
    names: tuple[str, ...] = ("iam",)

    def __init__(self) -> None:
        self.accounts: dict[str, Body] = {}
        self.policies = Policies(lambda email: email in self.accounts)
        self.routes = Routes()
        self.routes.on("GET", PROJECT + "/serviceAccounts", self._list)
        self.routes.on("POST", PROJECT + "/serviceAccounts", self._create)
        self.routes.on("DELETE", ACCOUNT, self._delete)
        self.routes.on("POST", ACCOUNT + ":enable", self._enable)
        self.routes.on("POST", ACCOUNT + ":getIamPolicy", lambda _, project, email: self.policies.get(email))
        self.routes.on(
            "POST", ACCOUNT + ":setIamPolicy", lambda r, project, email: self.policies.set(email, r.json["policy"])
        )

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def add(self, email: str, **how: Any) -> None:
        self.accounts[email] = {"email": email, **how}

    def _list(self, request: Request, project: str) -> Answer:
        return paged(request, "accounts", self.accounts.values())

    def _create(self, request: Request, project: str) -> Answer:
        body = parsed(request.json, iam.CreateServiceAccountRequest)
        name = body["accountId"]
        if not 6 <= len(name) <= 30:
            raise Refused(400, f"The account ID '{name}' does not have a length between 6 and 30.")
        email = f"{name}@{project}.iam.gserviceaccount.com"
        if email in self.accounts:
            raise Refused(409, f"Service account {name} already exists within project {project}.")
        self.add(email, **body["serviceAccount"])
        return Answer(self.accounts[email])

    def _delete(self, _request: Request, project: str, email: str) -> Answer:
        if self.accounts.pop(email, None) is None:
            raise Refused(404, f"Unknown service account {email}")
        return Answer()

    def _enable(self, _request: Request, project: str, email: str) -> Answer:
        self.accounts[email].pop("disabled", None)
        return Answer()


class Secrets:
    names: tuple[str, ...] = ("secretmanager",)

    def __init__(self) -> None:
        self.secrets: dict[str, Body] = {}
        self.versions: dict[str, list[Body]] = {}
        self.policies = Policies(lambda name: name in self.secrets)
        self.routes = Routes()
        self.routes.on("GET", PROJECT + "/secrets", lambda r, project: paged(r, "secrets", self.secrets.values(), 1))
        self.routes.on("POST", PROJECT + "/secrets", self._create)
        self.routes.on("DELETE", NAMED, self._delete)
        self.routes.on("GET", NAMED + "/versions/latest", self._latest)
        self.routes.on("GET", NAMED + ":getIamPolicy", lambda _, name: self.policies.get(name))
        self.routes.on("POST", NAMED + ":setIamPolicy", lambda r, name: self.policies.set(name, r.json["policy"]))

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def add_version(self, name: str, state: str = "ENABLED", project: str = "tipoff-dev") -> None:
        full = f"projects/{project}/secrets/{name}"
        self.versions[full].append({"name": f"{full}/versions/{len(self.versions[full]) + 1}", "state": state})

    def _create(self, request: Request, project: str) -> Answer:
        name = f"projects/{project}/secrets/{request.query['secretId']}"
        if name in self.secrets:
            raise Refused(409, f"Secret [{name}] already exists.")
        self.secrets[name] = {**parsed(request.json, secrets.Secret), "name": name}
        self.versions[name] = []
        return Answer(self.secrets[name])

    def _delete(self, _request: Request, name: str) -> Answer:
        if self.secrets.pop(name, None) is None:
            raise Refused(404, f"Secret [{name}] not found.")
        return Answer()

    def _latest(self, _request: Request, name: str) -> Answer:
        if not self.versions.get(name):
            raise Refused(404, f"Secret Version [{name}/versions/latest] not found.")
        return Answer(self.versions[name][-1])


class Storage:
    """Datasets with their lists of who may what, and the policies of two buckets."""

    names: tuple[str, ...] = ("bigquery", "storage")

    def __init__(self) -> None:
        self.datasets: dict[str, Body] = {}
        self.there = {"tipoff-dev-exports", "tipoff-dev-data"}  # buckets
        self.buckets = Policies(lambda name: name in self.there)
        for name in self.there:
            self.buckets.grant(name, "roles/storage.legacyBucketOwner", "projectOwner:tipoff-dev")
        self.routes = Routes()
        self.routes.on("POST", DATASETS, self._create)
        self.routes.on("GET", DATASETS + "/(?P<name>[^/]+)", self._get)
        self.routes.on("PATCH", DATASETS + "/(?P<name>[^/]+)", self._patch)
        bucket = r"/storage/v1/b/(?P<name>[^/]+)/iam"
        self.routes.on("GET", bucket, lambda _, name: self.buckets.get(name))
        self.routes.on("PUT", bucket, lambda r, name: self.buckets.set(name, dict(body_of(r))))

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def _create(self, request: Request, project: str) -> Answer:
        strictly(request.json, DATASET)
        name = request.json["datasetReference"]["datasetId"]
        if name in self.datasets:
            raise Refused(409, f"Already Exists: Dataset {project}:{name}")
        owners = [{"role": "OWNER", "specialGroup": "projectOwners"}, {"role": "OWNER", "userByEmail": "a@example.com"}]
        self.datasets[name] = {**request.json, "access": owners, "etag": "e0"}
        return Answer(self.datasets[name])

    def _get(self, _request: Request, project: str, name: str) -> Answer:
        if name not in self.datasets:
            raise Refused(404, f"Not found: Dataset {project}:{name}")
        return Answer(self.datasets[name])

    def _patch(self, request: Request, project: str, name: str) -> Answer:
        body = {key: value for key, value in request.json.items() if value is not None}
        strictly(body, DATASET)
        stands = self.datasets[name]
        if request.headers.get("if-match", stands["etag"] if "access" not in body else "") != stands["etag"]:
            raise Refused(412, "Precondition Failed: the etag is not that of the dataset")
        unset = {key for key, value in request.json.items() if value is None}
        kept = {key: value for key, value in stands.items() if key not in unset}
        self.datasets[name] = {**kept, **body, "etag": f"e{int(stands['etag'][1:]) + 1}"}
        return Answer(self.datasets[name])
