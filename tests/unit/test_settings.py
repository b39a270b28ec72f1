"""The environment is read once; what is wrong in it comes in one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config.settings import (
    EMERGENCY,
    HOSTS,
    Cloud,
    Settings,
    SettingsError,
    Target,
    head_commit,
    process_environment,
    read_settings,
)
from shared.core.batch import IN_FLIGHT_UNITS
from shared.core.messages import UNITS_MAX

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_an_empty_environment_is_enough(tmp_path: Path) -> None:
    assert read_settings({}, repository=tmp_path) == Settings(
        home=Path(".tipoff"), log_level="WARNING", commit="unknown", no_color=False
    )


def test_every_name_is_read() -> None:
    environ = {"TIPOFF_HOME": "/tmp/t", "LOG_LEVEL": "debug", "TIPOFF_COMMIT": COMMIT, "NO_COLOR": "1"}  # noqa: S108
    assert read_settings(environ) == Settings(
        home=Path("/tmp/t"),  # noqa: S108 - never written
        log_level="DEBUG",
        commit=COMMIT,
        no_color=True,
    )


def test_an_empty_no_color_asks_for_nothing(tmp_path: Path) -> None:
    assert not read_settings({"NO_COLOR": ""}, repository=tmp_path).no_color


def test_all_that_is_wrong_comes_in_one_error_with_value_and_remedy() -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings({"TIPOFF_HOME": " ", "LOG_LEVEL": "loud", "TIPOFF_COMMIT": "main"})
    assert str(raised.value) == "\n".join(raised.value.problems)
    assert raised.value.problems == (
        "TIPOFF_HOME=' ' is not a folder; name one, or unset it for .tipoff",
        "LOG_LEVEL='loud' is not a level; set one of DEBUG, INFO, WARNING, ERROR",
        "TIPOFF_COMMIT='main' is not a commit; set 7 to 64 hex digits, or unset it",
    )


@pytest.mark.parametrize(
    ("environ", "in_flight"),
    [
        pytest.param({}, IN_FLIGHT_UNITS, id="as usual"),
        pytest.param({"TIPOFF_IN_FLIGHT": "1"}, 1, id="the least"),
        pytest.param({"TIPOFF_IN_FLIGHT": str(UNITS_MAX)}, UNITS_MAX, id="the most: a whole batch"),
        pytest.param({"TIPOFF_EMERGENCY": "on"}, EMERGENCY * IN_FLIGHT_UNITS, id="an emergency: ten times as many"),
        pytest.param({"TIPOFF_EMERGENCY": "off"}, IN_FLIGHT_UNITS, id="no emergency"),
        pytest.param({"TIPOFF_IN_FLIGHT": "200", "TIPOFF_EMERGENCY": "on"}, 2_000, id="both: ten times what is set"),
    ],
)
def test_how_many_units_of_a_batch_are_in_flight(tmp_path: Path, environ: dict[str, str], in_flight: int) -> None:
    assert read_settings(environ, repository=tmp_path).in_flight == in_flight


@pytest.mark.parametrize(
    "units", ["", "0", "-1", "1.5", "many", "20001", "9999999999", "٣", " 5"], ids=lambda units: repr(units)
)
def test_a_number_of_units_that_cannot_be_is_refused(units: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings({"TIPOFF_IN_FLIGHT": units, "TIPOFF_EMERGENCY": "on"})
    assert raised.value.problems == (
        f"TIPOFF_IN_FLIGHT={units!r}: set a number of units from 1 to {UNITS_MAX}, or unset it",
    )


@pytest.mark.parametrize("home", ["", "a\0b", __file__], ids=["empty", "a null byte", "a file"])
def test_a_home_that_cannot_be_a_folder_is_refused(home: str) -> None:
    with pytest.raises(SettingsError, match="TIPOFF_HOME"):
        read_settings({"TIPOFF_HOME": home})


@pytest.mark.parametrize(
    ("files", "commit"),
    [
        pytest.param({}, "unknown", id="no repository"),
        pytest.param({"HEAD": "ref: refs/heads/main\n"}, "unknown", id="no commit yet"),
        pytest.param({"HEAD": "ref: refs/heads/main\n", "refs/heads/main": COMMIT + "\n"}, COMMIT, id="a branch"),
        pytest.param({"HEAD": COMMIT + "\n"}, COMMIT, id="a detached head"),
        pytest.param({"HEAD": "\n"}, "unknown", id="an empty head"),
        pytest.param({"HEAD": "ref: a/../../../x\n"}, "unknown", id="a reference to nowhere"),
        pytest.param(
            {
                "HEAD": "ref: refs/heads/main\n",
                "packed-refs": f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n",
            },
            COMMIT,
            id="a packed branch",
        ),
        pytest.param(
            {"HEAD": "ref: refs/heads/main\n", "packed-refs": "# pack-refs with: peeled\n"},
            "unknown",
            id="a branch that is not packed either",
        ),
    ],
)
def test_the_commit_is_read_from_gits_own_files(tmp_path: Path, files: dict[str, str], commit: str) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert head_commit(tmp_path) == commit


HOSTED = {
    "TIPOFF_TARGET": "emulators",
    "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
    "FIRESTORE_EMULATOR_HOST": "127.0.0.1:2",
    "BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:3",
}
SERVICE = {"TIPOFF_TARGET": "gcp", "GOOGLE_CLOUD_PROJECT": "acme-nba-prod", "TIPOFF_EXPORTS": "gs://acme/nba"}


def test_emulators_need_their_hosts_alone(tmp_path: Path) -> None:
    settings = read_settings({**HOSTED, "TIPOFF_HOME": str(tmp_path)})
    assert settings.target is Target.EMULATORS
    assert settings.cloud == Cloud(
        project="tipoff-local",
        location="US",
        dataset_prefix="",
        exports=str(tmp_path / "emulators" / "exports"),
        pubsub_host="127.0.0.1:1",
        firestore_host="127.0.0.1:2",
        bigquery_host="http://127.0.0.1:3",
    )


def test_google_cloud_needs_a_project_and_a_place_for_documents() -> None:
    settings = read_settings({**SERVICE, "TIPOFF_DATASET_PREFIX": "dev_", "TIPOFF_LOCATION": "us-central1"})
    assert settings.target is Target.GCP
    assert settings.cloud == Cloud(
        project="acme-nba-prod", location="us-central1", dataset_prefix="dev_", exports="gs://acme/nba"
    )


WRONG_TARGET = [
    pytest.param({"TIPOFF_TARGET": "aws"}, ["TIPOFF_TARGET='aws' is not a target"], id="another cloud"),
    pytest.param({"TIPOFF_TARGET": "emulators"}, list(HOSTS), id="emulators, and none named"),
    pytest.param({"TIPOFF_TARGET": "gcp"}, ["GOOGLE_CLOUD_PROJECT=''", "TIPOFF_EXPORTS=''"], id="gcp alone"),
    pytest.param(
        {**SERVICE, "PUBSUB_EMULATOR_HOST": "127.0.0.1:1"},
        ["PUBSUB_EMULATOR_HOST='127.0.0.1:1' is set"],
        id="gcp with an emulator, which would swallow its messages",
    ),
    pytest.param({**SERVICE, "GOOGLE_CLOUD_PROJECT": "Acme/x"}, ["GOOGLE_CLOUD_PROJECT='Acme/x'"], id="no project id"),
    pytest.param({**SERVICE, "TIPOFF_DATASET_PREFIX": "a-b"}, ["TIPOFF_DATASET_PREFIX='a-b'"], id="no dataset's name"),
    pytest.param({**SERVICE, "TIPOFF_LOCATION": "; DROP"}, ["TIPOFF_LOCATION='; DROP'"], id="no location"),
    pytest.param({"TIPOFF_CALENDAR": "yes"}, ["TIPOFF_CALENDAR='yes'"], id="a calendar that is neither on nor off"),
    pytest.param({"TIPOFF_EMERGENCY": "yes"}, ["TIPOFF_EMERGENCY='yes'"], id="an emergency that is neither on nor off"),
    pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, ["OTEL_EXPORTER_OTLP_ENDPOINT is"], id="no URL"),
    pytest.param(
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:s3cret@collector"},
        ["OTEL_EXPORTER_OTLP_ENDPOINT is not a URL without user and password"],
        id="a password, which is not repeated",
    ),
    *(
        pytest.param({**SERVICE, "TIPOFF_EXPORTS": place}, [f"TIPOFF_EXPORTS={place!r} is not in a bucket"], id=place)
        for place in ("exports", "/tmp/exports", "memory://nba", "s3://acme/nba")  # noqa: S108 - never written
    ),
]


@pytest.mark.parametrize(("environ", "told"), WRONG_TARGET)
def test_a_target_that_cannot_be_had_is_refused_with_every_name_and_a_remedy(
    environ: dict[str, str], told: list[str]
) -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings(environ)
    assert len(raised.value.problems) == len(told)
    for problem, begins in zip(raised.value.problems, told, strict=True):
        assert problem.startswith(begins)
        assert ";" in problem or ":" in problem


def test_options_and_a_running_stack_stand_over_the_environment() -> None:
    """A shell that names a project of the service must not lead a command into it beside a stack's emulators."""
    settings = read_settings(
        {"TIPOFF_TARGET": "local", "GOOGLE_CLOUD_PROJECT": "named-in-the-shell"},
        first={**HOSTED, "GOOGLE_CLOUD_PROJECT": "named-by-the-stack"},
    )
    assert settings.cloud is not None
    assert (settings.target, settings.cloud.project) == (Target.EMULATORS, "named-by-the-stack")


