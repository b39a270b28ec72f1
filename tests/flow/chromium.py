"""The browser of the dashboard's tests: a Chromium that is there, headless. None is ever downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",  # it is started as root where CI runs, and shows nothing but our own pages
    *("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


class ChromiumAbsent(Exception):
    """No Chromium is installed; `make browser` says how to get one, or installs it."""


def find_chromium() -> str:
    """Raises ChromiumAbsent."""
    found = next((path for name in NAMES if (path := shutil.which(name))), "")
    if not found:
        raise ChromiumAbsent(f"no browser ({', '.join(NAMES)}) is on the PATH; `make browser` gets one")
    return found


@contextmanager
def open_chromium() -> Iterator[Any]:
    """The browser, as Playwright drives it. Raises ChromiumAbsent."""
    path = find_chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def chromium_absent_is_said() -> Iterator[None]:
    """Turns ChromiumAbsent into a skip with its remedy, or into a failure where nothing may be skipped."""
    try:
        yield
    except ChromiumAbsent as absent:
        if os.environ.get("REQUIRE_EMULATORS") == "1":
            pytest.fail(f"REQUIRE_EMULATORS=1, but {absent}", pytrace=False)
        pytest.skip(str(absent))
