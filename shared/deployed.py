"""What every deployed function begins with: its settings, its logs, its parts, and the endpoint that it answers by.

Imports are made at the start, so that a function which lacks one never serves; connections, at the first message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Lock

from shared import edge, logs, wiring
from shared.config.functions import NUDGE_TOPIC, FunctionSpec, function
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import Settings, read_settings
from shared.core.openapi import Route
from shared.core.plan import config_hash
from shared.endpoint import Endpoint, Identity, Pages, Parts, Responder

log = logging.getLogger("tipoff.deployed")

Handlers = Callable[[FunctionSpec, Settings, wiring.CloudHome], Mapping[str, edge.Handler]]
"""From a function's declaration, its settings and its parts to what it does with a message of each topic."""

Checks = Callable[[wiring.CloudHome], Mapping[str, Callable[[], object]]]
"""From its parts to what it asks about its installation; each raises if that is not well, whichever revision asks."""

Responders = Callable[[FunctionSpec, Settings, wiring.CloudHome], Mapping[tuple[str, str], Responder]]
"""The same, to what it does at each of its routes."""

PagesOf = Callable[[FunctionSpec, Settings, wiring.CloudHome], Pages]
"""The same, to the pages that it shows."""


def endpoint(
    name: str,
    handlers: Handlers,
    *,
    warehouse: bool,
    feed: bool = False,
    routes: Sequence[Route] = (),
    responders: Responders = lambda _spec, _settings, _home: {},
    retry_s: float | None = None,
    asks_warehouse: bool = True,
    installation: Checks = lambda _home: {},
    pages: PagesOf | None = None,
) -> Endpoint:
    """The endpoint of a declared function. `warehouse`: whether it works on tables and documents; `feed`: and on the
    league's data; `routes`: what else it may be asked over HTTP, and `responders` do that; `retry_s`: how long it makes
    a failing call of the warehouse again, where that is not as long as a processor would; `asks_warehouse`: whether it
    is ready only with it; `installation`: what it says of that beside, whichever revision it is; `pages`: what it shows
    to people, in place of messages and routes.

    Raises SettingsError, ImportError or UnknownFunction where it could not work: then the process must not serve.
    """
    spec, settings = function(name), read_settings(needs=["TIPOFF_DATA"] if feed else [], spares_secrets=True)
    if settings.cloud is None:
        raise wiring.NoCloud(f"TIPOFF_TARGET={settings.target}: function {name} works on gcp or emulators; set one")
    logs.configure(settings.log_level, function=name, commit=settings.commit, project=settings.cloud.project)
    for why in settings.broken.values():
        log.error("%s; until then nobody is told by it, and /ready says no", why)
    wiring.import_parts(settings, warehouse=warehouse, feed=feed)
    home = wiring.open_cloud(settings, service=name, retry_s=retry_s)

    def parts() -> Parts:
        return Parts(
            ports=home.ports,
            handlers=handlers(spec, settings, home),
            checks=wiring.checks(home, spec, settings.broken, warehouse=warehouse and asks_warehouse),
            installation=installation(home),
            routes=responders(spec, settings, home),
            pages=pages(spec, settings, home) if pages else None,
        )

    # a worker does what its order says, whoever declares the pipeline
    declared = config_hash(PIPELINES[spec.pipeline]) if spec.pipeline in PIPELINES else ""
    identity = Identity(service=name, version=settings.commit, config_hash=declared)
    return Endpoint(identity, once(parts), routes=routes, nudges=NUDGE_TOPIC, shows_pages=pages is not None)


def once(build: Callable[[], Parts]) -> Callable[[], Parts]:
    """What is built at the first call, by one thread; one that raises is called again."""
    lock, built = Lock(), list[Parts]()

    def get() -> Parts:
        with lock:
            if not built:
                built.append(build())
            return built[0]

    return get
