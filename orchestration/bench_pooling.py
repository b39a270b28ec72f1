"""What keeping connections is worth, for docs/benchmarks.md: calls a second with one client of a process, and without.

The server is on this machine and speaks no TLS; over a network a connection costs more, and keeping it is worth more.
"""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from orchestration import emulators
from shared import wiring
from shared.config.settings import Cloud, Settings, Target

ROUNDS = 9
HTTP_CALLS, BIGQUERY_CALLS = 200, 20  # in a round, with and without
WARM_CALLS = 20
BODY = b'{"status": "alive"}'
STOP_S = 5.0


def pooling(rounds: int = ROUNDS) -> dict[str, object]:
    """One thread, rounds with and without in turn, so that what else the machine does falls on both."""
    with _http_server() as url:
        http = wiring.http()
        figures = _figures("http", rounds, HTTP_CALLS, lambda: http.call("GET", url), lambda: _call_alone(url))
        http.close()
    running = emulators.start("bigquery")
    try:
        home = _home(running.host)
        figures |= _figures(
            "bigquery", rounds, BIGQUERY_CALLS, lambda: _select(home), lambda: _select_alone(running.host)
        )
        home.close()
    finally:
        running.stop()
    return {**figures, "rounds": rounds}


def _figures(
    name: str, rounds: int, calls: int, pooled: Callable[[], object], alone: Callable[[], object]
) -> dict[str, object]:
    kinds = {"pooled": pooled, "alone": alone}
    per_s: dict[str, list[float]] = {kind: [] for kind in kinds}
    for call in kinds.values():
        for _ in range(WARM_CALLS):
            call()
    for number in range(rounds):
        for kind in (list(kinds), list(kinds)[::-1])[number % 2]:
            began = time.perf_counter()
            for _ in range(calls):
                kinds[kind]()
            per_s[kind].append(calls / (time.perf_counter() - began))
    figures: dict[str, object] = {}
    for kind, found in per_s.items():
        figures[f"{name}_{kind}_per_s"] = round(statistics.median(found))
        figures[f"{name}_{kind}_per_s_range"] = f"{min(found):.0f} to {max(found):.0f}"
    return {
        **figures,
        f"{name}_times": round(statistics.median(per_s["pooled"]) / statistics.median(per_s["alone"]), 1),
    }


def _call_alone(url: str) -> None:
    http = wiring.http()
    http.call("GET", url)
    http.close()


def _select(home: wiring.CloudHome) -> None:
    assert home.warehouse.query("SELECT 1 AS one", {}) == [{"one": 1}]


def _select_alone(endpoint: str) -> None:
    home = _home(endpoint)
    _select(home)
    home.close()


def _home(endpoint: str) -> wiring.CloudHome:
    cloud = Cloud(project="tipoff-bench", location="US", dataset_prefix="", exports="", bigquery_host=endpoint)
    return wiring.open_cloud(
        Settings(home=Path(), log_level="ERROR", commit="unknown", no_color=True, target=Target.EMULATORS, cloud=cloud)
    )


# --- the server, a process of its own: in this one it would take turns with its caller -------------------------


@contextlib.contextmanager
def _http_server() -> Iterator[str]:
    command = [sys.executable, "-m", "orchestration.bench_pooling"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 - of our own making
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.terminate()
            process.wait(STOP_S)


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        print(server.server_address[1], flush=True)  # noqa: T201 - to whoever started it
        server.serve_forever()
