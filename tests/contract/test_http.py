"""HTTP against servers on this machine that answer well, badly, endlessly, or not at all.

No test looks at a clock: a limit that did not hold would leave its test waiting for a server that never ends.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

import pytest

from shared.adapters.health import HttpHealthProbe
from shared.adapters.http import AGAIN, Answer, Http, HttpError, retry_after_s
from shared.adapters.identity import IdentityTokens, expires_at
from shared.ports import Health

ME = {"service": "raw_processor", "version": "abc1234", "config_hash": "f00d"}
ALIVE = {"status": "alive", **ME}
READY = {"status": "ready", **ME, "checks": [{"name": "state", "ok": True, "ms": 3.1, "why": ""}]}
LONG_S = 60.0  # a limit that no test reaches
SHORT_S = 0.3

Script = Callable[["Peer", socket.socket, str], None]
"""What is done with one request, given its head. The connection is kept if it returns, closed if it raises OSError."""


def answer(status: int, body: bytes | dict[str, Any] = b"", **headers: str) -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"Content-Length": str(len(content)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"HTTP/1.1 {status} Because\r\n{head}\r\n".encode() + content


def says(*answers: bytes) -> Script:
    """These in turn, the last for ever."""
    return lambda peer, connection, _: connection.sendall(answers[min(len(peer.heads), len(answers)) - 1])


def serves(health: bytes, ready: bytes) -> Script:
    return lambda _, connection, head: connection.sendall(health if head.startswith("GET /health") else ready)


def silent(peer: Peer, _: socket.socket, __: str) -> None:
    peer.over.wait()


def closes(_: Peer, __: socket.socket, ___: str) -> None:
    raise OSError


def trickles(first: bytes, again: bytes) -> Script:
    """Without end, and never so slowly that a single read would take too long."""

    def script(peer: Peer, connection: socket.socket, _: str) -> None:
        connection.sendall(first)
        while not peer.over.wait(SHORT_S / 10):
            connection.sendall(again)

    return script


@dataclass
class Peer:
    """A server that follows a script, each connection on its own thread."""

    script: Script
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    sent: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def accept(self, listening: socket.socket) -> None:
        with suppress(OSError):  # it was closed
            while True:
                connection, _ = listening.accept()
                self.connections += 1
                threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as received:
            while head := b"".join(takewhile(lambda line: line not in (b"\r\n", b""), received)).decode():
                self.heads.append(head)
                length = next((int(line[16:]) for line in head.split("\r\n") if line.startswith("Content-Length: ")), 0)
                self.bodies.append(received.read(length))
                self.script(self, connection, head)


@contextmanager
def serving(script: Script) -> Iterator[Peer]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        peer = Peer(script, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        accepting = threading.Thread(target=peer.accept, args=(listening,), daemon=True)
        accepting.start()
        try:
            yield peer
        finally:
            peer.over.set()
            listening.shutdown(socket.SHUT_RDWR)
            accepting.join()


@pytest.fixture
def http() -> Iterator[Http]:
    """Waits between tries take no time."""
    opened = Http(again=replace(AGAIN, sleep=lambda _: None))
    yield opened
    opened.close()


def probe(script: Script, *, within_s: float = LONG_S) -> Health:
    http = Http()
    try:
        with serving(script) as peer:
            return HttpHealthProbe(http).probe(peer.url, within_s=within_s)
    finally:
        http.close()


def unused_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- health -----------------------------------------------------------------------------------------------


def test_a_service_that_is_alive_and_ready() -> None:
    assert probe(serves(answer(200, ALIVE), answer(200, READY))) == Health(alive=True, ready=True, **ME)


def test_a_service_that_is_alive_and_not_ready_says_which_check_fails() -> None:
    checks = [{"name": "state", "ok": True}, {"name": "bus", "ok": False, "why": "no answer in 1 s"}]
    found = probe(serves(answer(200, ALIVE), answer(503, {"status": "not_ready", **ME, "checks": checks})))
    assert found == Health(alive=True, ready=False, **ME, why="not ready: bus: no answer in 1 s")


OWN = {"name": "state", "ok": False, "of": "revision", "why": "no answer in 1 s"}
COMMON = {"name": "heartbeat", "ok": False, "of": "installation", "why": "none for 9 minutes"}


@pytest.mark.parametrize(
    ("checks", "blameless"),
    [
        pytest.param([COMMON, {"name": "state", "ok": True}], True, id="what fails is the installation's"),
        pytest.param([COMMON, OWN], False, id="and something of its own"),
        pytest.param([OWN], False, id="its own alone"),
        pytest.param([{"name": "bus", "ok": False}], False, id="an older service does not say whose"),
        pytest.param([COMMON, 7], False, id="something that is no check"),
        pytest.param([{**COMMON, "ok": True}], False, id="it does not say why"),
        pytest.param([], False, id="no check"),
        pytest.param(None, False, id="no checks"),
    ],
)
def test_a_service_is_blameless_where_all_that_fails_would_fail_for_any_revision(
    checks: object, blameless: bool
) -> None:
    found = probe(serves(answer(200, ALIVE), answer(503, {"status": "not_ready", **ME, "checks": checks})))
    assert (found.alive, found.ready, found.blameless) == (True, False, blameless)
    assert found.why.startswith("not ready: ")


def test_many_failed_checks_are_counted_not_listed() -> None:
    checks = [{"name": f"c{number}", "ok": False, "why": "x"} for number in range(9)]
    found = probe(serves(answer(200, ALIVE), answer(503, {"status": "not_ready", **ME, "checks": checks})))
    assert found.why == "not ready: c0: x; c1: x; c2: x; c3: x; c4: x; 4 more"


@pytest.mark.parametrize(
    "checks", [None, 7, "state", [None, 3, ["x"]], [], [{"ok": True}]], ids=["none", "7", "text", "odd", "empty", "ok"]
)
def test_not_ready_without_a_reason_is_not_ready(checks: object) -> None:
    found = probe(serves(answer(200, ALIVE), answer(503, {"status": "not_ready", **ME, "checks": checks})))
    assert (found.alive, found.ready, found.why) == (True, False, "not ready: it does not say why")


def test_another_service_at_the_address_says_so_itself() -> None:
    other = {**ME, "service": "export_processor"}
    found = probe(serves(answer(200, {"status": "alive", **other}), answer(200, {"status": "ready", **other})))
    assert found.service == "export_processor"


def test_two_versions_that_answer_in_turn_are_not_ready() -> None:
    found = probe(serves(answer(200, ALIVE), answer(200, {**READY, "version": "def5678"})))
    assert (found.alive, found.ready) == (True, False)
    assert found.why == "/health and /ready differ in version; ask again"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        pytest.param(says(answer(500, b"Traceback ...")), "answered 500; look at that service's log", id="500"),
        pytest.param(says(answer(404)), "answered 404; look at the address", id="404"),
        pytest.param(says(answer(403)), "answered 403; grant this identity roles/run.invoker on it", id="403"),
        pytest.param(says(answer(503, {"status": "not_ready", **ME})), "answered 503", id="503 is no health"),
        pytest.param(says(answer(200, b"<html>")), "not as a service of Tipoff does", id="not JSON"),
        pytest.param(says(answer(200, b"\xff\xfe\x00")), "not as a service of Tipoff does", id="not text"),
        pytest.param(says(answer(200, b"[" * 60_000)), "not as a service of Tipoff does", id="too deep to be read"),
        pytest.param(says(answer(200, b"[]")), "not as a service of Tipoff does", id="not an object"),
        pytest.param(says(answer(200, {"status": "alive"})), "not as a service of Tipoff does", id="no identity"),
        pytest.param(says(answer(200, {**ALIVE, "version": 3})), "not as a service of Tipoff does", id="odd version"),
        pytest.param(says(answer(200, {**ALIVE, "status": "ready"})), "not as a service of Tipoff", id="odd status"),
        pytest.param(says(answer(200, ALIVE, Content_Encoding="gzip")), "compressed", id="compressed"),
        pytest.param(says(answer(302, Location="http://127.0.0.1:1/health")), "points elsewhere", id="redirect"),
        pytest.param(says(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{}"), "no whole answer", id="half an answer"),
        pytest.param(says(b"SSH-2.0-OpenSSH\r\n\r\n"), "broke off", id="not HTTP"),
        pytest.param(closes, "broke off", id="closes the connection"),
    ],
)
def test_what_is_no_health_is_not_alive_and_says_why(script: Script, told: str) -> None:
    found = probe(script, within_s=SHORT_S if told == "no whole answer" else LONG_S)
    assert (found.alive, found.ready, found.service) == (False, False, "")
    assert found.why.startswith("GET 127.0.0.1:")
    assert "/health: " in found.why
    assert told in found.why


@pytest.mark.parametrize(
    ("ready", "told"),
    [
        pytest.param(answer(500), "/ready: answered 500", id="500"),
        pytest.param(answer(404), "/ready: answered 404", id="an older service has none"),
        pytest.param(answer(200, {**READY, "status": "not_ready"}), "not as a service of Tipoff", id="200 contradicts"),
        pytest.param(answer(503, READY), "not as a service of Tipoff", id="503 contradicts"),
    ],
)
def test_alive_but_no_readiness_is_not_ready_and_says_why(ready: bytes, told: str) -> None:
    found = probe(serves(answer(200, ALIVE), ready))
    assert (found.alive, found.ready, found.service) == (True, False, "raw_processor")
    assert told in found.why


def test_a_service_that_is_not_there_is_not_alive() -> None:
    found = HttpHealthProbe(Http()).probe(unused_url(), within_s=LONG_S)
    assert not found.alive
    assert "Connection refused; look whether it is up" in found.why


@pytest.mark.parametrize("url", ["", "raw", "ftp://x/y", "http://", "http://[", "http://h:port/", "http://a b/", "\0"])
def test_an_address_that_is_none_is_not_alive(url: str) -> None:
    found = HttpHealthProbe(Http()).probe(url, within_s=SHORT_S)
    assert not found.alive
    assert found.why


def test_without_time_nothing_is_asked() -> None:
    with serving(silent) as peer:
        found = HttpHealthProbe(Http()).probe(peer.url, within_s=0)
        assert (found.alive, peer.connections) == (False, 0)
    assert "no time is left" in found.why


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(silent, id="never answers"),
        pytest.param(trickles(b"", b"H"), id="trickles its status"),
        pytest.param(trickles(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), id="trickles headers"),
        pytest.param(trickles(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), id="promises for ever"),
        pytest.param(trickles(answer(200, b"{", Content_Length="60000"), b" "), id="trickles its body"),
        pytest.param(trickles(b"HTTP/1.1 200 OK\r\n\r\n{", b" "), id="trickles a body that has no end"),
        pytest.param(trickles(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"), id="in chunks"),
    ],
)
def test_a_probe_ends_in_time_however_the_bytes_come(script: Script) -> None:
    found = probe(script, within_s=SHORT_S)
    assert not found.alive
    assert f"no whole answer within {SHORT_S:g} s" in found.why


def test_both_answers_together_have_the_probes_time() -> None:
    def script(peer: Peer, connection: socket.socket, head: str) -> None:
        if head.startswith("GET /health"):
            return connection.sendall(answer(200, ALIVE))
        return silent(peer, connection, head)

    found = probe(script, within_s=1.0)
    assert not found.ready
    assert "no whole answer within" in found.why  # mostly /ready's; on a very busy machine /health's


def flood(opening: bytes, body: bytes, times: int) -> Script:
    def script(peer: Peer, connection: socket.socket, _: str) -> None:
        connection.sendall(opening)
        for _ in range(times):
            connection.sendall(body)
            peer.sent += len(body)

    return script


MB = b" " * 1_000_000


@pytest.mark.parametrize(
    "opening",
    [
        pytest.param(b"Content-Length: 50000000\r\n\r\n", id="of a known size"),
        pytest.param(b"\r\n", id="of no known size"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\n2FAF080\r\n", id="in one chunk"),
    ],
)
def test_a_body_of_50_mb_is_not_read(opening: bytes) -> None:
    http = Http()
    with serving(flood(b"HTTP/1.1 200 OK\r\n" + opening, MB, 50)) as peer:
        found = HttpHealthProbe(http).probe(peer.url, within_s=LONG_S)
        assert not found.alive
        assert "more than 65536 bytes" in found.why
        assert peer.sent < 20_000_000  # what the buffers of two sockets hold
    http.close()


def test_a_line_without_end_is_not_read_for_ever() -> None:
    """The length of a chunk, say, which no limit of a body holds for."""
    opening = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    http = Http()
    with serving(flood(opening, b"0" * 1_000_000, 1_000)) as peer:
        found = HttpHealthProbe(http).probe(peer.url, within_s=LONG_S)
        assert "the connection broke off" in found.why
        assert peer.sent < 100_000_000
    http.close()


def test_a_service_that_works_for_no_declared_pipeline_is_well_without_a_configuration() -> None:
    said = {**ME, "config_hash": ""}
    found = probe(serves(answer(200, {**ALIVE, **said}), answer(200, {**READY, **said})))
    assert found == Health(alive=True, ready=True, service=ME["service"], version=ME["version"])


def test_hostile_texts_are_cut_and_printable() -> None:
    hostile = "\x1b[2J\r\n\0\u202e\ud800" + "A" * 1_000
    said = {"service": hostile, "version": hostile, "config_hash": hostile}
    checks = [{"name": hostile, "ok": False, "why": hostile}] * 20
    found = probe(
        serves(answer(200, {"status": "alive", **said}), answer(503, {"status": "not_ready", **said, "checks": checks}))
    )
    assert found.alive
    for text, most in ((found.service, 200), (found.version, 200), (found.config_hash, 200), (found.why, 2_100)):
        assert text.isprintable()
        assert "AAAA" in text
        assert len(text) <= most


# --- calls ------------------------------------------------------------------------------------------------


def test_connections_are_kept_and_shared(http: Http) -> None:
    with serving(says(answer(200, b"x"))) as peer:
        for _ in range(20):
            assert http.call("GET", peer.url) == Answer(status=200, body=b"x")
        assert (len(peer.heads), peer.connections) == (20, 1)


def test_no_more_connections_than_callers(http: Http) -> None:
    with serving(says(answer(200, b"x"))) as peer:
        callers = [threading.Thread(target=lambda: [http.call("GET", peer.url) for _ in range(25)]) for _ in range(8)]
        for each in callers:
            each.start()
        for each in callers:
            each.join()
        assert len(peer.heads) == 200
        assert peer.connections <= 8


def test_what_is_sent_arrives_whole(http: Http) -> None:
    with serving(says(answer(200))) as peer:
        http.call("POST", f"{peer.url}/a/b?c=d", body=b'{"a": 1}')
        assert peer.heads[0].startswith("POST /a/b?c=d HTTP/1.1\r\n")
        assert "Content-Type: application/json\r\n" in peer.heads[0]
        assert peer.bodies == [b'{"a": 1}']


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_idempotent_verb_is_tried_again(http: Http, method: str, status: int) -> None:
    with serving(says(answer(status), answer(status), answer(204, b""))) as peer:
        assert http.call(method, peer.url).status == 204
        assert len(peer.heads) == 3


def test_an_idempotent_verb_is_tried_again_where_the_connection_broke(http: Http) -> None:
    tries = iter(range(9))

    def script(peer: Peer, connection: socket.socket, head: str) -> None:
        if next(tries) < 2:
            raise OSError
        connection.sendall(answer(200, b"done"))

    with serving(script) as peer:
        assert http.call("GET", peer.url).body == b"done"
        assert peer.connections == 3


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("script", [says(answer(503), answer(200)), closes], ids=["503", "closes"])
def test_another_verb_is_tried_once(http: Http, method: str, script: Script) -> None:
    with serving(script) as peer:
        with pytest.raises(HttpError):
            http.call(method, peer.url, body=b"x")
        assert len(peer.heads) == 1


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422])
def test_what_does_not_pass_is_tried_once(http: Http, status: int) -> None:
    with serving(says(answer(status), answer(200))) as peer:
        with pytest.raises(HttpError) as caught:
            http.call("GET", peer.url)
        assert (caught.value.status, caught.value.passes, len(peer.heads)) == (status, False, 1)


def test_tries_end_in_time_with_the_last_error() -> None:
    with serving(says(answer(500), answer(503))) as peer:
        http = Http()
        with pytest.raises(HttpError) as caught:
            http.call("GET", peer.url, within_s=SHORT_S)
        http.close()
        assert caught.value.passes


def test_a_servers_wish_to_wait_is_heard() -> None:
    slept: list[float] = []
    http = Http(again=replace(AGAIN, sleep=slept.append))
    with serving(says(answer(503, Retry_After="3"), answer(200))) as peer:
        assert http.call("GET", peer.url).status == 200
    http.close()
    assert len(slept) == 1
    assert 3.0 <= slept[0] <= 3.1


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("", None),
        ("9" * 500, float("9" * 40)),
        ("Sat, 99 Nov 99999999999999999 12:00:00 GMT", None),
    ],
)
def test_a_wish_to_wait_is_seconds_or_a_date(said: str, seconds: float | None) -> None:
    noon = 1_795_262_400.0  # 2026-11-21 12:00 UTC
    assert retry_after_s({"Retry-After": said}, noon) == seconds


def test_no_redirect_is_followed(http: Http) -> None:
    with serving(says(answer(200, b"secret"))) as other:
        with serving(says(answer(302, Location=f"{other.url}/x"))) as peer, pytest.raises(HttpError) as caught:
            http.call("GET", peer.url)
        assert other.connections == 0
    assert "points elsewhere" in str(caught.value)


def test_no_cookie_is_kept(http: Http) -> None:
    with serving(says(answer(200, Set_Cookie="who=me; Path=/"))) as peer:
        http.call("GET", peer.url)
        http.call("GET", peer.url)
        assert not [head for head in peer.heads if "cookie" in head.lower()]


def test_the_environment_has_no_say(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    with serving(says(answer(200, b"direct"))) as peer:
        assert http.call("GET", peer.url).body == b"direct"


SECRET = "s3cr3t"  # noqa: S105 - nobody's


@pytest.mark.parametrize(
    "script",
    [
        says(answer(500, SECRET.encode())),
        says(answer(302, Location=f"http://127.0.0.1/?token={SECRET}")),
        says(answer(200, f"{SECRET:<2000}".encode())),
        closes,
        trickles(b"", b"H"),
        says(b"HTTP/1.1 200 OK\r\n" + SECRET.encode() + b": x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ],
    ids=["status", "redirect", "large", "closed", "slow", "broken"],
)
def test_an_error_names_method_host_and_path_and_nothing_that_is_secret(http: Http, script: Script) -> None:
    with serving(script) as peer:
        with pytest.raises(HttpError) as caught:
            http.call("GET", f"{peer.url}/a/b?token={SECRET}", within_s=SHORT_S, bytes_max=1_000)
        assert str(caught.value).startswith(f"GET {peer.url.removeprefix('http://')}/a/b: ")
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        assert isinstance(error, HttpError)  # what the library raised hangs on none of them
        error = error.__cause__ or error.__context__


def test_an_address_with_a_password_is_refused_without_naming_it(http: Http) -> None:
    with pytest.raises(HttpError, match="leave them out") as caught:
        http.call("GET", f"https://me:{SECRET}@127.0.0.1/")
    assert SECRET not in str(caught.value)


def test_an_unknown_host_is_said(http: Http) -> None:
    with pytest.raises(HttpError, match=r"GET nowhere\.invalid/: its name is not known"):
        http.call("GET", "http://nowhere.invalid/", within_s=SHORT_S)


# --- identity ---------------------------------------------------------------------------------------------


class Fetch:
    """Gives one token for any audience, and says for which it was asked."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.asked: list[str] = []

    def __call__(self, audience: str) -> str:
        self.asked.append(audience)
        return self.token


