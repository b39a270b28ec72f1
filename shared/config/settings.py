"""What the environment says: the only reader of it, once, for every entry point."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from shared.core.batch import IN_FLIGHT_UNITS
from shared.core.messages import UNITS_MAX

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
COMMIT = re.compile(r"[0-9a-f]{7,64}|unknown")
PROJECT = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
PREFIX = re.compile(r"[A-Za-z0-9_]{0,64}")
SERVICE = re.compile(r"([a-z][a-z0-9_]{0,62})=(https?://[^@\s/?#,{}]+(?:/[^@\s?#,{}]*)?)")
TEMPLATE = re.compile(r"https?://[^@\s?#,{}]*\{(?:name|service)\}[^@\s?#,{}]*")
ROUTING_KEY = re.compile(r"[A-Za-z0-9]{32}")
PAGER = re.compile(r"https://[^@\s/?#]+(/[^@\s?#]*)?|http://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?(/[^@\s?#]*)?")
PAGE_OF = re.compile(r"https?://[^@\s/?#]+(/[^@\s?#]*)?")
COLLECTOR = re.compile(r"https?://[^@\s/]+(/\S*)?")
WEBHOOK = re.compile(
    r"https://hooks\.slack\.com/[A-Za-z0-9/_-]{1,200}"
    r"|http://(127\.0\.0\.1|localhost|\[::1\])(:[1-9][0-9]{0,4})?(/[A-Za-z0-9/_-]{0,200})?"
)
ENDPOINT = re.compile(r"http://(127\.0\.0\.1|localhost|\[::1\]):\d{1,5}(/\S*)?")
AUDIENCE = re.compile(r"/projects/[0-9]+/(global|locations/[a-z0-9-]+)/(backendServices/[0-9]+|services/[a-z0-9-]+)")
LOCATION = re.compile(r"[A-Za-z]+[A-Za-z0-9-]*")
REPOSITORY = Path(__file__).resolve().parents[2]

LOCAL_PROJECT = "tipoff-local"
"""Of the emulators, where nothing else is named: they take any."""

PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"

NONE = "none"
"""The value of a secret that an installation does without: Secret Manager gives a function no empty one."""

EMERGENCY = 10
"""How many times the units in flight there are in an emergency: what a few dozen workers hold."""

HOSTS = ("PUBSUB_EMULATOR_HOST", "FIRESTORE_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST")
"""What says where the emulators are, by the names that Google's libraries read; `make emulators` prints them."""


class Target(StrEnum):
    """Where the parts are that hold state, messages, tables and exports."""

    LOCAL = "local"  # a folder of this machine
    EMULATORS = "emulators"  # Google's services as processes of this machine
    GCP = "gcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """Google's services, or their emulators."""

    project: str
    location: str  # of BigQuery's datasets
    dataset_prefix: str  # separates installations in one project
    exports: str  # the URL below which documents are published
    pubsub_host: str | None = None  # host:port of an emulator; none: the service
    firestore_host: str | None = None
    bigquery_host: str | None = None  # with http:// before it


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Each field's name in the environment stands in read_settings."""

    home: Path
    log_level: str
    commit: str  # what code this is; rows and heartbeats carry it
    no_color: bool
    target: Target = Target.LOCAL
    cloud: Cloud | None = None  # none for the target local
    data: str = ""  # the league's data, for those who are given no --data; a folder or a URL
    starts_missing_runs: bool = True  # whether the sweep begins what the calendar expects
    traces: str = ""  # where spans go by OTLP over HTTP; empty: nowhere
    in_flight: int = IN_FLIGHT_UNITS  # units of a batch that are ordered and not reported
    services: str = ""  # where functions answer, for url_of; empty: nobody has said
    cloud_endpoint: str = ""  # asked by doctor and bin/deploy in place of Google; empty: Google is
    routing_key: str = field(default="", repr=False)  # a secret: whoever has it may page; empty: nobody is on call
    pagerduty_url: str = PAGERDUTY_URL  # where events go
    dashboard: str = ""  # where people look at runs, for links; empty: nowhere
    iap_audience: str = ""  # that Identity-Aware Proxy signs for; empty: it does not stand before the dashboard
    slack_webhook: str = field(default="", repr=False)  # a secret: whoever has it may post; empty: nobody reads there
    broken: Mapping[str, str] = field(default_factory=dict)  # of the two those that are none, by variable: why


