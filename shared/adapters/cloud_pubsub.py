"""Topics and subscriptions as the port Cloud has them, over Pub/Sub's REST interface; also its emulator's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.adapters.cloud_calls import Calls, duration, last, seconds
from shared.core.drift import LABEL, NEVER, Kind, Resource, Value

SERVICE = "pubsub"
WEEK_S = 7 * 86_400  # what Pub/Sub keeps where nothing is said
MONTH_S = 31 * 86_400  # after which it deletes a subscription that nobody uses, where nothing is said

MASKS = {
    "push_endpoint": "pushConfig",
    "push_account": "pushConfig",
    "push_audience": "pushConfig",
    "dead_letter_topic": "deadLetterPolicy",
    "attempts_max": "deadLetterPolicy",
    "pause_s": "retryPolicy",
    "pause_max_s": "retryPolicy",
    "retention_s": "messageRetentionDuration",
    "expires": "expirationPolicy",
    "ack_deadline_s": "ackDeadlineSeconds",
    "exactly_once": "enableExactlyOnceDelivery",
}
"""What of a subscription a field is in."""


class Topics:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        path = f"/v1/projects/{self._calls.project}/topics"
        return [
            Resource(
                kind=Kind.TOPIC,
                name=last(each["name"]),
                fields={"retention_s": seconds(each.get("messageRetentionDuration"))},
            )
            for each in self._calls.pages(SERVICE, path, "topics", pageSize="1000")
        ]

    def create(self, resources: Sequence[Resource]) -> None:
        for each in resources:
            self._calls.make(SERVICE, "PUT", f"/v1/{self._name(each)}", {"name": self._name(each)})

    def change(self, resource: Resource, _fields: Sequence[str]) -> None:
        kept = resource.fields["retention_s"]
        topic = {"name": self._name(resource), **({} if kept is None else {"messageRetentionDuration": duration(kept)})}
        body = {"topic": topic, "updateMask": "messageRetentionDuration"}
        self._calls.ask(SERVICE, "PATCH", f"/v1/{self._name(resource)}", body=body)

    def remove(self, resource: Resource) -> None:
        self._calls.delete(SERVICE, f"/v1/{self._name(resource)}")

    def _name(self, resource: Resource) -> str:
        return f"projects/{self._calls.project}/topics/{resource.name}"


class Subscriptions:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def read(self, _declared: Sequence[Resource]) -> list[Resource]:
        path = f"/v1/projects/{self._calls.project}/subscriptions"
        return [
            Resource(kind=Kind.SUBSCRIPTION, name=last(each["name"]), fields=read_subscription(each))
            for each in self._calls.pages(SERVICE, path, "subscriptions", pageSize="1000")
        ]

    def create(self, resources: Sequence[Resource]) -> None:
        """Those that keep dead letters first: a topic of dead letters without one loses them."""
        for each in sorted(resources, key=lambda each: "dead_letter_topic" in each.fields):
            body = write_subscription(each, self._calls.project)
            self._calls.make(SERVICE, "PUT", f"/v1/{body['name']}", body)

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        whole = write_subscription(resource, self._calls.project)
        masks = sorted({"labels" if name.startswith(LABEL) else MASKS[name] for name in fields})
        subscription = {"name": whole["name"], **{mask: whole[mask] for mask in masks if mask in whole}}
        body = {"subscription": subscription, "updateMask": ",".join(masks)}
        self._calls.ask(SERVICE, "PATCH", f"/v1/{whole['name']}", body=body)

    def remove(self, resource: Resource) -> None:
        self._calls.delete(SERVICE, f"/v1/projects/{self._calls.project}/subscriptions/{resource.name}")


def read_subscription(live: Mapping[str, Any]) -> dict[str, Value]:
    fields: dict[str, Value] = {
        "topic": last(live["topic"]),
        "retention_s": seconds(live.get("messageRetentionDuration", f"{WEEK_S}s")),
        "expires": _expires(live.get("expirationPolicy")),
        "filter": live.get("filter") or None,
        "ordering": bool(live.get("enableMessageOrdering")),
        "exactly_once": bool(live.get("enableExactlyOnceDelivery")),
        "detached": bool(live.get("detached")),
        "ack_deadline_s": int(live.get("ackDeadlineSeconds", 10)),
    }
    push = live.get("pushConfig") or {}
    if push.get("pushEndpoint"):
        token = push.get("oidcToken") or {}
        fields |= {
            "push_endpoint": push["pushEndpoint"],
            "push_account": token.get("serviceAccountEmail") or None,
            "push_audience": token.get("audience") or None,
        }
    if buried := live.get("deadLetterPolicy"):
        fields["dead_letter_topic"] = last(buried.get("deadLetterTopic"))
        fields["attempts_max"] = int(buried.get("maxDeliveryAttempts", 5))
    if again := live.get("retryPolicy"):
        fields["pause_s"] = seconds(again.get("minimumBackoff", "10s"))
        fields["pause_max_s"] = seconds(again.get("maximumBackoff", "600s"))
    fields |= {f"{LABEL}{name}": value for name, value in (live.get("labels") or {}).items()}
    elsewhere = [name for name in ("bigqueryConfig", "cloudStorageConfig") if live.get(name)]
    return fields | ({"delivers": elsewhere[0]} if elsewhere else {})


def write_subscription(resource: Resource, project: str) -> dict[str, Any]:
    """The message as Pub/Sub takes it; read again it is the same."""
    fields = resource.fields
    body: dict[str, Any] = {
        "name": f"projects/{project}/subscriptions/{resource.name}",
        "topic": f"projects/{project}/topics/{fields['topic']}",
        "ackDeadlineSeconds": fields["ack_deadline_s"],
        "messageRetentionDuration": duration(fields["retention_s"]),
        "expirationPolicy": {},  # empty: never
        "enableExactlyOnceDelivery": fields["exactly_once"],
        "labels": {name.removeprefix(LABEL): value for name, value in fields.items() if name.startswith(LABEL)},
        "pushConfig": {},  # empty: whoever wants something pulls it
    }
    if fields.get("push_endpoint"):
        token = {"serviceAccountEmail": fields["push_account"], "audience": fields["push_audience"]}
        body["pushConfig"] = {"pushEndpoint": fields["push_endpoint"], "oidcToken": token}
    if fields.get("dead_letter_topic"):
        topic = f"projects/{project}/topics/{fields['dead_letter_topic']}"
        body["deadLetterPolicy"] = {"deadLetterTopic": topic, "maxDeliveryAttempts": fields["attempts_max"]}
    if fields.get("pause_s") is not None:
        pauses = {"minimumBackoff": duration(fields["pause_s"]), "maximumBackoff": duration(fields["pause_max_s"])}
        body["retryPolicy"] = pauses
    return body


def _expires(policy: Mapping[str, Any] | None) -> str:
    if policy is not None and not policy.get("ttl"):
        return NEVER
    ttl_s = seconds((policy or {}).get("ttl")) or MONTH_S
    return f"after {ttl_s / 86_400:g} days without use"
