"""What stands between the parts of a stack and can disturb them: wires to emulators, a postman before the functions.

A wire is cut with all its connections, and refuses new ones for a while. The postman takes every push of Pub/Sub and
delivers it: twice, late, with its answer lost, not now, or, to one function for a minute, not at all.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Lock, Thread, Timer
from time import monotonic, sleep

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing throws away what is under way, as a cut does
CHUNK = 65_536
ANSWER_S = 600.0  # as long as a push may take
HANG_UP_S = 5.0
BROKEN_S = 60.0

DOUBLED, LATE, UNHEARD, REFUSED = 0.12, 0.12, 0.12, 0.08
"""Shares of pushes: delivered twice, late, with the answer lost, and not delivered now."""
LATE_S = 1.5
COPY_S = 6.0
DISTURBED_MAX = 3  # lost answers and refusals of one message: more would only take longer


@dataclass
class Diary:
    """One line for each thing that was done to the stack, so that a failing seed can be understood."""

    file: Path
    counts: Counter[str] = field(default_factory=Counter)
    began: float = field(default_factory=monotonic)
    lock: Lock = field(default_factory=Lock)

    def note(self, act: str, what: str) -> None:
        with self.lock, self.file.open("a", encoding="utf-8") as lines:
            self.counts[act] += 1
            lines.write(f"{monotonic() - self.began:7.2f} {act}: {what}\n")


# --- wires ----------------------------------------------------------------------------------------------


@dataclass
class Wire:
    """A way to one emulator."""

    target: str  # host:port
    host: str = ""
    refuses_until: float = 0.0  # by the monotonic clock
    ends: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> asyncio.Server:
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return server

    async def cut(self, refuse_s: float) -> int:
        """How many connections there were."""
        self.refuses_until = monotonic() + refuse_s
        cut = list(self.ends)
        for end in cut:
            reset(end)
        return len(cut) // 2

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if monotonic() < self.refuses_until:
            reset(writer)
            return
        name, _, port = self.target.rpartition(":")
        try:
            there, back = await asyncio.open_connection(name, int(port))
        except OSError:
            reset(writer)
            return
        self.ends |= {writer, back}
        try:
            await asyncio.gather(pump(reader, back), pump(there, writer))
        finally:
            for end in (writer, back):
                self.ends.discard(end)
                end.transport.abort()


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Until either end has gone; then the other goes too."""
    with suppress(OSError):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()


def reset(end: asyncio.StreamWriter) -> None:
    connection = end.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    end.transport.abort()


@dataclass
class Wires:
    """All of them, on one thread of their own."""

    hosts: dict[str, str]  # by an emulator's variable: where it is reached through its wire
    _loop: asyncio.AbstractEventLoop
    _wires: Mapping[str, Wire]

    def cut(self, variable: str, refuse_s: float) -> int:
        """All connections of a wire, and those made within so many seconds; how many there were."""
        return asyncio.run_coroutine_threadsafe(self._wires[variable].cut(refuse_s), self._loop).result()