class SettingsError(ValueError):
    """The environment cannot be used: one line per name, with its value and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read_settings(
    environ: Mapping[str, str] = os.environ,
    repository: Path = REPOSITORY,
    *,
    first: Mapping[str, str] | None = None,
    needs: Sequence[str] = (),
    spares_secrets: bool = False,
) -> Settings:
    """Every name read, with its default. Raises SettingsError that names all that is wrong, not the first of it.

    The values of `first` stand over the environment's. `needs` must be set, though others do without.
    `spares_secrets`: a secret that is none is `broken`, and no reason not to work: whoever changes one changes it for
    functions that are deployed, whose other work must go on.
    """
    environ = {**environ, **(first or {})}
    problems: list[str] = []

    home = environ.get("TIPOFF_HOME", ".tipoff")
    if not home.strip() or "\0" in home or Path(home).is_file():
        problems.append(f"TIPOFF_HOME={home!r} is not a folder; name one, or unset it for .tipoff")
    log_level = environ.get("LOG_LEVEL", "WARNING").upper()
    if log_level not in LOG_LEVELS:
        problems.append(f"LOG_LEVEL={environ['LOG_LEVEL']!r} is not a level; set one of {', '.join(LOG_LEVELS)}")
    commit = environ.get("TIPOFF_COMMIT") or head_commit(repository / ".git")
    if not COMMIT.fullmatch(commit):
        problems.append(f"TIPOFF_COMMIT={commit!r} is not a commit; set 7 to 64 hex digits, or unset it")
    named = asked_target({}, environ)
    if named not in list(Target):
        problems.append(f"TIPOFF_TARGET={named!r} is not a target; set one of {', '.join(Target)}")
    calendar = environ.get("TIPOFF_CALENDAR", "on")
    if calendar not in ("on", "off"):
        problems.append(f"TIPOFF_CALENDAR={calendar!r}: set on, or off where runs begin only when somebody asks")
    traces = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if traces and not COLLECTOR.fullmatch(traces):  # not said: it may hold a password
        problems.append("OTEL_EXPORTER_OTLP_ENDPOINT is not a URL without user and password; set http(s)://host:port")
    services = _services(environ, problems)
    endpoint = environ.get("TIPOFF_CLOUD_ENDPOINT", "")
    if endpoint and not ENDPOINT.fullmatch(endpoint):
        problems.append("TIPOFF_CLOUD_ENDPOINT: set an address of this machine, http://127.0.0.1:port, or unset it")
    routing_key, slack_webhook, broken = _secrets(environ)
    problems += () if spares_secrets else broken.values()
    pagerduty_url, dashboard = _places(environ, problems)
    in_flight = _in_flight(environ, problems)
    cloud = _cloud(environ, named, problems) if named in (Target.EMULATORS, Target.GCP) else None
    problems += [f"{name} is not set; this function needs it" for name in needs if not environ.get(name)]

    iap_audience = _audience(environ, problems)

    if problems:
        raise SettingsError(problems)
    return Settings(
        home=Path(home),
        log_level=log_level,
        commit=commit,
        no_color=bool(environ.get("NO_COLOR")),  # no-color.org: set and not empty
        target=Target(named),
        cloud=cloud,
        data=environ.get("TIPOFF_DATA", ""),
        starts_missing_runs=calendar == "on",
        traces=traces,
        in_flight=in_flight,
        services=services,
        routing_key=routing_key,
        pagerduty_url=pagerduty_url,
        dashboard=dashboard,
        iap_audience=iap_audience,
        slack_webhook=slack_webhook,
        broken=broken,
        cloud_endpoint=endpoint,
    )


def url_of(services: str, name: str) -> str:
    """Where a function answers, as TIPOFF_SERVICES says; empty where it says nothing of it."""
    if TEMPLATE.fullmatch(services):
        return services.replace("{name}", name).replace("{service}", name.replace("_", "-"))
    return dict(pair.split("=", 1) for pair in services.split(",") if "=" in pair).get(name, "")


def _services(environ: Mapping[str, str], problems: list[str]) -> str:
    """Where functions answer. The value is not said: it may hold a password."""
    services = environ.get("TIPOFF_SERVICES", "")
    if services and not TEMPLATE.fullmatch(services) and not all(map(SERVICE.fullmatch, services.split(","))):
        how = "a URL with {name} or {service} in it, or name=URL,name=URL"
        problems.append(f"TIPOFF_SERVICES does not say where functions answer; set {how}")
    return services


def _secrets(environ: Mapping[str, str]) -> tuple[str, str, Mapping[str, str]]:
    """PagerDuty's key and Slack's webhook, empty where there is none; and why those that are none are not. No reason
    says anything of a value. What stands around one is not of it: pasted into a terminal it has a line's end."""
    broken: dict[str, str] = {}

    def secret(name: str, form: re.Pattern[str], why: str) -> str:
        value = environ.get(name, "").strip()
        if value == NONE or not environ.get(name):
            return ""
        if not form.fullmatch(value):
            broken[name] = f"{name} is not {why}, or {NONE}"
        return "" if name in broken else value

    how = "an integration key of Events API v2; set the 32 letters and digits that PagerDuty shows"
    routing_key = secret("PAGERDUTY_ROUTING_KEY", ROUTING_KEY, how)
    where = "https://hooks.slack.com/... that Slack shows, for a trial one of this machine"
    webhook = secret("SLACK_WEBHOOK_URL", WEBHOOK, f"the address of an incoming webhook; set the {where}")
    return routing_key, webhook, broken


