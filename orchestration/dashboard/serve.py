"""The dashboard on this machine alone: a server on 127.0.0.1 for a home, or for the parts that a target names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from orchestration.dashboard.site import Site

HOST = "127.0.0.1"


class Quiet(WSGIRequestHandler):
    """Whoever polls would fill the terminal."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: what goes wrong the site itself has logged."""


@contextmanager
def server(site: Site, port: int) -> Iterator[BaseWSGIServer]:
    """Listening; `serve_forever` answers. Port 0 is any free one. Raises OSError where it cannot listen."""

    @Request.application
    def answer(request: Request) -> Response:
        body, status, headers = site(request)
        return Response(body, status, headers)

    made = make_server(HOST, port, answer, threaded=True, request_handler=Quiet)
    try:
        yield made
    finally:
        made.server_close()
