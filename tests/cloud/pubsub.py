"""Pub/Sub for the fake: topics, subscriptions and their policies; what cannot be changed is refused as Google does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.pubsub_v1 import types

from tests.cloud.fake import Answer, Refused, Request, Routes
from tests.cloud.things import Body, Policies, body_of, masked, paged, parsed

PROJECT = r"/v1/(?P<project>projects/[^/]+)"
TOPIC = r"/v1/(?P<name>projects/[^/]+/topics/[^/:]+)"
SUBSCRIPTION = r"/v1/(?P<name>projects/[^/]+/subscriptions/[^/:]+)"
THING = r"/v1/(?P<name>projects/[^/]+/(?:topics|subscriptions)/[^/:]+)"
CHANGEABLE = {
    *("ackDeadlineSeconds", "pushConfig", "messageRetentionDuration", "expirationPolicy", "deadLetterPolicy"),
    *("retryPolicy", "labels", "enableExactlyOnceDelivery", "retainAckedMessages"),
}


class PubSub:
    names: tuple[str, ...] = ("pubsub",)

    def __init__(self, has_account: Callable[[str], bool]) -> None:
        self.has_account = has_account
        self.topics: dict[str, Body] = {}
        self.subscriptions: dict[str, Body] = {}
        self.policies = Policies(lambda name: name in self.topics or name in self.subscriptions)
        self.routes = Routes()
        self.routes.on("GET", PROJECT + "/topics", lambda r, project: paged(r, "topics", self.topics.values()))
        self.routes.on("GET", PROJECT + "/subscriptions", self._list)
        self.routes.on("PUT", TOPIC, self._create_topic)
        self.routes.on("PATCH", TOPIC, self._patch_topic)
        self.routes.on("DELETE", TOPIC, self._delete_topic)
        self.routes.on("PUT", SUBSCRIPTION, self._create)
        self.routes.on("PATCH", SUBSCRIPTION, self._patch)
        self.routes.on("DELETE", SUBSCRIPTION, self._delete)
        self.routes.on("GET", THING + ":getIamPolicy", lambda _, name: self.policies.get(name))
        self.routes.on("POST", THING + ":setIamPolicy", lambda r, name: self.policies.set(name, r.json["policy"]))

    def answer(self, request: Request) -> Answer | None:
        return self.routes.answer(request)

    def topic(self, name: str, project: str = "tipoff-dev") -> Body:
        return self.topics[f"projects/{project}/topics/{name}"]

    def subscription(self, name: str, project: str = "tipoff-dev") -> Body:
        return self.subscriptions[f"projects/{project}/subscriptions/{name}"]

    def _create_topic(self, request: Request, name: str) -> Answer:
        if name in self.topics:
            raise Refused(409, f"Resource already exists in the project (resource={name}).")
        self.topics[name] = parsed({**body_of(request), "name": name}, types.Topic)
        return Answer(self.topics[name])

    def _patch_topic(self, request: Request, name: str) -> Answer:
        body: Any = parsed(request.json, types.UpdateTopicRequest)
        masked(self.topics[name], body["topic"], body["updateMask"].split(","))
        return Answer(self.topics[name])

    def _delete_topic(self, _request: Request, name: str) -> Answer:
        if self.topics.pop(name, None) is None:
            raise Refused(404, f"Resource not found (resource={name}).")
        for each in self.subscriptions.values():
            if each["topic"] == name:
                each["topic"] = "_deleted-topic_"
        return Answer()

    def _list(self, request: Request, project: str) -> Answer:
        return paged(request, "subscriptions", self.subscriptions.values())

    def _create(self, request: Request, name: str) -> Answer:
        if name in self.subscriptions:
            raise Refused(409, f"Resource already exists in the project (resource={name}).")
        self.subscriptions[name] = self._checked({**body_of(request), "name": name})
        return Answer(self.subscriptions[name])

    def _patch(self, request: Request, name: str) -> Answer:
        body: Any = parsed(request.json, types.UpdateSubscriptionRequest)
        fields = body["updateMask"].split(",")
        if fixed := set(fields) - CHANGEABLE:
            raise Refused(400, f"Invalid update_mask provided in the UpdateSubscriptionRequest: {fixed} is not mutable")
        stands = dict(self.subscriptions[name])
        masked(stands, request.json["subscription"], fields)
        self.subscriptions[name] = self._checked(stands)
        return Answer(self.subscriptions[name])

    def _delete(self, _request: Request, name: str) -> Answer:
        if self.subscriptions.pop(name, None) is None:
            raise Refused(404, f"Resource not found (resource={name}).")
        return Answer()

    def _checked(self, body: Body) -> Body:
        """With what Google fills in where nothing is said."""
        made = parsed(body, types.Subscription)
        buried = made.get("deadLetterPolicy", {})
        for topic in filter(None, (made["topic"], buried.get("deadLetterTopic"))):
            if topic not in self.topics and topic != "_deleted-topic_":
                raise Refused(404, f"Resource not found (resource={topic}).")
        account = made.get("pushConfig", {}).get("oidcToken", {}).get("serviceAccountEmail", "")
        if account and not self.has_account(account):
            raise Refused(404, f"Service account {account} was not found.")
        if not 10 <= made.get("ackDeadlineSeconds", 10) <= 600:
            raise Refused(400, "Invalid ack deadline given.")
        if buried and not 5 <= buried["maxDeliveryAttempts"] <= 100:
            raise Refused(400, "max_delivery_attempts must be between 5 and 100.")
        if not 600 <= float(made.get("messageRetentionDuration", "600s")[:-1]) <= 31 * 86_400:
            raise Refused(400, "message_retention_duration out of bounds")
        made.setdefault("ackDeadlineSeconds", 10)
        made.setdefault("messageRetentionDuration", "604800s")
        made.setdefault("expirationPolicy", {"ttl": "2678400s"})
        made.setdefault("pushConfig", {})
        return {**made, "state": "ACTIVE"}
