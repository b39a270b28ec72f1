"""Emulators, some staged functions as processes, and an ear of the bench's own: what bench_emulators measures on."""

from __future__ import annotations

import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from threading import Condition, Thread

from orchestration import emulators
from orchestration.emulators import Kind
from orchestration.stack import Process, StackFailed, last_lines, serve_command
from orchestration.staging import stage
from shared import wiring
from shared.config.functions import function
from shared.config.nba import NBA
from shared.config.settings import LOCAL_PROJECT, read_settings
from shared.core.messages import Message
from shared.core.subscriptions import subscription_of
from shared.ports import Delivery
from shared.push import read_push
from shared.service import Service

HOP, RELAY = "bench-hop", "bench-relay"
"""Topics that tell what the emulator takes by itself: what comes on the second is published on the first."""
BENCH = "bench"  # hears as a function does
PATIENCE_S = 120.0  # for one arrival; a busy machine takes seconds
POLL_S = 0.1  # how often the emulator looks whether there is something to push
NOWHERE = "http://127.0.0.1:9"  # an emulator that is not started, because nobody asks it


@dataclass(slots=True)
class Receiver:
    """Hears what is pushed, and when: by topic, and by the run that it is about."""

    relay: Callable[[Delivery], None]
    _arrived: dict[tuple[str, str], tuple[float, Delivery]] = field(default_factory=dict)
    _changed: Condition = field(default_factory=Condition)

    def hear(self, delivery: Delivery, at: float) -> None:
        if delivery.topic == RELAY:
            self.relay(delivery)
        run, processor = (delivery.attributes.get(name, "") for name in ("run", "processor"))
        with self._changed:
            for about in (run, f"{run}/{processor}"):
                self._arrived.setdefault((delivery.topic, about), (at, delivery))
            self._changed.notify_all()

    def first(self, topic: str, about: str) -> tuple[float, Delivery]:
        """When the first message of a topic about a run, or about run/processor, came, and what it is."""
        with self._changed:
            if not self._changed.wait_for(lambda: (topic, about) in self._arrived, PATIENCE_S):
                raise StackFailed(f"{about}: nothing came on {topic} in {PATIENCE_S:g} s")
            return self._arrived[topic, about]


@dataclass(slots=True, kw_only=True)
class System:
    """Emulators, those functions that are served, and the receiver of this process."""

    folder: Path
    environment: Mapping[str, str]
    home: wiring.CloudHome
    service: Service
    receiver: Receiver
    url: str  # the receiver's
    opened: ExitStack
    random: Random
    logs: list[Path] = field(default_factory=list)

    def serve(self, name: str) -> str:
        """Stage and start a function, and have pushed to it what it hears; its address."""
        folder, port, log = stage(name, self.folder).folder, emulators.free_port(), self.folder / f"{name}.log"
        command = serve_command(name, folder, port)
        process = Process(name=name, command=command, environment=self.environment, log=log)
        self.opened.callback(process.end, signal.SIGTERM)
        process.start()
        assert process.running is not None
        if not emulators.wait_until_ready(process.running, port):
            raise StackFailed(f"{name}: does not answer\n{last_lines(log)}")
        self.logs.append(log)
        url = f"http://127.0.0.1:{port}/"
        for topic in function(name).listens:
            self._push(name, topic, url)
        return url

    def listen(self, topic: str) -> None:
        """Have a topic pushed to the receiver."""
        self._push(BENCH, topic, self.url)

    def _push(self, name: str, topic: str, endpoint: str) -> None:
        account = f"bench@{LOCAL_PROJECT}.iam.gserviceaccount.com"
        self.home.bus.serve(subscription_of(name, topic), topic, endpoint=endpoint, service_account=account)

    def publish(self, message: Message) -> None:
        self.home.bus.publish([message], self.home.clock.now())

    def timed(self, message: Message, topic: str, about: str) -> float:
        """Seconds from the call that publishes a message to the arrival of what comes of it."""
        time.sleep(self.random.uniform(0.0, POLL_S))  # otherwise it would keep step with the emulator
        began = time.perf_counter()
        self.publish(message)
        arrived, _ = self.receiver.first(topic, about)
        return arrived - began

    def complaints(self) -> list[str]:
        """What the functions logged as a warning or worse, and lines that are no log of ours."""
        lines = [line for log in self.logs for line in log.read_text(errors="replace").splitlines()]
        return [line for line in lines if not re.search(r'"severity": "(DEBUG|INFO|NOTICE)"', line)]


@contextmanager
def open_system(*kinds: Kind) -> Iterator[System]:
    """Raises EmulatorAbsent where one of them cannot be had."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="tipoff-bench-")))
        hosts = dict.fromkeys(emulators.VARIABLES.values(), NOWHERE)
        for kind in kinds:
            running = emulators.start(kind)
            opened.callback(running.stop)
            hosts[emulators.VARIABLES[kind]] = running.host
        environment = {
            **hosts,
            "TIPOFF_TARGET": "emulators",
            "TIPOFF_HOME": str(folder / "home"),
            "TIPOFF_COMMIT": "unknown",
            "TIPOFF_CALENDAR": "off",
            "LOG_LEVEL": "INFO",
        }
        home = wiring.open_cloud(read_settings(environment))
        opened.callback(home.close)
        for phase in NBA.phases:  # what nobody hears cannot be published
            home.bus.subscribe(f"{BENCH}-unread-{phase.start_topic}", phase.start_topic)

        def relay(delivery: Delivery) -> None:
            home.bus.publish([Message(topic=HOP, data=b"{}", attributes=delivery.attributes)], home.clock.now())

        receiver = Receiver(relay)
        yield System(
            folder=folder,
            environment=environment,
            home=home,
            service=Service(home.ports, {NBA.name: NBA}, starts_missing_runs=False),
            receiver=receiver,
            url=opened.enter_context(_heard_by(receiver)),
            opened=opened,
            random=Random(0),
        )


@contextmanager
def _heard_by(receiver: Receiver) -> Iterator[str]:
    """An address at which the receiver hears."""

    class Pushed(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keeps connections
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            at = time.perf_counter()
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.hear(read_push(dict(self.headers.items()), body), at)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Pushed) as server:
        server.daemon_threads = True
        server.block_on_close = False  # the emulator keeps its connections open
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
