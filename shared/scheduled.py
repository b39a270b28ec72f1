"""From Cloud Scheduler's HTTP request to the Delivery of a schedule's word, for the endpoint. Pure.

A job's body is written once, when it is deployed; what changes from firing to firing stands in the headers. So the time
for which it was scheduled is put into the body here, and what the endpoint does with it then is what it does with the
same word on a topic. Who may speak so is Cloud Run's to say: the function is private, and IAM has verified the job's
OIDC token before the request comes in. The headers prove nothing and are not asked to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from shared.core.codec import Malformed, read_instant, write_instant
from shared.core.messages import BODY_BYTES_MAX
from shared.ports import Delivery

BY_SCHEDULER = "x-cloudscheduler"
SCHEDULED_AT = "x-cloudscheduler-scheduletime"
JOB = "x-cloudscheduler-jobname"
JOB_MAX = 500  # Cloud Scheduler's own limit of a name
TRUE = "true"


def is_scheduled(headers: Mapping[str, str]) -> bool:
    """Whether a request says that Cloud Scheduler sends it. Header names may be in any case."""
    return any(name.lower() == BY_SCHEDULER for name in headers)


def read_scheduled(headers: Mapping[str, str], body: bytes, topic: str) -> Delivery:
    """The delivery in a job's request, as if it had come on this topic. Raises Malformed where the headers do not say
    which firing of which job it is: then nobody could say for which day it speaks.

    Late, doubled or tried again it is the same delivery, with the same time in it.
    """
    told = {name.lower(): value for name, value in headers.items()}
    if told.get(BY_SCHEDULER) != TRUE:
        raise Malformed(f"X-CloudScheduler: expected {TRUE!r}, got {told.get(BY_SCHEDULER, '')[:40]!r}")
    job = told.get(JOB, "").rpartition("/")[2]
    if not job or len(job) > JOB_MAX:
        raise Malformed(f"X-CloudScheduler-JobName: expected the name of a job of at most {JOB_MAX} characters")
    at = _scheduled_at(told.get(SCHEDULED_AT))
    return Delivery(
        id=f"{job}:{at:%Y%m%dT%H%M%SZ}",
        topic=topic,
        subscription=job,
        data=_with_time(body, at),
        attributes={},
        attempt=1,  # it does not say; it tries again by its own policy, and buries nothing
        published_at=at,
    )


def _scheduled_at(value: str | None) -> datetime:
    if value is None:
        raise Malformed("X-CloudScheduler-ScheduleTime: is missing; it says for which day the job speaks")
    try:
        return read_instant(value)
    except Malformed as error:
        raise Malformed(f"X-CloudScheduler-ScheduleTime: {error}") from None


def _with_time(body: bytes, at: datetime) -> bytes:
    """The body with the time in it; what is no object stays as it is, to be kept for a person as it came."""
    if len(body) > BODY_BYTES_MAX:
        return body
    try:
        said = json.loads(body.decode())
    except (ValueError, RecursionError):
        return body
    if not isinstance(said, dict):
        return body
    return json.dumps({**said, "scheduled_at": write_instant(at)}).encode()