@contextmanager
def wired(emulators: Mapping[str, str]) -> Iterator[Wires]:
    """Wires to emulators that are given by their variables: host:port, or http://host:port."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="wires", daemon=True)
    thread.start()
    wires = {variable: Wire(target=host.removeprefix("http://")) for variable, host in emulators.items()}
    servers = [asyncio.run_coroutine_threadsafe(wire.open(), loop).result() for wire in wires.values()]
    hosts = {
        variable: wires[variable].host if "://" not in host else f"http://{wires[variable].host}"
        for variable, host in emulators.items()
    }
    try:
        yield Wires(hosts, loop, wires)
    finally:
        asyncio.run_coroutine_threadsafe(hang_up(servers, wires.values()), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def hang_up(servers: Iterable[asyncio.Server], wires: Iterable[Wire]) -> None:
    for server in servers:
        server.close()
    for wire in wires:
        await wire.cut(refuse_s=ANSWER_S)
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=HANG_UP_S)  # both ends have gone, so they end


# --- the postman ----------------------------------------------------------------------------------------


@dataclass
class Postman:
    """Between Pub/Sub's pushes and the functions of one project; calm or not."""

    project: str
    broken: str  # the function that has a bad minute, from the first message for it on
    dice: Random
    diary: Diary
    is_calm: bool = True
    port: int = 0
    urls: dict[str, str] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)  # the last one that Pub/Sub was given, by message
    under_way: Counter[str] = field(default_factory=Counter)  # deliveries, by function
    _broken_until: float | None = None
    _disturbed: Counter[str] = field(default_factory=Counter)  # by message
    _lock: Lock = field(default_factory=Lock)

    def through(self, name: str, url: str) -> str:
        """Where messages for a function are pushed to."""
        self.urls[name] = url
        return f"http://127.0.0.1:{self.port}/{name}"

    @property
    def unanswered(self) -> list[str]:
        """What is under way, and the messages that have not come to a good end yet: these come again."""
        with self._lock:
            failed = [f"{message}: {answer}" for message, answer in self.answers.items() if answer >= 300]
            return failed + [f"under way to {name}" for name, count in self.under_way.items() if count]

    def busy(self) -> list[str]:
        """Functions that are at a message."""
        with self._lock:
            return sorted(name for name, count in self.under_way.items() if count)

    def push(self, name: str, headers: Mapping[str, str], body: bytes) -> int:
        """The answer to one push."""
        told = json.loads(body)
        subscription, id = str(told["subscription"]), str(told["message"]["messageId"])
        if f"/{self.project}/" not in f"/{subscription.removeprefix('projects/')}":
            return 204  # of a world that is no more
        message = f"{subscription.rpartition('/')[2]} {id}"
        answer = self._answer(name, message, headers, body)
        with self._lock:
            self.answers[message] = answer
        return answer

    def _answer(self, name: str, message: str, headers: Mapping[str, str], body: bytes) -> int:
        fate = self._fate(name, message)
        if fate:
            self.diary.note(fate, message)
        match fate:
            case "broken":
                return 500
            case "refused":
                return 503
            case "late":
                with self._lock:
                    pause_s = self.dice.uniform(0.1, LATE_S)
                sleep(pause_s)
            case "doubled":
                self._copy(name, headers, body)
        answer = self._deliver(name, headers, body)
        return 503 if fate == "unheard" else answer

    def _fate(self, name: str, message: str) -> str:
        with self._lock:
            if self.is_calm:
                return ""
            if name == self.broken:
                if self._broken_until is None:
                    self._broken_until = monotonic() + BROKEN_S
                if monotonic() < self._broken_until:
                    return "broken"
            shares = (DOUBLED, LATE, UNHEARD, REFUSED, 1 - DOUBLED - LATE - UNHEARD - REFUSED)
            [fate] = self.dice.choices(("doubled", "late", "unheard", "refused", ""), shares)
            if fate in ("unheard", "refused"):
                self._disturbed[message] += 1
                if self._disturbed[message] > DISTURBED_MAX:
                    return ""
            return fate

    def _copy(self, name: str, headers: Mapping[str, str], body: bytes) -> None:
        """At once or later, while the first may still be worked on; nobody hears how it ends."""
        with self._lock:
            pause_s = self.dice.choice((0.0, self.dice.uniform(0.0, COPY_S)))
            self.under_way[name] += 1

        def deliver() -> None:
            try:
                self._deliver(name, headers, body)
            finally:
                with self._lock:
                    self.under_way[name] -= 1

        timer = Timer(pause_s, deliver)
        timer.daemon = True
        timer.start()

    def _deliver(self, name: str, headers: Mapping[str, str], body: bytes) -> int:
        """What the function answers; 502 where it has died or is not there."""
        with self._lock:
            self.under_way[name] += 1
        connection = http.client.HTTPConnection(self.urls[name].removeprefix("http://"), timeout=ANSWER_S)
        try:
            connection.request("POST", "/", body, {"Content-Type": headers.get("Content-Type", "application/json")})
            response = connection.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            return 502
        else:
            return response.status
        finally:
            connection.close()
            with self._lock:
                self.under_way[name] -= 1


class Room(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def serving(postman: Postman) -> Iterator[Postman]:
    """The postman at work, on a loopback port of its own."""

    class Push(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = postman.push(self.path.strip("/"), dict(self.headers), body)
            with suppress(OSError):  # who asked has gone
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = Room(("127.0.0.1", 0), Push)
    postman.port = server.server_port
    thread = Thread(target=server.serve_forever, name="postman", daemon=True)
    thread.start()
    try:
        yield postman
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