def token(expires: float) -> str:
    said = base64.urlsafe_b64encode(json.dumps({"exp": expires, "aud": "x"}).encode()).decode().rstrip("=")
    return f"head.{said}.signature"


def test_a_token_is_kept_until_shortly_before_its_end() -> None:
    now = [1_000.0]
    fetched: list[str] = []

    def fetch(audience: str) -> str:
        fetched.append(audience)
        return token(now[0] + 3_600)

    tokens = IdentityTokens(fetch=fetch, now=lambda: now[0])
    first = tokens("https://a")
    now[0] += 3_299
    assert tokens("https://a") == first
    assert tokens("https://b") != first
    assert fetched == ["https://a", "https://b"]
    now[0] += 1
    assert tokens("https://a") != first
    assert fetched == ["https://a", "https://b", "https://a"]


@pytest.mark.parametrize("odd", ["", "abc", "a.b.c", "a.e30.c", "a.W10.c", token(0).replace("0", "")], ids=repr)
def test_a_token_that_says_no_end_is_not_kept(odd: str) -> None:
    fetch = Fetch(odd)
    tokens = IdentityTokens(fetch=fetch, now=lambda: 1_000.0)
    assert tokens("https://a") == tokens("https://a") == odd
    assert len(fetch.asked) == 2


