"""The secrets that functions are given, for deploy and doctor: what each is, and where a person gets it.

A secret's variable stands in FunctionSpec.secrets of those that read it, and names it in Secret Manager too
(deployment.secret_of). Its value stands nowhere in this repository, in no log and in no error.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.config.functions import FUNCTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSpec:
    """One value that only functions and their keeper may read."""

    variable: str  # in the environment of a function
    holds: str  # what it is
    made: str  # where a person gets it

    @property
    def functions(self) -> tuple[str, ...]:
        """Those that read it, and no other."""
        return tuple(spec.name for spec in FUNCTIONS if self.variable in spec.secrets)


PAGERDUTY_ROUTING_KEY = SecretSpec(
    variable="PAGERDUTY_ROUTING_KEY",
    holds="the integration key of the PagerDuty service that is on call for the pipelines; none: nobody is paged",
    made="PagerDuty: the service's Integrations, Events API v2",
)
SLACK_WEBHOOK_URL = SecretSpec(
    variable="SLACK_WEBHOOK_URL",
    holds="the incoming webhook of the channel where people read; none: nothing is posted",
    made="Slack: the app's Incoming Webhooks, Add New Webhook",
)

SECRETS = (PAGERDUTY_ROUTING_KEY, SLACK_WEBHOOK_URL)
