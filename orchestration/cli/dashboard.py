"""`tipoff dashboard`: the pages of a home, or of a target, on 127.0.0.1, until Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

from rich.markup import escape

from orchestration.cli.main import OK
from orchestration.cli.options import login_name, screen, settings_of, where
from orchestration.cli.show import print_json
from orchestration.dashboard.doors import CloudDoors, Doors, LocalDoors
from orchestration.dashboard.serve import HOST, server
from orchestration.dashboard.site import Site
from shared import wiring
from shared.config.orchestration_config import PIPELINES
from shared.config.settings import Settings

POLL_S = 5
CLOUD_POLL_S = 20  # each look of a page reads some hundred documents


def run(arguments: argparse.Namespace) -> int:
    settings, console = settings_of(arguments), screen(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(OK))
    who = login_name()
    with doors_of(settings) as doors:
        site = Site(
            doors=doors,
            pipelines=PIPELINES,
            who=lambda _headers: who,
            poll_s=POLL_S if settings.cloud is None else CLOUD_POLL_S,
            is_local=True,  # whatever its target
        )
        with server(site, arguments.port) as listening:
            url = f"http://{HOST}:{listening.port}/"
            if arguments.json:
                print_json({"url": url})
                sys.stdout.flush()
            console.print(f"[bold]{url}[/] shows {escape(where(settings))}; Ctrl-C ends it.", soft_wrap=True)
            try:
                listening.serve_forever()
            except (KeyboardInterrupt, SystemExit):
                console.print("Stopped; nothing else has.")
    return OK


@contextmanager
def doors_of(settings: Settings) -> Iterator[Doors]:
    """For a home, or for Google's parts, connected once."""
    if settings.cloud is None:
        yield LocalDoors(settings, wiring.system_clock())
        return
    with closing(wiring.open_cloud(settings)) as home:
        yield CloudDoors(settings, home)