def _places(environ: Mapping[str, str], problems: list[str]) -> tuple[str, str]:
    """Where events go, and where people look. The values are not said: they may hold a password."""
    pagerduty, dashboard = environ.get("TIPOFF_PAGERDUTY_URL", PAGERDUTY_URL), environ.get("TIPOFF_DASHBOARD_URL", "")
    if not PAGER.fullmatch(pagerduty):
        how = f"unset it for {PAGERDUTY_URL}, or set an https URL, or for a trial an http one of this machine"
        problems.append(f"TIPOFF_PAGERDUTY_URL is not where events may be sent; {how}")
    if dashboard and not PAGE_OF.fullmatch(dashboard):
        problems.append("TIPOFF_DASHBOARD_URL is not a URL without user and password; set http(s)://host/path")
    return pagerduty, dashboard


def _audience(environ: Mapping[str, str], problems: list[str]) -> str:
    audience = environ.get("TIPOFF_IAP_AUDIENCE", "")
    if audience and not AUDIENCE.fullmatch(audience):
        how = "set the Signed Header JWT Audience that the page of Identity-Aware Proxy shows, /projects/NUMBER/..."
        problems.append(f"TIPOFF_IAP_AUDIENCE={audience[:120]!r} is none; {how}")
    return audience


def _in_flight(environ: Mapping[str, str], problems: list[str]) -> int:
    units, emergency = environ.get("TIPOFF_IN_FLIGHT", str(IN_FLIGHT_UNITS)), environ.get("TIPOFF_EMERGENCY", "off")
    if not (units.isascii() and units.isdecimal() and len(units) < 9 and 1 <= int(units) <= UNITS_MAX):
        problems.append(f"TIPOFF_IN_FLIGHT={units!r}: set a number of units from 1 to {UNITS_MAX}, or unset it")
        units = str(IN_FLIGHT_UNITS)
    if emergency not in ("on", "off"):
        problems.append(f"TIPOFF_EMERGENCY={emergency!r}: set on, where a late batch shall have all workers, or off")
    return int(units) * (EMERGENCY if emergency == "on" else 1)


