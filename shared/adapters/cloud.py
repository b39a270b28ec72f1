"""The port Cloud on Google's REST interfaces, for wiring: each kind of thing by the service that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from shared.adapters.cloud_access import Accounts, Bindings, Datasets, Secrets
from shared.adapters.cloud_calls import AGAIN, Calls
from shared.adapters.cloud_firestore import Fields, Indexes
from shared.adapters.cloud_functions import Functions
from shared.adapters.cloud_monitoring import WAYS, Monitored
from shared.adapters.cloud_pubsub import Subscriptions, Topics
from shared.adapters.cloud_scheduler import Jobs
from shared.adapters.retry import FullJitter
from shared.core.drift import Kind, Resource


class Part(Protocol):
    """One kind of thing; its verbs promise what the port's do."""

    def read(self, declared: Sequence[Resource]) -> list[Resource]: ...

    def create(self, resources: Sequence[Resource]) -> None: ...

    def change(self, resource: Resource, fields: Sequence[str]) -> None: ...

    def remove(self, resource: Resource) -> None: ...


class GoogleCloud:
    """Any number of threads. Whoever opens it closes it."""

    def __init__(self, project: str, region: str, *, endpoint: str = "", again: FullJitter = AGAIN) -> None:
        """`endpoint` is asked in place of Google, and gets no token. Raises CloudError where nobody says who asks."""
        self._calls = Calls(project, region, endpoint=endpoint, again=again)
        self._parts: dict[Kind, Part] = {
            Kind.TOPIC: Topics(self._calls),
            Kind.SUBSCRIPTION: Subscriptions(self._calls),
            Kind.ACCOUNT: Accounts(self._calls),
            Kind.DATASET: Datasets(self._calls),
            Kind.SECRET: Secrets(self._calls),
            Kind.BINDING: Bindings(self._calls),
            Kind.INDEX: Indexes(self._calls),
            Kind.FIELD: Fields(self._calls),
            Kind.SCHEDULE: Jobs(self._calls),
            Kind.FUNCTION: Functions(self._calls),
            **{kind: Monitored(self._calls, kind) for kind in WAYS},
        }

    def close(self) -> None:
        """Idempotent."""
        self._calls.close()

    def read(self, kind: Kind, declared: Sequence[Resource]) -> tuple[Resource, ...]:
        return tuple(self._parts[kind].read(declared))

    def create(self, resources: Sequence[Resource]) -> None:
        for kind in dict.fromkeys(each.kind for each in resources):
            self._parts[kind].create([each for each in resources if each.kind is kind])

    def change(self, resource: Resource, fields: Sequence[str]) -> None:
        self._parts[resource.kind].change(resource, fields)

    def remove(self, resource: Resource) -> None:
        self._parts[resource.kind].remove(resource)
