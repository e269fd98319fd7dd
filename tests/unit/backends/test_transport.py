"""How requests are signed and sent, over TLS and through proxies, and how responses are read."""

import contextlib
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading

import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials

import wrenlite
from benchmarks.aws import stub
from tests.machine import in_ci, skip_if_missing
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import (
    ConnectionTimeouts,
    RequestNotSent,
    ResponseLost,
    Transport,
    UntrustedCertificate,
)


class LoopbackServer:
    """A server on loopback that takes connections one after the other."""

    def __init__(self):
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._server.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                self._take(self._server.accept()[0])


class ConnectProxy(LoopbackServer):
    """An HTTP proxy that tunnels connections, and records the requests for them."""

    def __init__(self):
        self.requested = []
        super().__init__()

    def _take(self, client):
        head = client.recv(4096)
        address = head.split()[1].decode()
        self.requested.append((head.split()[0].decode(), address))
        host, _, port = address.rpartition(":")
        target = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        for pair in ((client, target), (target, client)):
            threading.Thread(target=self._copy, args=pair, daemon=True).start()

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                target.sendall(data)


@pytest.fixture
def tls(monkeypatch):
    """A TLS server whose certificate only AWS_CA_BUNDLE makes trusted; gives its URL."""
    with stub() as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        yield env["AWS_ENDPOINT_URL"]


def nothing(_):
    return None


def test_a_map_over_tls_with_a_bundle_of_certificates(tls):
    with wrenlite.Executor.aws(max_concurrency=2, progress=False) as executor:
        assert executor.map(nothing, range(3), chunksize=1).results(timeout=30) == [None] * 3


def test_requests_go_through_the_proxy_that_the_environment_names(tls, monkeypatch):
    proxy = ConnectProxy()
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with wrenlite.Executor.aws(max_concurrency=1, progress=False) as executor:
        proxy.requested.clear()  # drops the requests for the function's settings, which botocore sent
        assert executor.map(nothing, range(3), chunksize=1).results(timeout=30) == [None] * 3
    proxy.close()
    host = tls.removeprefix("https://")
    assert ("CONNECT", host) in proxy.requested
    assert len(proxy.requested) <= 3, "one to Lambda, which stays open; function and modules go to S3 at once"


def test_an_untrusted_certificate_is_refused(tls, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE")
    transport = Transport(AwsSession(botocore.session.Session), "lambda", "us-east-1", tls)
    with pytest.raises(UntrustedCertificate, match="CERTIFICATE_VERIFY_FAILED"):
        transport.post("/", b"{}", {}, 5.0)


class ScriptedServer(LoopbackServer):
    """A server that sends prepared answers, in pieces, and records the requests.

    After an answer that ends with CLOSE, it closes the connection.
    """

    CLOSE = b"CLOSE"
    pieces = 20

    def __init__(self):
        self.clients = queue.SimpleQueue()
        self.answers = []
        self.requests = []  # the first line, the headers and the body of each
        self.connections = 0
        super().__init__()

    def _take(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        self.clients.put(client)
        threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client):
        with contextlib.suppress(OSError), client, client.makefile("rb") as reader:
            while head := self._head(reader):
                lines = [line.decode().rstrip().partition(": ") for line in head[1:]]
                headers = {name.lower(): value for name, _, value in lines}
                body = reader.read(int(headers["content-length"]))
                self.requests.append((head[0], headers, body))
                answer = self.answers.pop(0)
                text = answer.removesuffix(self.CLOSE)
                size = len(text) // self.pieces + 1
                for start in range(0, len(text), size):
                    client.sendall(text[start : start + size])
                if answer != text:
                    return

    @staticmethod
    def _head(reader):
        """Return the lines of a request before the empty one; none if the connection ends."""
        lines = []
        while (line := reader.readline()) != b"\r\n":
            if not line:
                return []
            lines.append(line)
        return lines


@pytest.fixture
def server():
    server = ScriptedServer()
    yield server
    server.close()


CREDENTIALS = ReadOnlyCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None)


