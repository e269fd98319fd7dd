"""How requests are sent: over TLS, through proxies, on connections that stay open."""

import contextlib
import socket
import threading

import botocore.session
import pytest

import wrenlite
from benchmarks.aws import stub
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import Transport, UntrustedCertificate


class ConnectProxy:
    """An HTTP proxy that tunnels connections, and records the requests for them."""

    def __init__(self):
        self.requested = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self._server.close()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._server.accept()
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
