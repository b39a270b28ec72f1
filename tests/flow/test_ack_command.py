"""Who is called says that he has it: `tipoff ack`, and what `tipoff status` tells of what is about no run."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from orchestration.cli.main import main
from shared.adapters.sqlite import Sqlite
from shared.core.fold import incidents_of
from shared.core.incident import raised, resolved
from shared.core.model import Latch
from shared.core.watch import ailing, record, record_of
from shared.wiring import STATE_FILE
from tests.flow.cli import Said, Type, documented, form

KEY = record_of("nba")
INCIDENT = f"{KEY}/incident/health-export_processor/1"
WHY = ("--reason", "on it", "--actor", "ann")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """One in which a service is not well, as a watch has found."""
    now = datetime.now(timezone.utc)
    store = Sqlite(tmp_path / STATE_FILE)
    store.states.create_run(record("nba", now))
    keep(store, raised(KEY, None, ailing("export_processor", "does not answer", now), now))
    store.close()
    return tmp_path


@pytest.fixture
def type_(home: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    def typed(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main([*map(str, arguments), "--home", str(home)])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


def test_status_tells_what_is_about_no_run_and_how_to_say_that_one_has_it(type_: Type) -> None:
    said = type_("status", "nba", "--date", date(2024, 1, 15))
    assert "INCIDENT (page) since" in said.out
    assert "export_processor is not well since" in said.out
    assert f"tipoff ack {INCIDENT} --reason TEXT" in said.out
    [alert] = type_("status", "nba", "--date", date(2024, 1, 15), "--json").json["incidents"]
    assert alert["cause"] == "health-export_processor"


def test_an_incident_is_acknowledged_once_with_who_and_why(type_: Type, home: Path) -> None:
    first, again = type_("ack", INCIDENT, *WHY), type_("ack", KEY, *WHY)
    assert f"{INCIDENT} is acknowledged by ann: on it." in first.out
    assert "It was acknowledged already; nothing has changed." in again.out
    store = Sqlite(home / STATE_FILE, read_only=True)
    act = incidents_of(store.states.load(KEY).latches)["health-export_processor"].acknowledged
    store.close()
    assert act is not None
    assert (act.actor, act.reason) == ("ann", "on it")
    assert "acknowledged by ann" in type_("status", "nba", "--date", date(2024, 1, 15)).out


def test_the_json_has_the_documented_form(type_: Type) -> None:
    said = type_("ack", INCIDENT, *WHY, "--json").json
    assert form(said) == form(documented("tipoff ack"))
    assert said["run"] == str(KEY)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        pytest.param("nba.2024-01-15.overnight.1", "has no open incident", id="a run without one"),
        pytest.param(
            f"{KEY}/incident/slow/1", "has no open incident slow/1; open: health-export_processor/1", id="a cause"
        ),
        pytest.param(
            INCIDENT.replace("/1", "/2"),
            f"incident health-export_processor/2; open now is {INCIDENT}: `tipoff ack {INCIDENT} --reason TEXT`",
            id="an occurrence that has not been",
        ),
        pytest.param(f"{KEY}/incident/slow", "is no incident; expected RUN/incident/CAUSE/NUMBER", id="half a name"),
        pytest.param("nba.2024-01-15", "expected pipeline.YYYY-MM-DD.mode.generation", id="no run"),
    ],
)
def test_what_is_not_open_is_refused_with_what_is(type_: Type, asked: str, why: str) -> None:
    said = type_("ack", asked, *WHY)
    assert said.code == 2
    assert why in said.err


def test_an_occurrence_that_is_over_is_refused_with_since_when_and_what_is_open_now(type_: Type, home: Path) -> None:
    at = ended(home)
    said = type_("ack", INCIDENT, *WHY)
    assert (said.code, f"{INCIDENT} is over since {at:%Y-%m-%d %H:%M} UTC; nothing of it is open" in said.err) == (
        2,
        True,
    )
    store = Sqlite(home / STATE_FILE)
    known = incidents_of(store.states.load(KEY).latches)["health-export_processor"]
    keep(store, raised(KEY, known, ailing("export_processor", "503", at), at))
    store.close()
    said = type_("ack", INCIDENT, *WHY)
    second = INCIDENT.replace("/1", "/2")
    assert said.code == 2
    assert f"{INCIDENT} is over since" in said.err
    assert f"; open now is {second}: `tipoff ack {second} --reason TEXT`" in said.err
    store = Sqlite(home / STATE_FILE, read_only=True)
    assert incidents_of(store.states.load(KEY).latches)["health-export_processor"].acknowledged is None
    store.close()
    assert f"{second} is acknowledged by ann" in type_("ack", second, *WHY).out


def ended(home: Path) -> datetime:
    store, now = Sqlite(home / STATE_FILE), datetime.now(timezone.utc)
    known = incidents_of(store.states.load(KEY).latches)["health-export_processor"]
    keep(store, resolved(KEY, known, "it is well", now))
    store.close()
    return now


def keep(store: Sqlite, latch: Latch) -> None:
    now = datetime.now(timezone.utc)
    store.states.claim(KEY, control_version=0, latches=[latch], entry=None, due_at=now, now=now, lease_s=30)


@pytest.mark.parametrize("words", [("hold", KEY, *WHY), ("explain", KEY), ("recompute", KEY)])
def test_the_record_of_what_is_about_no_run_is_no_run(type_: Type, words: tuple[object, ...]) -> None:
    said = type_(*words)
    assert said.code == 2
    assert "is not" in said.err