def session_with(monkeypatch, credentials):
    """Return a session that finds these credentials in the environment, and keeps them."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    for name, value in zip(names, credentials, strict=False):
        monkeypatch.setenv(name, value or "")
    session = AwsSession(botocore.session.Session)
    session.credentials()
    return session


@pytest.fixture(scope="module")
def session():
    with pytest.MonkeyPatch.context() as monkeypatch:
        return session_with(monkeypatch, CREDENTIALS)


@pytest.fixture
def transport(server, session):
    transport = Transport(session, "lambda", "us-east-1", server.url)
    yield transport
    transport.close()


DONE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone"


def botocore_signature(url, first_line, headers, body, credentials):
    """Return the header that botocore signs a request with, for the headers that are signed already."""
    path = first_line.split()[1].decode()
    listed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest("POST", f"{url}{path}", {name: headers[name] for name in listed}, body)
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(credentials, "lambda", "us-east-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    return request.headers["Authorization"]


@pytest.mark.parametrize("path", ["/", "/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af~_.-/x"])
@pytest.mark.parametrize("body", [b"", b"{}", bytes(range(256)) * 1000])
def test_requests_are_signed_as_botocore_signs_them(server, transport, path, body):
    server.answers = [DONE]
    transport.post(path, body, {"x-amz-log-type": "Tail"}, 5.0)
    [(first_line, headers, received)] = server.requests
    assert headers["authorization"] == botocore_signature(server.url, first_line, headers, body, CREDENTIALS)
    assert received == body
    assert headers["x-amz-log-type"] == "Tail"
    assert "x-amz-security-token" not in headers


def test_other_credentials_sign_the_next_request(server, transport, monkeypatch):
    server.answers = [DONE, DONE]
    transport.post("/", b"{}", {}, 5.0)
    others = CREDENTIALS._replace(secret_key="another", token="a/token+==")
    other_transport = Transport(session_with(monkeypatch, others), "lambda", "us-east-1", server.url)
    other_transport.post("/", b"{}", {}, 5.0)
    other_transport.close()
    first_line, headers, body = server.requests[1]
    assert headers["authorization"] == botocore_signature(server.url, first_line, headers, body, others)
    assert headers["x-amz-security-token"] == "a/token+=="


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\ndon\r\n01;x=y\r\ne\r\n0\r\n\r\n"
RESPONSES = {
    "with a length": (DONE, b"done", True),
    "without a reason": (DONE.replace(b" OK", b""), b"done", True),
    "of zero length": (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", b"", True),
    "large": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100_000, b"x" * 100_000, True),
    "in chunks": (CHUNKED, b"done", True),
    "in chunks, with a trailer": (CHUNKED[:-2] + b"Expires: 0\r\n\r\n", b"done", True),
    "after others that announce it": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 X\r\nA: b\r\n\r\n" + DONE,
        b"done",
        True,
    ),
    "that ends with its connection": (b"HTTP/1.1 200 OK\r\n\r\ndone" + ScriptedServer.CLOSE, b"done", False),
    "of HTTP/1.0": (DONE.replace(b"1.1", b"1.0"), b"done", False),
    "that closes its connection": (DONE.replace(b"OK\r\n", b"OK\r\nConnection: Close\r\n"), b"done", False),
}


@pytest.mark.parametrize(("answer", "body", "stays_open"), RESPONSES.values(), ids=RESPONSES)
def test_a_response(server, transport, answer, body, stays_open):
    server.answers = [answer, DONE]
    response = transport.post("/", b"{}", {}, 5.0)
    assert (response.status, response.body) == (200, body)
    assert transport.post("/", b"{}", {}, 5.0).body == b"done"
    assert server.connections == (1 if stays_open else 2)


def test_bytes_behind_a_response_are_not_taken_for_the_next_one(server, transport):
    server.pieces = 1
    server.answers = [DONE + DONE.replace(b"done", b"evil"), DONE]
    assert transport.post("/", b"{}", {}, 5.0).body == b"done"
    assert transport.post("/", b"{}", {}, 5.0).body == b"done"
    assert server.connections == 2


def test_a_response_without_a_body(server, transport):
    server.answers = [b"HTTP/1.1 204 No Content\r\n\r\n", DONE]
    assert transport.post("/", b"{}", {}, 5.0)[::2] == (204, b"")
    assert transport.post("/", b"{}", {}, 5.0).body == b"done"
    assert server.connections == 1


def test_names_of_headers_are_in_lower_case_and_the_first_of_a_name_counts(server, transport):
    headers = b"X-Amz-Log-Result:  a: b \r\nx-amz-log-result: c\r\nContent-Length: 0\r\n\r\n"
    server.answers = [b"HTTP/1.1 429 Too Many Requests\r\n" + headers]
    response = transport.post("/", b"{}", {}, 5.0)
    assert response.status == 429
    assert response.headers == {"x-amz-log-result": "a: b", "content-length": "0"}


LOST = {
    "closed at once": (b"", "closed the connection before"),
    "cut in its head": (DONE[:20], "closed the connection before"),
    "cut in its body": (DONE[:-1], "closed the connection before"),
    "cut in its chunks": (CHUNKED[:-2], "closed the connection before"),
    "of another protocol": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "no response of HTTP/1.1: SSH-2.0"),
    "with a length that is no number": (DONE.replace(b" 4", b" four"), "is no number: four"),
    "with a length below zero": (DONE.replace(b" 4", b" -4"), "is no number: -4"),
    "with chunks without a length": (CHUNKED.replace(b"3\r", b"don\r"), "is no number: don"),
    "with an endless head": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "does not end"),
}


@pytest.mark.parametrize(("answer", "message"), LOST.values(), ids=LOST)
def test_a_response_that_is_lost(server, transport, answer, message):
    server.answers = [answer + ScriptedServer.CLOSE, DONE]
    with pytest.raises(ResponseLost, match=message):
        transport.post("/", b"{}", {}, 5.0)
    assert transport.post("/", b"{}", {}, 5.0).body == b"done"


class Closing(bytes):
    """The body of a request. Just before it is sent for the first time, the server closes its connection."""

    server = None

    def __radd__(self, head):
        if self.server is not None:
            self.server.clients.get(timeout=30).shutdown(socket.SHUT_RDWR)
            self.server = None
        return head + bytes(self)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say what arrived")
def test_a_request_that_meets_a_closed_connection_is_sent_again_at_once(server, transport):
    server.answers = [DONE, DONE]
    assert transport.post("/", b"first", {}, 5.0).body == b"done"
    body = Closing(b"second")
    body.server = server
    assert transport.post("/", body, {}, 5.0).body == b"done"
    assert [received for _, _, received in server.requests] == [b"first", b"second"]
    assert server.connections == 2


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not say what arrived")
def test_a_request_that_meets_a_server_that_closes_each_connection_is_known_not_to_have_arrived(
    server, transport
):
    body = Closing(b"{}")
    body.server = server
    with pytest.raises(RequestNotSent):
        transport.post("/", body, {}, 5.0)
    assert server.requests == []


def test_a_name_is_looked_up_once_and_its_addresses_take_turns(server, session):
    other = ScriptedServer()
    servers = (server, other)
    asked = []

    def resolve(host, port, *_):
        asked.append((host, port))
        places = [("127.0.0.1", int(each.url.rpartition(":")[2])) for each in servers]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]

    timeouts = ConnectionTimeouts(idle_s=-1.0)  # each request has a connection of its own
    transport = Transport(session, "lambda", "us-east-1", "http://lambda.example:1", timeouts, resolve)
    for each in servers:
        each.answers = [DONE] * 2
    for _ in range(4):
        assert transport.post("/", b"{}", {}, 5.0).body == b"done"
    transport.close()
    other.close()
    assert asked == [("lambda.example", 1)]
    assert [each.connections for each in servers] == [2, 2]
    assert {headers["host"] for _, headers, _ in server.requests} == {"lambda.example:1"}


def test_a_connection_that_was_idle_for_long_is_not_used_again(server, session):
    transport = Transport(session, "lambda", "us-east-1", server.url, ConnectionTimeouts(idle_s=0.0))
    server.answers = [DONE, DONE]
    for _ in range(2):
        assert transport.post("/", b"{}", {}, 5.0).body == b"done"
    transport.close()
    assert server.connections == 2


NETWORK_THAT_IS_GONE = """
import fcntl, socket, struct, time
import botocore.session
from tests.unit.backends.test_transport import DONE, ScriptedServer
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import ConnectionTimeouts, ResponseLost, Transport

