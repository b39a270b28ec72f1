"""All that an environment has, in the fake: set up by bin/deploy's scripts, looked at, mended by what doctor says."""

from __future__ import annotations

import copy
import json
import shlex
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from orchestration import provisioning
from orchestration.cli import main as cli
from orchestration.provision import Survey, examine, wanted
from shared import wiring
from shared.config.deployment import Environment, account_of, environment, labels_of, service_of, variables_of
from shared.config.functions import FUNCTIONS, FunctionSpec, function
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import read_settings
from shared.core.drift import Difference
from shared.core.plan import config_hash
from shared.live import google_cloud
from tests.cloud.access import Accounts, Secrets, Storage
from tests.cloud.fake import FakeCloud, Request
from tests.cloud.firestore import Firestore
from tests.cloud.google import Google, google
from tests.cloud.monitoring import Monitoring
from tests.cloud.pubsub import PubSub
from tests.cloud.scheduler import Scheduler

COMMIT = "0123abc"
SCRIPTS = ("iam", "topics", "secrets", "indexes", "schedules", "monitoring")


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """The fake with all of its parts, and the commands of a person who has set it as the endpoint."""

    google: Google
    pubsub: PubSub
    scheduler: Scheduler
    accounts: Accounts
    secrets: Secrets
    storage: Storage
    firestore: Firestore
    monitoring: Monitoring
    place: Environment

    @property
    def cloud(self) -> FakeCloud:
        return self.google.cloud

    def script(self, name: str, *arguments: str) -> int:
        """bin/deploy/NAME, in this process."""
        return provisioning.main([name, *arguments])

    def set_up(self) -> None:
        """As a person would, who then says what the secrets are and waits for the indexes."""
        for name in ("iam", "topics", "secrets", "indexes", "iam"):
            self.script(name)
        for name in self.secrets.secrets:
            self.secrets.add_version(name.rpartition("/")[2])
        for spec in FUNCTIONS:
            self.deploy(spec)
        for name in ("iam", "schedules", "monitoring"):
            self.script(name)
        self.firestore.build()

    def kept(self) -> list[dict[str, Any]]:
        """What every part knows, to be given to another one: setting up takes seconds, and each test spoils its own."""
        return [{name: copy.deepcopy(value) for name, value in _known(part).items()} for part in self._parts()]

    def restore(self, kept: list[dict[str, Any]]) -> None:
        for part, known in zip(self._parts(), kept, strict=True):
            for name, value in known.items():
                setattr(part, name, copy.deepcopy(value))

    def _parts(self) -> list[object]:
        own = [self.pubsub, self.scheduler, self.accounts, self.secrets, self.storage, self.firestore, self.monitoring]
        held = [self.pubsub.policies, self.accounts.policies, self.secrets.policies, self.storage.buckets]
        return [*own, *held, self.google.run, self.google.functions, self.google.projects]

    def deploy(self, spec: FunctionSpec, **variables: str) -> None:
        """As bin/deploy/deploy would have done it, the traffic pinned."""
        name = service_of(spec.name)
        declared = config_hash(PIPELINES[spec.pipeline]) if spec.pipeline in PIPELINES else ""
        body = {
            "labels": {**labels_of(spec, COMMIT, declared), "deployment-tool": "cli-gcloud"},
            "environment": "GEN_2",
            "buildConfig": {"runtime": "python311", "entryPoint": spec.name},
            "serviceConfig": {
                "timeoutSeconds": spec.timeout_s,
                "availableMemory": f"{spec.memory_mb}Mi" if spec.memory_mb < 1024 else f"{spec.memory_mb // 1024}Gi",
                "availableCpu": f"{spec.cpu:g}",
                "environmentVariables": {
                    **variables_of(self.place, spec, COMMIT),
                    "LOG_EXECUTION_ID": "true",
                    **variables,
                },
                "maxInstanceCount": spec.max_instances,
                **({"minInstanceCount": spec.min_instances} if spec.min_instances else {}),
                "ingressSettings": {"all": "ALLOW_ALL", "internal-only": "ALLOW_INTERNAL_ONLY"}[spec.ingress],
                "serviceAccountEmail": account_of(spec.name, self.place.project),
                "secretEnvironmentVariables": [
                    {"key": key, "projectId": self.place.project, "secret": _secret(key), "version": "latest"}
                    for key in spec.secrets
                ],
                "maxInstanceRequestConcurrency": spec.concurrency,
            },
        }
        at = f"/v2/projects/{self.place.project}/locations/{self.place.region}/functions"
        self.google.functions.functions.pop(name, None)
        asked = {"service": "cloudfunctions", "method": "POST", "path": at, "query": {"functionId": name}}
        self.google.functions.answer(Request(**asked, headers={}, body=json.dumps(body).encode()))  # type: ignore[arg-type]
        service = self.google.run.service(name)
        service.traffic = [{"revisionName": service.revisions[-1].name, "percent": 100}]

    def look(self, now: Any = None) -> Survey:
        """What doctor finds."""
        settings = read_settings(first={"TIPOFF_TARGET": "local"})
        with closing(google_cloud(settings, self.place)) as cloud:
            return examine(cloud, wanted(self.place, settings.commit), self.place, now or wiring.system_clock().now())

    def doctor(self, *arguments: str) -> int:
        return cli.main(["doctor", *arguments])

    def mend(self, difference: Difference) -> None:
        """Type what doctor says. What only gcloud can do is done here as it would."""
        for command in difference.mend.split(" && "):
            words = shlex.split(command.rpartition(" | ")[2])
            if words[0] == "read":  # a person types a secret's value
                continue
            if words[0] == "bin/deploy/deploy":
                self.deploy(function(words[1]))
            elif words[0].startswith("bin/deploy/"):
                assert self.script(words[0].rpartition("/")[2], *words[1:]) in (0, 1), command
            elif words[:3] == ["gcloud", "secrets", "versions"]:
                self.secrets.add_version(words[4])
            elif words[:3] == ["gcloud", "functions", "delete"]:
                self.google.functions.functions.pop(words[3])
            else:
                raise AssertionError(f"nobody knows how to {command}")


def _known(part: object) -> dict[str, Any]:
    """A part's own dictionaries."""
    return {name: value for name, value in vars(part).items() if type(value) is dict}


def _secret(variable: str) -> str:
    return variable.lower().replace("_", "-")


@contextmanager
def whole(monkeypatch: pytest.MonkeyPatch) -> Iterator[Whole]:
    """An empty project that listens, and the environment of whoever is to use it."""
    accounts = Accounts()
    parts = {
        "pubsub": PubSub(lambda email: email in accounts.accounts),
        "scheduler": Scheduler(),
        "accounts": accounts,
        "secrets": Secrets(),
        "storage": Storage(),
        "firestore": Firestore(),
        "monitoring": Monitoring(),
    }
    more: Any = parts
    with google(*more.values()) as made:
        monkeypatch.setenv("TIPOFF_CLOUD_ENDPOINT", f"http://127.0.0.1:{made.cloud.port}/-/{{service}}")
        monkeypatch.setenv("TIPOFF_COMMIT", COMMIT)
        yield Whole(google=made, place=environment("dev"), **more)