def _cloud(environ: Mapping[str, str], target: str, problems: list[str]) -> Cloud:
    """On emulators all three hosts are needed; on Google Cloud none is allowed, for its messages would get lost."""
    emulated = target == Target.EMULATORS
    hosts = {name: environ.get(name, "") for name in HOSTS}
    for name, host in hosts.items():
        if emulated and not host:
            problems.append(f"{name} is not set; start `tipoff up`, or `make emulators` and paste what it prints")
        if not emulated and host:
            problems.append(f"{name}={host!r} is set, so the target {target} would talk to an emulator; unset it")
    project = environ.get("GOOGLE_CLOUD_PROJECT", LOCAL_PROJECT if emulated else "")
    if not PROJECT.fullmatch(project):
        problems.append(f"GOOGLE_CLOUD_PROJECT={project!r} is not a project's id; set the id of your project")
    prefix = environ.get("TIPOFF_DATASET_PREFIX", "")
    if not PREFIX.fullmatch(prefix):
        problems.append(f"TIPOFF_DATASET_PREFIX={prefix!r}: use at most 64 letters, digits and underscores")
    location = environ.get("TIPOFF_LOCATION", "US")
    if not LOCATION.fullmatch(location):
        problems.append(f"TIPOFF_LOCATION={location!r} is not a BigQuery location; set one like US or us-central1")
    home = Path(environ.get("TIPOFF_HOME", ".tipoff"))
    exports = environ.get("TIPOFF_EXPORTS", str(emulator_home(home) / "exports") if emulated else "")
    if not emulated and not exports.startswith("gs://"):  # anything else would lie in an instance, and go with it
        problems.append(f"TIPOFF_EXPORTS={exports!r} is not in a bucket; set where documents go, like gs://bucket/nba")
    return Cloud(
        project=project,
        location=location,
        dataset_prefix=prefix,
        exports=exports,
        pubsub_host=hosts["PUBSUB_EMULATOR_HOST"] or None,
        firestore_host=hosts["FIRESTORE_EMULATOR_HOST"] or None,
        bigquery_host=hosts["BIGQUERY_EMULATOR_HOST"] or None,
    )


def emulator_home(home: Path) -> Path:
    """The folder in a home for what runs on emulators: exports, logs, staged functions."""
    return home / "emulators"


def hosts_given(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The emulators that the environment names already."""
    return {name: environ[name] for name in HOSTS if environ.get(name)}


def asked_target(first: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> str:
    """The target that is asked for, whether or not it can be had."""
    return first.get("TIPOFF_TARGET") or environ.get("TIPOFF_TARGET") or Target.LOCAL


def asked_home(first: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> Path:
    """The home that is asked for, whether or not it can be had."""
    return Path(first.get("TIPOFF_HOME") or environ.get("TIPOFF_HOME") or ".tipoff")


def process_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What a process of ours needs of its starter's environment: where programs are, the language, the time zone."""
    return {name: environ[name] for name in ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR") if name in environ}


def head_commit(git: Path) -> str:
    """What HEAD points to, read from git's files; "unknown" where there is no repository or no commit."""
    try:
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head if COMMIT.fullmatch(head) else "unknown"
        ref = head.removeprefix("ref: ")
        if (git / ref).is_file():
            return (git / ref).read_text().strip()
        packed = (line.split(" ") for line in (git / "packed-refs").read_text().splitlines())
        return next((words[0] for words in packed if words[1:] == [ref]), "unknown")
    except (OSError, UnicodeDecodeError):
        return "unknown"
