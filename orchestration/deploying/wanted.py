"""From what is declared of a function, an environment and a commit to what is to be live."""

from __future__ import annotations

from pathlib import Path

from shared.config.deployment import (
    RUNTIME,
    SECRET_VERSION,
    Environment,
    account_of,
    labels_of,
    secret_of,
    service_of,
    variables_of,
)
from shared.config.functions import FunctionSpec
from shared.config.orchestration_config import PIPELINES
from shared.core.plan import config_hash
from shared.core.revisions import Wanted


def wanted_of(spec: FunctionSpec, there: Environment, commit: str, source: Path) -> Wanted:
    """All of it, explicit."""
    declared = config_hash(PIPELINES[spec.pipeline]) if spec.pipeline in PIPELINES else ""
    return Wanted(
        function=spec.name,
        service=service_of(spec.name),
        project=there.project,
        region=there.region,
        runtime=RUNTIME,
        account=account_of(spec.name, there.project),
        memory_mb=spec.memory_mb,
        cpu=spec.cpu,
        concurrency=spec.concurrency,
        min_instances=spec.min_instances,
        max_instances=spec.max_instances,
        timeout_s=spec.timeout_s,
        ingress=spec.ingress,
        labels=labels_of(spec, commit, declared),
        variables=variables_of(there, spec, commit),
        secrets={name: f"{secret_of(name)}:{SECRET_VERSION}" for name in spec.secrets},
        commit=commit,
        config_hash=declared,
        source=str(source),
    )
