"""The composition root: settings to ports, built at first use. The only importer of adapters.

Long because it alone may know all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from shared.adapters.notify import LogNotifier
from shared.config.deployment import ATTEMPTS_MAX
from shared.config.functions import NUDGE_TOPIC, FunctionSpec, function, pushed_topics, services_behind
from shared.config.metrics import METRICS
from shared.config.orchestration_config import PIPELINES, READ_BACKS
from shared.config.settings import Cloud, Settings, Target, url_of
from shared.core.batch import IN_FLIGHT_UNITS
from shared.core.messages import Message
from shared.core.model import RunKey, ScheduleSpec
from shared.core.plan import config_hash
from shared.core.subscriptions import subscription_of
from shared.ports import (
    NO_METER,
    NO_TRACE,
    BatchStore,
    Bus,
    Chat,
    Clock,
    Feed,
    HealthProbe,
    Meter,
    Notifier,
    ObjectStore,
    Ports,
    StateStore,
    Tracer,
    Warehouse,
)
from shared.preflight import Identity, Preflight, Services
from shared.readings import World, readers

if TYPE_CHECKING:
    from shared.adapters.duckdb import DuckDbWarehouse
    from shared.adapters.firestore import Firestore
    from shared.adapters.http import Http
    from shared.adapters.pubsub import PubSub
    from shared.adapters.sqlite import Sqlite

DASHBOARD = "nba_admin_dashboard"
"""The function where people look at runs."""

STATE_FILE = "state.sqlite"
WAREHOUSE_FILE = "warehouse.duckdb"
EXPORTS = "exports"


@dataclass(frozen=True)
class LocalHome:
    """A home opened by its one writer: state and bus at once, warehouse and exports when somebody asks."""

    path: Path
    store: Sqlite
    clock: Clock
    in_flight: int = IN_FLIGHT_UNITS  # units of a batch that are ordered and not reported

    @property
    def ports(self) -> Ports:
        states = self.store.states
        return Ports(
            states=states,
            bus=self.store.bus,
            clock=self.clock,
            readers=readers(states, self.world),
            notifiers={"log": LogNotifier()},
        )

    @property
    def world(self) -> World:
        return local_world(lambda: self.warehouse)

    @property
    def batches(self) -> BatchStore:
        return self.store.batches

    @cached_property
    def warehouse(self) -> DuckDbWarehouse:
        from shared.adapters.duckdb import DuckDbWarehouse

        return DuckDbWarehouse(self.path / WAREHOUSE_FILE)

    @cached_property
    def exports(self) -> ObjectStore:
        from shared.adapters.objects import FolderObjects

        return FolderObjects(self.path / EXPORTS)

    def close(self) -> None:
        self.store.close()
        if "warehouse" in self.__dict__:
            self.warehouse.close()


@dataclass(frozen=True)
class CloudHome:
    """The same on Google's services or their emulators: any number of processes, each with one connection a service.

    Each part is built when somebody asks for it first: its import alone takes half a second.
    """

    cloud: Cloud
    clock: Clock
    path: Path  # of this machine's own files
    trace: Tracer
    data: str  # that its functions read, as far as this process knows
    in_flight: int  # units of a batch that are ordered and not reported
    services: Services  # that its gates ask how they are
    notifiers: Mapping[str, Notifier]  # that people hear of incidents from
    retry_s: float | None = None  # of each call of the warehouse; None: as long as a processor may wait
    meter: Meter = NO_METER

    @cached_property
    def ports(self) -> Ports:
        states = self.firestore.states
        world = World(warehouse=lambda: self.warehouse, read_back=READ_BACKS, services=self.services)
        return Ports(
            states=states,
            bus=self.bus,
            clock=self.clock,
            readers=readers(states, world),
            trace=self.trace,
            meter=self.meter,
            notifiers=self.notifiers,
        )

    @property
    def batches(self) -> BatchStore:
        return self.firestore.batches

    @cached_property
    def firestore(self) -> Firestore:
        from shared.adapters.firestore import Firestore

        return Firestore(self.cloud.project, emulator=self.cloud.firestore_host)

    @cached_property
    def bus(self) -> PubSub:
        from shared.adapters.pubsub import PubSub

        if self.cloud.pubsub_host:  # it loses messages under a retry policy (decision 0007), and tries each second else
            return PubSub(self.cloud.project, emulator=self.cloud.pubsub_host, backoff_s=None, attempts_max=100)
        return PubSub(self.cloud.project, attempts_max=ATTEMPTS_MAX)

    @cached_property
    def warehouse(self) -> Warehouse:
        from shared.adapters.bigquery import BigQueryWarehouse, connect

        client = connect(self.cloud.project, location=self.cloud.location, endpoint=self.cloud.bigquery_host or "")
        prefix = self.cloud.dataset_prefix
        if self.retry_s is None:
            return BigQueryWarehouse(client, dataset_prefix=prefix)
        return BigQueryWarehouse(client, dataset_prefix=prefix, retry_s=self.retry_s)

    @cached_property
    def exports(self) -> ObjectStore:
        from shared.adapters.objects import open_objects

        return open_objects(self.cloud.exports)

    def close(self) -> None:
        for part in ("firestore", "bus", "warehouse"):
            if part in self.__dict__:
                self.__dict__[part].close()


Home = LocalHome | CloudHome
"""Where a command's or a function's parts are, whatever they are."""


def open_cloud(settings: Settings, *, service: str = "tipoff", retry_s: float | None = None) -> CloudHome:
    """Connects at the first use of each part. Whoever opens it closes it. `service` is who its spans say they are;
    `retry_s` how long a call of the warehouse that fails is made again."""
    from shared.adapters.clock import SystemClock

    assert settings.cloud is not None, "the target local has no cloud"
    trace: Tracer = NO_TRACE
    meter: Meter = NO_METER
    if settings.traces:
        from shared.adapters.metering import open_meter
        from shared.adapters.tracing import open_tracer

        trace = open_tracer(settings.traces, service=service, commit=settings.commit)
        meter = open_meter(settings.traces, METRICS, service=service, commit=settings.commit)
    services = Services(
        behind=services_behind,
        url_of=partial(url_of, settings.services),
        probe=partial(health_probe, settings),
        identity=partial(_identity, settings.commit),
    )
    clock = SystemClock()
    return CloudHome(
        cloud=settings.cloud,
        clock=clock,
        path=settings.home,
        trace=trace,
        data=settings.data,
        in_flight=settings.in_flight,
        services=services,
        notifiers=_notifiers(settings, clock),
        retry_s=retry_s,
        meter=meter,
    )


def _notifiers(settings: Settings, clock: Clock) -> Mapping[str, Notifier]:
    """Whom a process on Google's services tells of incidents: the log, and whoever its settings name."""
    found: dict[str, Notifier] = {"log": LogNotifier()}
    chat, no_key = slack(settings), settings.broken.get("PAGERDUTY_ROUTING_KEY", "")
    if chat or no_key or settings.routing_key:
        from shared.adapters.sinks import PagerDuty, SlackNotifier

        now, look = clock.now, settings.dashboard or url_of(settings.services, DASHBOARD)
        if no_key or settings.routing_key:
            found["pagerduty"] = PagerDuty(
                http(), settings.routing_key, url=settings.pagerduty_url, now=now, dashboard=look, broken=no_key
            )
        if chat:
            found["slack"] = SlackNotifier(chat, pages=not settings.routing_key, now=now, dashboard=look)
    return found


