"""The fake Google Cloud: what it does not know it refuses, and what it is asked it records."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.cloud.fake import Dropped, Fault, denied
from tests.cloud.google import Google, gcloud_environment, google, require_gcloud


@pytest.fixture
def there() -> Iterator[Google]:
    with google() as made:
        yield made


def ask(url: str, method: str = "GET", body: object = None) -> object:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data=data, method=method), timeout=10) as answer:  # noqa: S310 - our own loopback
        return json.load(answer)


def test_the_real_gcloud_finds_nothing_there(there: Google, tmp_path: Path) -> None:
    environment = {**os.environ, **gcloud_environment(there.cloud.port, tmp_path / "gcloud")}
    command = [require_gcloud(), *["functions", "list", "--v2", "--regions=us-central1", "--format=json"]]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(ran.stdout) == []
    (request,) = there.cloud.made()
    assert str(request) == "GET cloudfunctions/v2/projects/tipoff-dev/locations/us-central1/functions"
    assert request.headers["authorization"].startswith("Bearer ")


def test_what_it_does_not_know_is_refused_and_recorded(there: Google) -> None:
    with pytest.raises(HTTPError) as error:
        ask(f"{there.cloud.url_of('pubsub')}/v1/projects/p/topics/t")
    assert error.value.code == 404
    assert json.load(error.value)["error"]["message"] == "the fake does not know GET pubsub/v1/projects/p/topics/t"
    assert [request.service for request in there.cloud.made("topics")] == ["pubsub"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        pytest.param({"labels": {}, "colour": "red"}, 'Unknown name "colour"', id="an unknown field"),
        pytest.param(
            {"serviceConfig": {"timeoutSeconds": "5"}}, "timeoutSeconds' (int): '5'", id="a text for a number"
        ),
        pytest.param({"serviceConfig": {"ingressSettings": "ALL"}}, "ingressSettings': 'ALL'", id="an unknown word"),
        pytest.param({"buildConfig": []}, "'body.buildConfig': not a message", id="a list for a message"),
    ],
)
def test_a_body_that_is_no_function_is_refused(there: Google, body: object, why: str) -> None:
    url = f"{there.cloud.url_of('cloudfunctions')}/v2/projects/p/locations/us-central1/functions?functionId=f"
    with pytest.raises(HTTPError) as error:
        ask(url, "POST", body)
    assert error.value.code == 400
    assert why in json.load(error.value)["error"]["message"]


def test_a_fault_comes_as_often_as_it_is_planted_and_may_come_after_the_deed(there: Google) -> None:
    url = f"{there.cloud.url_of('cloudresourcemanager')}/v1/projects/p"
    policy = {"policy": {"bindings": [{"role": "roles/viewer", "members": ["user:a@example.com"]}]}}
    there.cloud.faults = [
        Fault("GET .*projects/p$", denied("resourcemanager.projects.get", "projects/p"), after=1),
        Fault("setIamPolicy", Dropped(), is_done=True),
    ]
    ask(url)
    with pytest.raises(HTTPError, match="403"):
        ask(url)
    ask(url)
    with pytest.raises(OSError):
        ask(f"{url}:setIamPolicy", "POST", policy)
    assert there.projects.policy["bindings"] == policy["policy"]["bindings"]
    assert there.cloud.changing() == ["POST cloudresourcemanager/v1/projects/p:setIamPolicy"]
