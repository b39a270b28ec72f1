"""Where and as whom every function is deployed: environments, names, labels, variables. For bin/deploy and doctor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shared.config.functions import FunctionSpec

RUNTIME = "python311"
"""What pyproject.toml and the pinned requirements are made for."""

SECRET_VERSION = "latest"  # noqa: S105 - the word, not one
"""Of a secret, read when an instance starts: a new key needs no deployment."""

ACK_DEADLINE_S = 600
"""How long Pub/Sub waits for a push to be answered, its longest; then the message comes again."""

ATTEMPTS_MAX = 30
"""Of a message on Pub/Sub: with pauses of up to a minute, an outage of 25 minutes buries nothing."""

THREADS_MIN = 2
"""Of the server: with one it would be of another kind, which an idle connection keeps from all others."""

PAUSE_S, PAUSE_MAX_S = 1, 60
"""Before a message comes again, at first and at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """One installation, in a project of its own: nothing of prod can be reached with what dev may."""

    name: str
    project: str
    project_number: str  # `gcloud projects describe PROJECT`; addresses of services and Google's own accounts have it
    region: str  # where functions, schedules and the bucket are
    location: str  # of BigQuery's datasets
    exports: str  # the URL below which documents are published
    data: str  # the URL of the league's data
    dataset_prefix: str = ""  # separates installations in one project
    log_level: str = "INFO"
    operators: tuple[str, ...] = ()  # members of IAM who may ask what people may, such as group:oncall@example.com
    others: tuple[str, ...] = ()  # what else is in the project, for doctor to leave alone, such as account/ci-*
    collector: str = ""  # where functions send spans and metrics, by OTLP over HTTP; empty: nowhere
    dashboard: str = ""  # the URL where people look at runs, for links in what they are told; empty: no link
    iap_audience: str = ""  # where Identity-Aware Proxy stands before the dashboard: what it signs for
    page_channel: str = ""  # id of the channel of Cloud Monitoring that gets a person up; it holds a key, so it is
    warn_channel: str = ""  # made by hand, once; this one is read in the morning. Empty: nobody is told from outside


ENVIRONMENTS = (
    Environment(
        name="dev",
        project="tipoff-dev",
        project_number="100000000001",
        region="us-central1",
        location="US",
        exports="gs://tipoff-dev-exports/nba",
        data="gs://tipoff-dev-data/nba",
    ),
    Environment(
        name="prod",
        project="tipoff-prod",
        project_number="100000000002",
        region="us-central1",
        location="US",
        exports="gs://tipoff-prod-exports/nba",
        data="gs://tipoff-prod-data/nba",
    ),
)
"""Examples: who installs Tipoff writes the ids of his own projects and buckets here."""


class UnknownEnvironment(LookupError):
    """No environment of this name is declared; add it to ENVIRONMENTS in shared/config/deployment.py."""


def environment(name: str) -> Environment:
    for each in ENVIRONMENTS:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in ENVIRONMENTS)
    raise UnknownEnvironment(f"environment {name[:80]!r}: shared/config/deployment.py declares {known}")


# --- names ----------------------------------------------------------------------------------------------


def service_of(function: str) -> str:
    """What a function is called on Google Cloud, as function and as service of Cloud Run: no underscores there."""
    return function.replace("_", "-")


def account_of(function: str, project: str) -> str:
    """The service account that a function runs as; nobody else does."""
    return f"{service_of(function)}@{project}.iam.gserviceaccount.com"


def url_at(environment: Environment, function: str) -> str:
    """Where a function answers once it is deployed. It is known before, and is the audience of tokens for it."""
    return _address(environment).replace("{service}", service_of(function))


def _address(environment: Environment) -> str:
    return f"https://{{service}}-{environment.project_number}.{environment.region}.run.app"


def secret_of(variable: str) -> str:
    """The secret in Secret Manager whose value a variable gets."""
    return variable.lower().replace("_", "-")


# --- what a revision carries ----------------------------------------------------------------------------


def labels_of(function: FunctionSpec, commit: str, config_hash: str) -> dict[str, str]:
    """By what code and which declared pipeline a revision is; doctor compares it with what should be there."""
    return {"app": "tipoff", "pipeline": function.pipeline, "commit": commit, "config-hash": config_hash}


def variables_of(environment: Environment, function: FunctionSpec, commit: str) -> Mapping[str, str]:
    """What a deployed function reads in its environment, beside its secrets. The same for all, but for the threads."""
    return {
        "GOOGLE_CLOUD_PROJECT": environment.project,
        "LOG_LEVEL": environment.log_level,
        "THREADS": str(
            max(function.concurrency, THREADS_MIN)
        ),  # functions-framework would have four for each processor
        "TIPOFF_COMMIT": commit,
        "TIPOFF_DATA": environment.data,
        "TIPOFF_DATASET_PREFIX": environment.dataset_prefix,
        "TIPOFF_EXPORTS": environment.exports,
        "TIPOFF_LOCATION": environment.location,
        "TIPOFF_SERVICES": _address(environment),
        "TIPOFF_TARGET": "gcp",
        **({"OTEL_EXPORTER_OTLP_ENDPOINT": environment.collector} if environment.collector else {}),
        **({"TIPOFF_DASHBOARD_URL": environment.dashboard} if environment.dashboard else {}),
        **({"TIPOFF_IAP_AUDIENCE": environment.iap_audience} if environment.iap_audience else {}),
    }
