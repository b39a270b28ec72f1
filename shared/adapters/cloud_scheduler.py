"""Cloud Scheduler's jobs as the port Cloud has them, by Google's own client over REST."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import requests
from google.api_core import exceptions
from google.auth.exceptions import GoogleAuthError
from google.cloud.scheduler_v1 import CloudSchedulerClient, types
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import CloudSchedulerRestTransport

from shared.adapters.cloud_calls import TRY_S, Absent, Calls, Conflict, explained, last, unanswered
from shared.core.codec import write_instant
from shared.core.drift import Kind, Resource, Value

SERVICE = "cloudscheduler"
CONTENT_TYPE = "Content-Type"
ENABLED = "ENABLED"
TARGET = "http_target"
MASKS = {
    "cron": "schedule",
    "zone": "time_zone",
    "deadline_s": "attempt_deadline",
    **dict.fromkeys(("retries", "retry_s", "retry_max_s", "retry_doublings"), "retry_config"),
}
"""What of a job a field is in; the others are in its target."""


class Jobs:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        # credentials beside a transport are refused, and a transport that makes its own would send a token to a test
        transport = CloudSchedulerRestTransport(host=calls.address(SERVICE), credentials=calls.credentials)
        self._client = CloudSchedulerClient(transport=transport)
        self._parent = f"projects/{calls.project}/locations/{calls.region}"

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        listed = self._call("GET", lambda: list(self._client.list_jobs(parent=self._parent, retry=None, timeout=TRY_S)))
        return [read_job(job) for job in listed or ()]

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            self._call("POST", partial(self._client.create_job, parent=self._parent, job=self._job(each), **ONCE))

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        """One that is not at work is set going last."""
        job = self._job(resource)
        masks = sorted({MASKS.get(name, TARGET) for name in fields if name != "state"})
        if masks:
            request = {"job": job, "update_mask": {"paths": masks}}
            self._call("PATCH", partial(self._client.update_job, request, **ONCE))
        if "state" in fields:
            self._call("POST", partial(self._client.resume_job, name=job.name, **ONCE))

    def remove(self, resource: Resource) -> None:
        name = f"{self._parent}/jobs/{resource.name}"
        self._call("DELETE", partial(self._client.delete_job, name=name, **ONCE))

    def _job(self, resource: Resource) -> types.Job:
        return write_job(resource, f"{self._parent}/jobs/{resource.name}")

    def _call(self, method: str, call: Callable[[], Any]) -> Any:
        """Tried again as all calls are. What is there already, or not there any more, is as it should be."""

        def once() -> Any:
            try:
                return call()
            except exceptions.GoogleAPICallError as error:
                where, status = f"{method} {SERVICE}/v1/{self._parent}/jobs", int(error.code or 500)
                reasons = " ".join(str(each.get("reason", "")) for each in error.errors if isinstance(each, dict))
                said = f"{error.message} {getattr(error, 'reason', '') or reasons}".strip()
                raise explained(where, SERVICE, method, status, said, self._calls.project) from None
            except (GoogleAuthError, requests.RequestException) as error:
                raise unanswered(SERVICE, error) from None

        try:
            return self._calls.again(once)()
        except (Absent, Conflict) as error:
            if (method, type(error)) not in HARMLESS:
                raise
            return None


ONCE: dict[str, Any] = {"retry": None, "timeout": TRY_S}
"""Of one try: trying again is ours."""

HARMLESS = {("POST", Conflict), ("DELETE", Absent), ("GET", Absent)}


def write_job(resource: Resource, name: str) -> types.Job:
    fields: Any = resource.fields
    return types.Job(
        name=name,
        schedule=fields["cron"],
        time_zone=fields["zone"],
        attempt_deadline=timedelta(seconds=fields["deadline_s"]),
        retry_config=types.RetryConfig(
            retry_count=fields["retries"],
            min_backoff_duration=timedelta(seconds=fields["retry_s"]),
            max_backoff_duration=timedelta(seconds=fields["retry_max_s"]),
            max_doublings=fields["retry_doublings"],
        ),
        http_target=types.HttpTarget(
            uri=fields["url"],
            http_method=fields["method"],
            headers={CONTENT_TYPE: fields["content_type"]},
            body=fields["body"].encode(),
            oidc_token=types.OidcToken(service_account_email=fields["account"], audience=fields["audience"]),
        ),
    )


def read_job(job: types.Job) -> Resource:
    target, again = job.http_target, job.retry_config
    fields: dict[str, Value] = {
        "cron": job.schedule,
        "zone": job.time_zone,
        "url": target.uri or None,
        "method": target.http_method.name if target.uri else None,
        "body": target.body.decode(errors="replace"),
        "content_type": target.headers.get(CONTENT_TYPE),
        "account": target.oidc_token.service_account_email or None,
        "audience": target.oidc_token.audience or None,
        "deadline_s": _whole(job.attempt_deadline),
        "retries": again.retry_count,
        "retry_s": _whole(again.min_backoff_duration),
        "retry_max_s": _whole(again.max_backoff_duration),
        "retry_doublings": again.max_doublings,
        "state": job.state.name,
    }
    seen: dict[str, Value] = {"status": job.status.code, "said": job.status.message[:200]}
    if job.last_attempt_time:
        seen["ran_at"] = write_instant(job.last_attempt_time)
    if job.user_update_time:
        seen["changed_at"] = write_instant(job.user_update_time)
    return Resource(kind=Kind.SCHEDULE, name=last(job.name), fields=fields, seen=seen)


def _whole(duration: timedelta | None) -> Value:
    found = duration.total_seconds() if duration else 0.0
    return int(found) if found == int(found) else found
