"""A BigQuery of a few lines on loopback, for what the emulator does wrong: job ids that are used up, cancelled scripts.

It answers as the service's reference says, to exactly the calls that the adapter makes of it; anything else is a 501.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

DONE = {"state": "DONE"}
LINES = [
    ("game_date", "DATE"),
    ("game_id", "STRING"),
    ("run", "STRING"),
    ("attempt", "INTEGER"),
    ("fence", "INTEGER"),
    ("inputs_completeness", "FLOAT"),
    ("inputs_missing", "STRING"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the service says in place of an answer, or of a job that has come to nothing."""

    status: int
    reason: str
    message: str = "not now"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A job that is there, answered 200, and has failed: at once, or once its results have been asked for."""

    error: Refusal
    at_once: bool = True


class RecordedBigQuery:
    """Remembers load jobs and their tables; refuses calls, scripts and jobs as it is told to."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}  # by id: what was asked
        self.tables: set[str] = set()
        self.asked: list[str] = []  # every call's method and path
        self.refusals: list[str] = []  # of the scripts to come, as their error's text
        self.refused: Iterator[Refusal | None] = iter(())  # the calls to come, whatever they are; None is answered
        self.failing: Iterator[Failed | None] = iter(())  # the jobs to come, loads and scripts; None does its work
        self.lines = list(LINES)  # the columns of each table that is there
        self.stamped = 1  # rows that a MERGE leaves under its stamp
        self._failed: dict[str, Failed] = {}
        self.endpoint = ""

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        path = path.split("?")[0]
        self.asked.append(f"{method} {path}")
        if refusal := next(self.refused, None):
            return refusal.status, _error(refusal.status, refusal.message, refusal.reason), {}
        if method == "POST" and path.endswith("/jobs"):
            return self._insert(body, is_upload=path.startswith("/upload"))
        if method == "PUT" and (found := re.fullmatch(r"/session/(\w+)", path)):
            if found[1] not in self._failed:
                self.tables.add(found[1])
            return 200, self._job(found[1]), {}
        if method == "GET" and (found := re.search(r"/jobs/([\w-]+)$", path)):
            return 200, self._job(found[1]), {}
        if method == "GET" and (found := re.search(r"/queries/([\w-]+)$", path)):
            return self._results(found[1])
        if method in ("GET", "DELETE") and (found := re.search(r"/tables/(\w+)$", path)):
            return self._table(method, found[1])
        return 501, _error(501, f"{method} {path}"), {}

    def _insert(self, body: dict[str, Any], *, is_upload: bool) -> tuple[int, dict[str, Any], dict[str, str]]:
        id = body["jobReference"]["jobId"]
        if id in self.jobs:
            return 409, _error(409, f"Already Exists: Job {id}", "duplicate"), {}
        self.jobs[id] = body["configuration"]
        if not body["configuration"].get("dryRun") and (failed := next(self.failing, None)):
            self._failed[id] = failed
        if is_upload:
            return 200, {}, {"Location": f"{self.endpoint}/session/{id}"}
        if self.refusals:
            return 400, _error(400, self.refusals.pop(0), "invalidQuery"), {}
        return 200, self._job(id), {}

    def _results(self, id: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Of a failed job its error, as the service says it here; from then on the job's state says it, too."""
        if (failed := self._failed.get(id)) is None:
            return 200, _one_row(self.stamped), {}
        self._failed[id] = Failed(error=failed.error)
        return failed.error.status, _error(failed.error.status, failed.error.message, failed.error.reason), {}

    def _table(self, method: str, name: str) -> tuple[int, dict[str, Any], dict[str, str]]:
        if name != "lines" and name not in self.tables:
            return 404, _error(404, f"Not found: Table {name}", "notFound"), {}
        if method == "DELETE":
            self.tables.discard(name)
            return 200, {}, {}
        fields = [{"name": column, "type": kind, "mode": "NULLABLE"} for column, kind in self.lines]
        reference = {"projectId": "p", "datasetId": "d", "tableId": name}
        return 200, {"tableReference": reference, "schema": {"fields": fields}}, {}

    def _job(self, id: str) -> dict[str, Any]:
        reference = {"projectId": "p", "jobId": id, "location": "US"}
        statistics = {"query": {"schema": {"fields": [{"name": "game_date", "type": "DATE"}]}}}
        status: dict[str, Any] = DONE
        if failed := self._failed.get(id):
            said = {"reason": failed.error.reason, "message": failed.error.message}
            status = {**DONE, "errorResult": said, "errors": [said]} if failed.at_once else {"state": "RUNNING"}
        return {"jobReference": reference, "configuration": self.jobs[id], "status": status, "statistics": statistics}


def _error(code: int, message: str, reason: str = "") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "errors": [{"reason": reason, "message": message}]}}


def _one_row(stamped: int) -> dict[str, Any]:
    found = json.dumps({"rows": 0, "high": None, "low": None})
    fields = [{"name": name, "type": kind} for name, kind in (("superseded", "BOOLEAN"), ("found", "STRING"))]
    fields[1:1] = [{"name": name, "type": "INTEGER"} for name in ("inserted", "stamped")]
    cells = [{"v": "false"}, {"v": "0"}, {"v": str(stamped)}, {"v": found}]
    return {
        "jobComplete": True,
        "jobReference": {"projectId": "p", "jobId": "any", "location": "US"},
        "schema": {"fields": fields},
        "rows": [{"f": cells}],
        "totalRows": "1",
    }


@contextmanager
def recorded_bigquery() -> Iterator[RecordedBigQuery]:
    service = RecordedBigQuery()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_json = "json" in (self.headers.get("Content-Type") or "") and not self.path.startswith("/session")
            status, said, headers = service.answer(self.command, self.path, json.loads(raw) if is_json and raw else {})
            body = json.dumps(said).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