def switch(on):
    with socket.socket() as anything:  # netdevice(7)
        fcntl.ioctl(anything, 0x8914, struct.pack("16sh14x", b"lo", 1 if on else 0))

switch(True)
server = ScriptedServer()
server.answers = [DONE]
timeouts = ConnectionTimeouts(unacknowledged_s=1.0)
transport = Transport(AwsSession(botocore.session.Session), "lambda", "us-east-1", server.url, timeouts)
assert transport.post("/", b"{}", {}, 60.0).body == b"done"
switch(False)
start = time.monotonic()
try:
    transport.post("/", b"{}", {}, 60.0)
except ResponseLost as error:
    print("lost", error, time.monotonic() - start < 30.0)
"""


def test_a_network_that_no_longer_answers_is_noticed():
    skip_if_missing([name for name in ("unshare",) if not shutil.which(name)])
    command = ["unshare", "--net", "--map-root-user", sys.executable, "-c", NETWORK_THAT_IS_GONE]
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env={**os.environ, **keys})
    if "unshare" in ran.stderr and not in_ci():
        pytest.skip("this user may not make a network of their own")
    assert ran.stdout.split() == ["lost", "[Errno", "110]", "Connection", "timed", "out", "True"], ran.stderr


def test_a_response_that_does_not_come_in_time_is_lost(server, transport):
    server.answers = [b"HTTP/1.1 100 Continue\r\n\r\n", DONE]
    with pytest.raises(ResponseLost, match="timed out"):
        transport.post("/", b"{}", {}, 0.1)
