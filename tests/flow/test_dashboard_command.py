"""`tipoff dashboard` as it is typed: a server on this machine alone, for a home that others write meanwhile."""

from __future__ import annotations

import json
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from shared import wiring
from shared.config.settings import read_settings
from shared.wiring import STATE_FILE
from tests.flow.cli import started, tipoff
from tests.flow.dashboards import NIGHT, SAME_DAY, interesting_day

HELD = f"/run/{SAME_DAY}/hold"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return interesting_day(tmp_path_factory.mktemp("day")).path


@contextmanager
def dashboard(home: Path) -> Iterator[str]:
    """Its address, without the last slash; ended by SIGTERM, and well."""
    process = started("dashboard", "--home", home, "--port", 0, "--json")
    assert process.stdout is not None
    lines = list[str]()
    while not lines or lines[-1] not in ("}\n", ""):
        lines.append(process.stdout.readline())
    try:
        yield json.loads("".join(lines))["url"].rstrip("/")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        process.communicate()


def form(session: requests.Session, url: str, **typed: str) -> dict[str, Any]:
    hidden = r'<input type="hidden" name="([a-z_]+)" value="([^"]*)">'
    return {**dict(re.findall(hidden, session.get(url, timeout=30).text)), "until": "", "at": "", **typed}


def test_it_answers_on_this_machine_and_a_word_is_the_login_names(day: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / STATE_FILE).write_bytes((day / STATE_FILE).read_bytes())
    with dashboard(home) as url, requests.Session() as session:
        assert url.startswith("http://127.0.0.1:")
        assert session.get(f"{url}/run/{NIGHT}", timeout=30).status_code == 200
        path = f"{url}/run/{NIGHT}/replay"
        sent = form(session, path, reason="feed was wrong", about="precompute")
        told = session.post(path, sent, headers={"Origin": url}, allow_redirects=False, timeout=30)
        assert told.headers["Location"] == "/run/nba.2025-12-01.overnight.2?said=0"
        page = session.get(url + told.headers["Location"], timeout=30).text
        assert "nba.2025-12-01.overnight.2 does nba.2025-12-01.overnight.1 over from precompute" in page
        assert "Nobody is at work in this home" in page, "who spoke a word is not at work"
    said = tipoff("explain", "nba.2025-12-01.overnight.2", "--home", home, "--json")
    assert [word["verb"] for word in json.loads(said.stdout)["words"]] == ["replay"]


def test_while_a_command_writes_pages_are_read_and_a_word_says_who_it_is(day: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / STATE_FILE).write_bytes((day / STATE_FILE).read_bytes())
    settings = read_settings(first={"TIPOFF_HOME": str(home), "TIPOFF_TARGET": "local"})
    with (
        dashboard(home) as url,
        requests.Session() as session,
        wiring.write_home(settings, command="tipoff run nba", wait_s=1, waiting=lambda _: None),
    ):
        path = f"{url}/run/{NIGHT}/replay"
        sent = form(session, path, reason="feed was wrong", about="precompute")
        told = session.post(path, sent, headers={"Origin": url}, timeout=30)
        assert told.status_code == 503
        assert "Nothing was done: " in told.text
        assert "(tipoff run nba, since" in told.text
        assert 'value="feed was wrong"' in told.text


def test_a_port_that_is_taken_and_one_that_is_none_are_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = tipoff("dashboard", "--home", tmp_path, "--port", port)
    assert (said.returncode, f"--port {port}: " in said.stderr) == (1, True), said.stderr
    assert "is taken; name another, or 0 for any" in said.stderr
    assert "is not a number from 1 to 65535" in tipoff("dashboard", "--port", "99999").stderr
