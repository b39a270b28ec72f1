"""One call of a Google API as REST, for the adapters of the port Cloud: with a token, a limit, and errors that help.

`endpoint` is where all of them are asked instead, such as a test's own Google Cloud: an address with {service} in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests
from google.auth import default
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from requests.adapters import HTTPAdapter

from shared.adapters.retry import FullJitter, is_one_of
from shared.ports import CloudDenied, CloudError

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TRY_S = 30.0  # one try of a call; most take less than a second
CALL_S = 30.0  # all tries: somebody sits before it
CONNECTIONS = 64  # kept to one host: kinds beside each other, and policies within one
PAGES_MAX = 200  # of a list; a thousand things each are more than any project has
SAID_MAX = 300  # characters of what Google says
NO_ACCOUNT = re.compile(r"[Ss]ervice account .*(?:not found|does not exist)")
PASSING = frozenset({408, 429, 500, 502, 503, 504})

READS: Mapping[str, str] = {
    "pubsub": "roles/pubsub.viewer",
    "cloudscheduler": "roles/cloudscheduler.viewer",
    "iam": "roles/iam.serviceAccountViewer",
    "cloudresourcemanager": "roles/iam.securityReviewer",
    "secretmanager": "roles/secretmanager.viewer",
    "firestore": "roles/datastore.viewer",
    "bigquery": "roles/bigquery.metadataViewer",
    "storage": "roles/iam.securityReviewer",
    "cloudfunctions": "roles/cloudfunctions.viewer",
    "run": "roles/run.viewer",
    "monitoring": "roles/monitoring.viewer",
}
"""The smallest role with which a service can be asked what is there."""

WRITES: Mapping[str, str] = {
    "pubsub": "roles/pubsub.admin and roles/iam.serviceAccountUser",  # of the account whose token a push carries
    "cloudscheduler": "roles/cloudscheduler.admin and roles/iam.serviceAccountUser",
    "iam": "roles/iam.serviceAccountAdmin",
    "cloudresourcemanager": "roles/resourcemanager.projectIamAdmin",
    "secretmanager": "roles/secretmanager.admin",
    "firestore": "roles/datastore.indexAdmin",
    "bigquery": "roles/bigquery.dataOwner",
    "storage": "roles/storage.admin",
    "run": "roles/run.admin",
    "monitoring": "roles/monitoring.admin",
}
"""The smallest role with which bin/deploy can change it."""


class Passing(CloudError):
    """The same call may do in a moment."""


class Conflict(CloudError):
    """Somebody else has changed it meanwhile, or it is there already."""


class Absent(CloudError):
    """It is not there."""


AGAIN = FullJitter(
    passes=is_one_of(Passing),
    first_s=0.5,
    most_s=10.0,
    total_s=CALL_S,
)


class Calls:
    """Any number of threads. Whoever opens it closes it."""

    def __init__(self, project: str, region: str, *, endpoint: str = "", again: FullJitter = AGAIN) -> None:
        """Raises CloudError where nobody has said who asks."""
        self.project, self.region = project, region
        self.endpoint, self.again = endpoint, again
        self.credentials = credentials(endpoint)
        self._session = AuthorizedSession(self.credentials)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS))

    def close(self) -> None:
        """Idempotent."""
        self._session.close()

    def get(self, service: str, path: str, **query: str) -> Any:
        """What is there; None where nothing is."""
        try:
            return self.ask(service, "GET", path, query=query)
        except Absent:
            return None

    def pages(self, service: str, path: str, key: str, **query: str) -> Iterator[Any]:
        """What a list holds under a key, page by page; nothing where there is none."""
        for _ in range(PAGES_MAX):
            page = self.get(service, path, **query) or {}
            yield from page.get(key, ())
            if not page.get("nextPageToken"):
                return
            query["pageToken"] = page["nextPageToken"]
        raise CloudError(f"{service} {path}: more than {PAGES_MAX} pages; look there by hand")

    def make(self, service: str, method: str, path: str, body: Any, **query: str) -> None:
        """What is there already stays as it is."""
        try:
            self.ask(service, method, path, body=body, query=query)
        except Conflict:
            return

    def delete(self, service: str, path: str) -> None:
        """What is not there any more is no error."""
        try:
            self.ask(service, "DELETE", path)
        except Absent:
            return

    def ask(
        self,
        service: str,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        etag: str = "",
    ) -> Any:
        """The answer's JSON. Raises Absent, Conflict, CloudDenied or CloudError; tried again while that may help.

        `etag` of what was read: what has changed since is not written over.
        """
        headers = {"If-Match": etag} if etag else {}
        return self.again(self._once)(service, method, path, body, dict(query or {}), headers)

    def _once(
        self,
        service: str,
        method: str,
        path: str,
        body: Any,
        query: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Any:
        url = self.address(service) + quote(path, safe="/:()~-._@")
        data = None if body is None else json.dumps(body).encode()
        headers = {**headers, **({} if data is None else {"Content-Type": "application/json"})}
        try:
            answer = self._session.request(
                method, url, params=query, data=data, headers=headers, timeout=TRY_S, allow_redirects=False
            )
        except (GoogleAuthError, requests.RequestException) as error:
            raise unanswered(service, error) from None
        where = f"{method} {service}{path}"
        if not 200 <= answer.status_code < 300:
            raise explained(where, service, method, answer.status_code, _said(answer), self.project)
        try:
            return answer.json() if answer.content else {}
        except ValueError:
            raise Passing(f"{where}: an answer that is no JSON; try again later") from None

    def address(self, service: str) -> str:
        """Where a service is; Cloud Run's own interface has one for each region."""
        if self.endpoint:
            return self.endpoint.replace("{service}", service)
        return f"https://{f'{self.region}-' if service == 'run' else ''}{service}.googleapis.com"