def test_what_a_function_needs_must_be_set() -> None:
    assert read_settings({"TIPOFF_DATA": "/data"}, needs=["TIPOFF_DATA"]).data == "/data"
    with pytest.raises(SettingsError, match="TIPOFF_DATA is not set; this function needs it"):
        read_settings({}, needs=["TIPOFF_DATA"])


def test_a_process_is_given_no_secret_of_its_starters_environment() -> None:
    environ = {"PATH": "/bin", "HOME": "/home/me", "SLACK_TOKEN": "s3cret", "PYTHONPATH": "/elsewhere"}
    assert process_environment(environ) == {"PATH": "/bin", "HOME": "/home/me"}


HOOK = "https://hooks.slack.com/services/T0/B0/s3cret"


@pytest.mark.parametrize("url", [HOOK, "http://127.0.0.1:8080/hook", "http://localhost:1", "http://[::1]:9/a_b"])
def test_a_webhook_is_slacks_or_one_of_this_machine(url: str) -> None:
    assert read_settings({"SLACK_WEBHOOK_URL": url}).slack_webhook == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/T0/B0/s3cret",
        "https://hooks.slack.com.evil.example/s3cret",
        "https://me:s3cret@hooks.slack.com/services",
        "https://evil.example/s3cret",
        "http://127.0.0.1.evil.example/s3cret",
        "https://hooks.slack.com/services/s3cret?x=1",
        "https://hooks.slack.com/services/s3cret\nX: y",
        "s3cret",
    ],
)
def test_another_webhook_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(
        SettingsError, match="SLACK_WEBHOOK_URL is not the address of an incoming webhook; set"
    ) as raised:
        read_settings({"SLACK_WEBHOOK_URL": url})
    assert "s3cret" not in str(raised.value)


