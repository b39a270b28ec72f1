"""The whole fake in one, and the real gcloud that is to talk to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cloud.fake import FakeCloud, Part
from tests.cloud.functions import Functions
from tests.cloud.projects import Projects
from tests.cloud.run import CloudRun

OVERRIDDEN = (
    *("artifactregistry", "cloudbuild", "cloudfunctions", "cloudresourcemanager", "cloudscheduler", "eventarc", "iam"),
    *("logging", "monitoring", "pubsub", "run", "secretmanager", "serviceusage", "storage"),
)
TOKEN = "a-token-that-nobody-may-see"  # noqa: S105 - and which opens nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Google:
    """The fake, and those of its parts that functions are deployed to."""

    cloud: FakeCloud
    run: CloudRun
    functions: Functions
    projects: Projects


@contextmanager
def google(*more: Part) -> Iterator[Google]:
    """A fake that listens, with further parts where a test wants some."""
    run = CloudRun()
    functions, projects = Functions(run), Projects()
    with FakeCloud(run, functions, projects, *more) as cloud:
        run.address, functions.upload = cloud.url_of("serving"), cloud.url_of("upload")
        yield Google(cloud=cloud, run=run, functions=functions, projects=projects)


def gcloud_environment(port: int, folder: Path, project: str = "tipoff-dev") -> dict[str, str]:
    """What makes the real gcloud talk to the fake alone, with its settings in a folder of the test's."""
    folder.mkdir(parents=True, exist_ok=True)
    token = folder / "token"
    token.write_text(TOKEN)
    return {
        "CLOUDSDK_CONFIG": str(folder),
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "1",
        "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(token),
        "CLOUDSDK_PROXY_TYPE": "http",  # else it puts the region before 127.0.0.1
        "CLOUDSDK_PROXY_ADDRESS": "127.0.0.1",
        "CLOUDSDK_PROXY_PORT": str(port),
        **{f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name.upper()}": f"http://{name}.googleapis.fake/" for name in OVERRIDDEN},
    }


def require_gcloud() -> str:
    """Where gcloud is. Skips where it is absent; fails where CI says that it is there."""
    if found := shutil.which("gcloud"):
        return found
    absent = "gcloud is not installed: https://cloud.google.com/sdk/docs/install"
    if os.environ.get("REQUIRE_EMULATORS") == "1":
        pytest.fail(f"REQUIRE_EMULATORS=1, but {absent}", pytrace=False)
    pytest.skip(absent)