def local_world(warehouse: Callable[[], Warehouse]) -> World:
    """What gates ask beside the state where every service is in their own process, and as well as it."""
    services = Services(behind=services_behind, url_of=None, probe=_nobody, identity=partial(_identity, ""))
    return World(warehouse=warehouse, read_back=READ_BACKS, services=services)


@cache
def _identity(commit: str, pipeline: str) -> Identity:
    declared = config_hash(PIPELINES[pipeline]) if pipeline in PIPELINES else ""
    return Identity(version=commit, config_hash=declared)


def _nobody() -> HealthProbe:
    raise AssertionError("services in this process are not probed")


class NoCloud(ValueError):
    """A deployed function was started for a target that has no services: names it, and the remedy."""


class UnusableSecret(Exception):
    """A secret that the function was given is none: names it, and the remedy. No part of it is said."""


class Unheard(Exception):
    """A function's subscription is not there, or hears another topic: what is published for it is lost."""


def checks(
    home: CloudHome, spec: FunctionSpec, broken: Mapping[str, str], *, warehouse: bool
) -> Mapping[str, Callable[[], object]]:
    """Of what a function depends on, one small read each; raises what that raises. `broken`: its settings'."""
    nobody = RunKey("ready", date.min, "probe")

    def hears() -> None:
        for topic in spec.listens if home.cloud.pubsub_host else pushed_topics(spec):
            subscription = subscription_of(spec.name, topic)
            if not home.bus.hears(subscription, topic):
                raise Unheard(f"subscription {subscription} of topic {topic} is not there; run bin/deploy/topics")

    def usable() -> None:
        raise UnusableSecret("; ".join(broken.values()))

    found: dict[str, Callable[[], object]] = {"state": lambda: home.ports.states.plan(nobody), "bus": hears}
    if broken:
        found["secrets"] = usable
    if warehouse:
        found["warehouse"] = lambda: home.warehouse.query("SELECT 1 AS one", {})
        found["exports"] = lambda: home.exports.get("ready")
    return found