LOG_IN = (
    "run `gcloud auth application-default login`, or name a service account's key in GOOGLE_APPLICATION_CREDENTIALS"
)


def credentials(endpoint: str) -> Credentials:
    """Nobody's, where an endpoint of one's own is asked: no token leaves for what is not Google's."""
    if endpoint:
        return AnonymousCredentials()
    try:
        found: Credentials = default(scopes=[SCOPE])[0]
    except GoogleAuthError as error:
        raise CloudError(f"Google Cloud: nobody has said who asks ({type(error).__name__}); {LOG_IN}") from None
    return found


def unanswered(service: str, error: Exception) -> CloudError:
    """What it means that there was no answer. What the error says of itself may hold more than is ours to tell."""
    if isinstance(error, GoogleAuthError):
        return CloudError(f"{service}: no token ({type(error).__name__}); {LOG_IN}")
    return Passing(f"{service}: no answer ({type(error).__name__}); see whether this machine reaches Google")


def explained(where: str, service: str, method: str, status: int, said: str, project: str) -> CloudError:
    """What an answer that is none means, and what helps."""
    if status == 404:
        return Absent(f"{where}: is not there" if method == "GET" else f"{where}: {said}{_first(said)}")
    if status == 409 or status == 412:
        return Conflict(f"{where}: {said}")
    if status in (401, 403) and ("SERVICE_DISABLED" in said or "has not been used in project" in said):
        enable = f"gcloud services enable {service}.googleapis.com --project={project}"
        return CloudDenied(f"{where}: the service is not enabled; run `{enable}`")
    if status in (401, 403):
        asks = method == "GET" or where.endswith(":getIamPolicy")
        role = (READS if asks else WRITES).get(service, "a role of that service")
        return CloudDenied(f"{where}: permission denied: {said}; {role} helps")
    if status in PASSING or "does not exist" in said:  # an account that was made a moment ago is not known everywhere
        return Passing(f"{where}: {status}: {said}{_first(said) or '; try again later'}")
    return CloudError(f"{where}: {status}: {said}")


def _first(said: str) -> str:
    """What must be done before, where Google misses an account that is named."""
    return "; run `bin/deploy/iam` first" if NO_ACCOUNT.search(said) else ""


def _said(answer: requests.Response) -> str:
    """Google's own words, bounded."""
    try:
        error = answer.json()["error"]
        reasons = [each.get("reason", "") for each in error.get("details", ()) if isinstance(each, dict)]
        words = " ".join([str(error.get("message", "")), *filter(None, reasons)])
    except (ValueError, KeyError, TypeError, AttributeError):
        words = answer.text
    return " ".join(words.split())[:SAID_MAX]


# --- values ---------------------------------------------------------------------------------------------


def last(path: object) -> str:
    """The last part of a resource's full name."""
    return str(path or "").rpartition("/")[2]


def seconds(duration: object) -> int | float | None:
    """Of a duration as JSON has it, `600s` or `1.5s`; None where none is."""
    if duration is None or duration == "":
        return None
    try:
        found = float(str(duration).removesuffix("s"))
    except ValueError:
        return None
    return int(found) if found == int(found) else found


def duration(seconds: object) -> str:
    return f"{seconds}s"
