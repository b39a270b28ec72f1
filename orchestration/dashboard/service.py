"""The deployed dashboard, for its main.py: pages over Google's parts, for whom IAM or IAP has let in."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orchestration.commands import login_name
from orchestration.dashboard.doors import CloudDoors
from orchestration.dashboard.site import Nobody, Site, Who
from shared import wiring
from shared.config.functions import FunctionSpec
from shared.config.orchestration_config import pipeline
from shared.config.settings import Settings, Target
from shared.core.line import one_line
from shared.deployed import endpoint
from shared.endpoint import NOBODY, Endpoint, Pages, who_asks

POLL_S = 20  # each look of a page reads some hundred documents
ASSERTION = "x-goog-iap-jwt-assertion"
RETRY_S = 30.0  # of each call of the warehouse, as the coordinator has it: sealing a batch writes its rows


def dashboard(name: str) -> Endpoint:
    """The endpoint of the dashboard of this name. Only the end of a batch needs the warehouse: it is ready without."""
    return endpoint(name, lambda *_: {}, warehouse=True, asks_warehouse=False, retry_s=RETRY_S, pages=site)


def site(spec: FunctionSpec, settings: Settings, home: wiring.CloudHome) -> Pages:
    """Its pages."""
    declared = pipeline(spec.pipeline)
    return Site(
        doors=CloudDoors(settings, home),
        pipelines={declared.name: declared},
        who=who_of(settings),
        poll_s=POLL_S,
        is_local=settings.target is not Target.GCP,
        is_tunnelled=is_tunnelled(settings),
    )


def is_tunnelled(settings: Settings) -> bool:
    """Whether people may come by `gcloud run services proxy`: where IAM lets them in. IAP is asked by its own name."""
    return settings.target is Target.GCP and not settings.iap_audience


def who_of(settings: Settings) -> Who:
    """Who asks, as whoever let him in has verified it."""
    if settings.target is not Target.GCP:
        return here
    return proxied(wiring.iap(settings.iap_audience)) if settings.iap_audience else verified


def verified(headers: Mapping[str, str]) -> str:
    """Whom Cloud Run has verified."""
    who = who_asks(headers)
    if who == NOBODY:
        raise Nobody("This request came without a token that names a person; docs/dashboard.md says how to come here.")
    return who


def proxied(email_in: Callable[[str], str]) -> Who:
    """Whom Identity-Aware Proxy has let in. What it signs counts, and nothing else that a request says."""

    def who(headers: Mapping[str, str]) -> str:
        told = {name.lower(): value for name, value in headers.items()}
        try:
            return one_line(email_in(told.get(ASSERTION, "")))
        except ValueError as error:
            raise Nobody(f"{error}; come by the address that the proxy stands before.") from None

    return who


def here(headers: Mapping[str, str]) -> str:
    """On emulators nobody verifies: whoever is at the keyboard, unless the caller says."""
    who = who_asks(headers)
    return login_name() if who == NOBODY else who
