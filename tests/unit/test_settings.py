"""The environment is read once; what is wrong in it comes in one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.config.settings import Settings, SettingsError, head_commit, read_settings

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
