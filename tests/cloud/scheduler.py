"""Cloud Scheduler for the fake: jobs, what may be changed of them, pausing and resuming."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from cronsim import CronSim, CronSimError
from google.cloud.scheduler_v1 import types

from tests.cloud.fake import Answer, Refused, Request, Routes
from tests.cloud.things import Body, masked, paged, parsed

PARENT = r"/v1/(?P<parent>projects/[^/]+/locations/[^/]+)/jobs"
JOB = r"/v1/(?P<name>projects/[^/]+/locations/[^/]+/jobs/[^/:]+)"


class Scheduler:
    names: tuple[str, ...] = ("cloudscheduler",)

    def __init__(self) -> None:
        self.jobs: dict[str, Body] = {}
        self.routes = Routes()
        self.routes.on("GET", PARENT, lambda r, parent: paged(r, "jobs", self.jobs.values(), 3))
        self.routes.on("POST", PARENT, self._create)
        self.routes.on("PATCH", JOB, self._patch)
        self.routes.on("DELETE", JOB, self._delete)
        self.routes.on("POST", JOB + ":resume", lambda _, name: self._state(name, "ENABLED"))
        self.routes.on("POST", JOB + ":pause", lambda _, name: self._state(name, "PAUSED"))

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def job(self, name: str, project: str = "tipoff-dev") -> Body:
        return self.jobs[f"projects/{project}/locations/us-central1/jobs/{name}"]

    def _create(self, request: Request, parent: str) -> Answer:
        job = checked(request.json)
        if job["name"] in self.jobs:
            raise Refused(409, f"Job {job['name']} already exists.")
        self.jobs[job["name"]] = {**job, "state": "ENABLED", "status": {"code": -1}, "userUpdateTime": _now()}
        return Answer(self.jobs[job["name"]])

    def _patch(self, request: Request, name: str) -> Answer:
        changed = dict(self._there(name))
        fields = [_camel(path.partition(".")[0]) for path in request.query["updateMask"].split(",")]
        masked(changed, request.json, fields)
        state = {key: changed.pop(key) for key in ("state", "status", "lastAttemptTime") if key in changed}
        self.jobs[name] = {**checked(changed), **state, "userUpdateTime": _now()}
        return Answer(self.jobs[name])

    def _delete(self, _request: Request, name: str) -> Answer:
        self._there(name)
        del self.jobs[name]
        return Answer()

    def _state(self, name: str, state: str) -> Answer:
        self._there(name)["state"] = state
        return Answer(self.jobs[name])

    def _there(self, name: str) -> Body:
        if name not in self.jobs:
            raise Refused(404, f"Job {name} not found.")
        return self.jobs[name]


def checked(body: Any) -> Body:
    job = parsed(body, types.Job)
    try:
        next(CronSim(job["schedule"], datetime(2031, 1, 1, tzinfo=timezone.utc)))
    except CronSimError as error:
        raise Refused(400, f"Schedule or time zone is invalid: {error}") from None
    target = job["httpTarget"]
    if not target["uri"].startswith("https://"):
        raise Refused(400, "HttpTarget.uri must be https where it carries a token")
    job["httpTarget"] = {**target, "headers": {**target.get("headers", {}), "User-Agent": "Google-Cloud-Scheduler"}}
    job.setdefault("attemptDeadline", "180s")
    return job


def _camel(snake: str) -> str:
    return re.sub("_([a-z])", lambda found: found[1].upper(), snake)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
