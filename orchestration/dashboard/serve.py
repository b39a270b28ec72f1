"""The dashboard on this machine alone: a server on 127.0.0.1 for a home, or for the parts that a target names."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from orchestration.dashboard.site import Site

HOST = "127.0.0.1"


class PortTaken(OSError):
    """It cannot listen: names the port, why, and the remedy."""


class Quiet(WSGIRequestHandler):
    """Whoever polls would fill the terminal."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing: what goes wrong the site itself has logged."""


@contextmanager
def server(site: Site, port: int) -> Iterator[BaseWSGIServer]:
    """Listening; `serve_forever` answers. Port 0 is any free one. Raises PortTaken."""

    @Request.application
    def answer(request: Request) -> Response:
        body, status, headers = site(request)
        return Response(body, status, headers)

    with bound(port) as listening:  # by ourselves: the server would end the process where it cannot
        made = make_server(HOST, port, answer, threaded=True, request_handler=Quiet, fd=listening.fileno())
    try:
        yield made
    finally:
        made.server_close()


def bound(port: int) -> socket.socket:
    """Listening on this machine alone."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        made.listen()
    except OSError as error:
        made.close()
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
        raise PortTaken(f"--port {port}: {why}; name another, or 0 for any") from None
    return made
