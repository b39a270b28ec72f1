"""What a person's word answers when it is night: examples that work, and what happens next."""

from __future__ import annotations

import re
import shlex
from contextlib import closing
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from orchestration.cli.main import main
from shared import wiring
from shared.adapters.sqlite import Sqlite
from shared.core.model import RunKey
from shared.core.status import RunState
from tests.flow.cli import Said, Type
from tests.flow.days import Days, HandClock

RUN = RunKey("nba", date(2024, 1, 15), "overnight")
WHY = ("--reason", "feed is wrong", "--actor", "ann")
VERBS = ("hold", "release", "cancel", "skip", "force", "override", "retry")


@pytest.fixture
def type_(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Type:
    """`tipoff` as a person types it, on a home whose run began ten minutes ago: all of raw is ordered."""
    with closing(Sqlite(tmp_path / wiring.STATE_FILE)) as store:
        days = Days(store, clock=HandClock(datetime.now(timezone.utc) - timedelta(minutes=10)))
        days.service.start_run(RUN)
        days.finish(RUN, up_to="raw")

    def typed(*arguments: object) -> Said:
        capsys.readouterr()
        try:
            code = main([*map(str, arguments), *([] if "--help" in arguments else ["--home", str(tmp_path)])])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Said(code, *capsys.readouterr())

    return typed


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_a_word_is_one_that_this_run_takes(type_: Type, verb: str) -> None:
    [example] = re.findall(rf"^  tipoff ({verb} .*)$", type_(verb, "--help").out, re.MULTILINE)
    said = type_(*shlex.split(example))
    assert said.code == 0, said.err


def test_a_hold_says_what_ends_it_and_a_retry_what_is_in_its_way(type_: Type, tmp_path: Path) -> None:
    release = f"`tipoff release {RUN} --reason TEXT --home {tmp_path}`"
    assert f"\n{release} lets it go on.\n" in type_("hold", RUN, *WHY).out
    refused = type_("retry", RUN, "player_boxscores", *WHY)
    assert (refused.code, refused.err) == (
        2,
        f"tipoff: {RUN} is held by ann: feed is wrong; {release} lets it go on first\n",
    )
    assert "lets it go on" not in type_("release", RUN, *WHY).out
    assert "lets it go on" not in type_("retry", RUN, "nobody", *WHY).err


def test_a_cancelled_run_is_said_to_be_over(type_: Type) -> None:
    assert "cancelled by ann: feed is wrong. Nothing more will happen by itself." in type_("cancel", RUN, *WHY).out


def test_what_a_retry_has_ordered_is_delivered_by_a_command_that_is_named(type_: Type, tmp_path: Path) -> None:
    for file in tmp_path.iterdir():
        file.unlink()
    with closing(Sqlite(tmp_path / wiring.STATE_FILE)) as store:
        days = Days(store, clock=HandClock(datetime.now(timezone.utc) - timedelta(minutes=10)))
        days.service.start_run(RUN)
        days.finish(RUN)
        assert days.status(RUN).state is RunState.PUBLISHED
    said = type_("retry", RUN, "schedule", *WHY).out
    assert "its result stands" in said
    assert "Nothing more will happen" not in said
    assert "goes on with it.\n" in said


@pytest.mark.parametrize(
    ("until", "code", "told"),
    [
        ("+90m", 0, "(in 90 min)"),
        ("+150m", 0, "(in 2.5 h)"),
        ("+1d", 0, "(in 24 h)"),
        ("+7d", 0, "(in 7 days)"),
        ("+8d", 2, "is not within the next 7 days"),
        ("+1w", 2, "and not +1d, +2h or +30m"),
    ],
)
def test_a_word_may_last_some_days(type_: Type, until: str, code: int, told: str) -> None:
    said = type_("hold", RUN, *WHY, "--until", until)
    assert (said.code, told in said.out + said.err) == (code, True), said.err