def test_the_end_of_a_token_is_read_from_it() -> None:
    assert expires_at(token(1_800_000_000)) == 1_800_000_000


def test_a_token_never_goes_to_this_machine_nor_in_clear_text() -> None:
    fetch = Fetch(SECRET)
    http = Http(token_for=fetch)
    with serving(says(answer(200))) as peer:
        http.call("GET", peer.url, identified=True)
        assert not [head for head in peer.heads if "authorization" in head.lower()]
    for url in ("https://127.0.0.1:1/", "https://localhost:1/", "https://[::1]:1/", "http://nowhere.invalid/"):
        with pytest.raises(HttpError):
            http.call("POST", url, identified=True, within_s=SHORT_S)
    assert fetch.asked == []
    http.close()


def test_a_token_is_for_the_service_and_only_where_it_is_wanted() -> None:
    fetch = Fetch(SECRET)
    http = Http(token_for=fetch)
    for identified in (False, True):
        with pytest.raises(HttpError):
            http.call("POST", "https://raw.invalid/a/b?c=d", identified=identified, within_s=SHORT_S)
    assert fetch.asked == ["https://raw.invalid"]
    http.close()


def test_a_token_that_is_not_had_is_the_probes_answer() -> None:
    def refused(audience: str) -> str:
        raise HttpError(f"identity token for {audience}: none")

    http = Http(token_for=refused)
    assert HttpHealthProbe(http).probe("https://raw.invalid", within_s=SHORT_S) == Health(
        alive=False, why="identity token for https://raw.invalid: none"
    )
    http.close()
