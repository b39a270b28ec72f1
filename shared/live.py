"""The composition root of what looks at a whole environment: bin/deploy and doctor. Apart from wiring, so that no
deployed function carries what it must never use."""

from __future__ import annotations

from shared.adapters.cloud import GoogleCloud
from shared.config.deployment import Environment
from shared.config.settings import Settings


def google_cloud(settings: Settings, environment: Environment) -> GoogleCloud:
    """What is there of an environment. Whoever opens it closes it. Raises CloudError where nobody says who asks."""
    return GoogleCloud(environment.project, environment.region, endpoint=settings.cloud_endpoint)