def import_parts(settings: Settings, *, warehouse: bool, feed: bool) -> None:
    """Import all that a function on Google's services works with: one that cannot start must not seem to.

    Raises ImportError. No thread runs when it returns: the server forks.
    """
    import shared.adapters.firestore
    import shared.adapters.pubsub

    if warehouse:
        import shared.adapters.bigquery
        import shared.adapters.objects

        assert settings.cloud is not None
        if any(place.startswith("gs://") for place in (settings.data, settings.cloud.exports)):
            import gcsfs.core  # type: ignore[import-untyped]  # noqa: F401 - what they open a bucket with
    if feed:
        import duckdb

        import shared.adapters.feed  # noqa: F401 - each is imported again where it is built

        duckdb.default_connection().close()  # its import opens one, with threads that no fork survives


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadHome:
    """What can be read of a home whoever writes it."""

    states: StateStore
    batches: BatchStore
    bus: Bus
    is_written: bool  # whether a process may be at work in it


@contextmanager
def read_warehouse(settings: Settings) -> Iterator[Warehouse | None]:
    """The tables, for whoever only asks; None where there are none yet. Raises WarehouseError while another process
    writes to a home's."""
    if settings.cloud is not None:
        with closing(open_cloud(settings)) as cloud:
            yield cloud.warehouse
        return
    if not (settings.home / WAREHOUSE_FILE).exists():
        yield None
        return
    from shared.adapters.duckdb import DuckDbWarehouse

    with closing(DuckDbWarehouse(settings.home / WAREHOUSE_FILE, read_only=True)) as warehouse:
        yield warehouse


def memory_warehouse() -> DuckDbWarehouse:
    """An empty one, for figures that nobody keeps. Whoever opens it closes it."""
    from shared.adapters.duckdb import DuckDbWarehouse

    return DuckDbWarehouse(":memory:")


def lock_within(handle: int, wait_s: float) -> bool:
    """Whether an open file is this process's alone within that time. The kernel lets go of it when the process ends."""
    from shared.adapters import home

    return home.lock_within(handle, wait_s)


@contextmanager
def alone_in(home: Path, *, command: str) -> Iterator[None]:
    """The home without anything opened in it, and nobody else writing."""
    from shared.adapters.home import only_writer, open_home

    with only_writer(open_home(home), command, 0.0, lambda _: None):
        yield


@contextmanager
def write_home(
    settings: Settings, *, command: str, wait_s: float, waiting: Callable[[str], None], durability: str = "process"
) -> Iterator[LocalHome]:
    """The home, held by this process alone. What a killed writer had leased is let go: nobody else can hold it."""
    from shared.adapters.clock import SystemClock
    from shared.adapters.home import only_writer, open_home
    from shared.adapters.objects import remove_unfinished
    from shared.adapters.sqlite import Sqlite

    path = open_home(settings.home)
    clock = SystemClock()
    with only_writer(path, command, wait_s, waiting):
        remove_unfinished(path / EXPORTS)
        store = Sqlite(path / STATE_FILE, durability="power" if durability == "power" else "process")
        home = LocalHome(path, store, clock, settings.in_flight)
        try:
            store.release_leases(clock.now())
            yield home
        finally:
            home.close()