def test_settings_tell_no_secret_when_they_are_printed() -> None:
    assert "s3cret" not in repr(read_settings({"SLACK_WEBHOOK_URL": HOOK}))


KEY = "R0UT1NGKEYR0UT1NGKEYR0UT1NGKEY32"


def test_who_is_paged_is_a_secret_that_is_read_and_not_shown() -> None:
    settings = read_settings({"PAGERDUTY_ROUTING_KEY": KEY})
    assert settings.routing_key == KEY
    assert KEY not in repr(settings)
    assert read_settings({}).routing_key == ""


@pytest.mark.parametrize("name", ["PAGERDUTY_ROUTING_KEY", "SLACK_WEBHOOK_URL"])
def test_a_secret_that_an_installation_does_without_says_none(name: str) -> None:
    settings = read_settings({name: "none"})
    assert (settings.routing_key, settings.slack_webhook) == ("", "")


@pytest.mark.parametrize("around", ["{}\n", "{}\r\n", " {} ", "\t{}"], ids=repr)
def test_what_stands_around_a_secret_is_not_of_it(around: str) -> None:
    """Whoever pastes a value and types Enter adds a line's end, and cannot see it afterwards."""
    settings = read_settings({"PAGERDUTY_ROUTING_KEY": around.format(KEY), "SLACK_WEBHOOK_URL": around.format(HOOK)})
    assert (settings.routing_key, settings.slack_webhook) == (KEY, HOOK)
    assert read_settings({"PAGERDUTY_ROUTING_KEY": around.format("none")}).routing_key == ""