@contextmanager
def read_home(settings: Settings) -> Iterator[ReadHome | None]:
    """The state of a home and its batches, also while another process writes it. None if nothing has run there yet."""
    from shared.adapters.home import HomeError, is_written
    from shared.adapters.sqlite import Sqlite

    if settings.cloud is not None:
        with closing(open_cloud(settings)) as cloud:
            yield ReadHome(states=cloud.ports.states, batches=cloud.batches, bus=cloud.bus, is_written=True)
        return
    if settings.home.exists() and not settings.home.is_dir():
        raise HomeError(f"--home {settings.home}: is not a folder; name the one that the runs were given")
    if not (settings.home / STATE_FILE).exists():
        yield None
        return
    store = Sqlite(settings.home / STATE_FILE, read_only=True)
    try:
        there = is_written(settings.home)
        yield ReadHome(states=store.states, batches=store.batches, bus=store.bus, is_written=there)
    finally:
        store.close()


def system_clock() -> Clock:
    """This machine's own."""
    from shared.adapters.clock import SystemClock

    return SystemClock()


def open_feed(folder: Path) -> Feed:
    """Raises FeedError that says which file, what is wrong, and the remedy."""
    from shared.adapters.feed import FolderFeed

    return FolderFeed(folder)


def open_feed_at(place: str) -> Feed:
    """The feed in a folder, or at a URL like gs://bucket/nba. Raises FeedError as open_feed does."""
    from shared.adapters.feed import open_feed_url

    return open_feed_url(place)


def http(token_for: Callable[[str], str] | None = None) -> Http:
    """It keeps its connections: one for a process. Whoever opens it closes it."""
    from shared.adapters.http import Http

    return Http(token_for=token_for)


def iap(audience: str) -> Callable[[str], str]:
    """From what Identity-Aware Proxy signs for this audience to the email in it; raises ValueError that says why not,
    or OSError. It keeps the proxy's keys: one for a process."""
    from shared.adapters.iap import Assertions, fetch_keys

    return Assertions(audience, fetch=partial(fetch_keys, http()))


def health_probe(settings: Settings) -> HealthProbe:
    """It keeps its connections, until the process ends: one for a process. On Google Cloud it says who asks."""
    from shared.adapters.health import HttpHealthProbe

    if settings.target is not Target.GCP:
        return HttpHealthProbe(http())
    from shared.adapters.identity import IdentityTokens, fetch_token

    return HttpHealthProbe(http(IdentityTokens(fetch=fetch_token)))


def ailing(home: CloudHome) -> Callable[[str, bool], str]:
    """Why a function is not well, asked now; empty where it is, or where nobody has said where it answers."""
    preflight = Preflight(home.services)
    return lambda name, deep: preflight.ailing(name, deep, function(name).pipeline)


def slack(settings: Settings) -> Chat | None:
    """Where people read together; None where no webhook is set. It keeps its connection: one for a process."""
    no_address = settings.broken.get("SLACK_WEBHOOK_URL", "")
    if not (no_address or settings.slack_webhook):
        return None
    from shared.adapters.slack import NoWebhook, SlackWebhook

    if no_address:
        return NoWebhook(no_address)

    return SlackWebhook(http(), settings.slack_webhook)


def health_probe_as(token_for: Callable[[str], str]) -> HealthProbe:
    """One that says who asks by tokens that are given; for who is no service account. Whoever opens it keeps one."""
    from shared.adapters.health import HttpHealthProbe

    return HttpHealthProbe(http(token_for))


def firings(schedule: ScheduleSpec, first: datetime, until: datetime) -> Iterator[datetime]:
    """The instants in first..until at which a schedule is due."""
    from shared.adapters import scheduler

    return scheduler.firings(schedule, first, until)


def last_due(schedule: ScheduleSpec, before: datetime) -> datetime | None:
    """When a schedule was due the last time before that."""
    from shared.adapters import scheduler

    return scheduler.last_due(schedule, before)


def nudge(schedule: ScheduleSpec, pipeline: str, scheduled_at: datetime) -> Message:
    """What the schedule says then."""
    from shared.adapters import scheduler

    return scheduler.nudge_message(schedule, pipeline, scheduled_at, NUDGE_TOPIC)