NONE_OF_THEM = [
    ("PAGERDUTY_ROUTING_KEY", f"{KEY[:9]} {KEY[9:]}"),
    ("PAGERDUTY_ROUTING_KEY", "\n"),
    ("SLACK_WEBHOOK_URL", "https://evil.example/s3cret"),
    ("SLACK_WEBHOOK_URL", " "),
]


@pytest.mark.parametrize(("name", "value"), NONE_OF_THEM, ids=repr)
def test_a_secret_that_is_none_stops_no_function_and_is_told(name: str, value: str) -> None:
    both = {"PAGERDUTY_ROUTING_KEY": KEY, "SLACK_WEBHOOK_URL": HOOK, name: value}
    settings = read_settings(both, spares_secrets=True)
    assert list(settings.broken) == [name]
    assert settings.broken[name].startswith(f"{name} is not ")
    assert (settings.routing_key, settings.slack_webhook).count("") == 1, "the other one is used"
    assert "s3cret" not in settings.broken[name]
    assert KEY[:9] not in settings.broken[name]
    with pytest.raises(SettingsError, match=f"{name} is not "):  # at a terminal somebody reads it
        read_settings(both)


def test_whatever_else_is_wrong_stops_a_function_as_before() -> None:
    with pytest.raises(SettingsError) as raised:
        read_settings({"LOG_LEVEL": "loud", "SLACK_WEBHOOK_URL": "s3cret"}, spares_secrets=True)
    assert len(raised.value.problems) == 1


@pytest.mark.parametrize("value", [KEY[1:], KEY + "x", KEY[:-1] + "\n", f"{KEY[:-2]}<>"])
def test_a_key_that_is_none_is_refused_and_not_said(value: str) -> None:
    with pytest.raises(SettingsError, match="not an integration key") as raised:
        read_settings({"PAGERDUTY_ROUTING_KEY": value})
    assert value.strip() not in str(raised.value)


@pytest.mark.parametrize("url", ["https://events.eu.pagerduty.com/v2/enqueue", "http://127.0.0.1:8080/v2/enqueue"])
def test_events_go_where_the_settings_say(url: str) -> None:
    assert read_settings({"TIPOFF_PAGERDUTY_URL": url}).pagerduty_url == url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIPOFF_PAGERDUTY_URL", "http://events.example/v2"),
        ("TIPOFF_PAGERDUTY_URL", "https://me:s3cret@events.example"),
        ("TIPOFF_PAGERDUTY_URL", "http://127.0.0.1.evil.example"),
        ("TIPOFF_PAGERDUTY_URL", ""),
        ("TIPOFF_DASHBOARD_URL", "https://me:s3cret@tipoff.example"),
        ("TIPOFF_DASHBOARD_URL", "tipoff.example"),
    ],
)
def test_a_place_that_is_none_is_refused_and_not_said(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as raised:
        read_settings({name: value})
    assert "s3cret" not in str(raised.value)
