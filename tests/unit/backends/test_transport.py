"""Requests as they leave: through proxies, over TLS, with the connection's own settings."""

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
    """An HTTP proxy that tunnels, and remembers to where."""

    def __init__(self):
        self.asked = []
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
                where = head.split()[1].decode()
                self.asked.append((head.split()[0].decode(), where))
                host, _, port = where.rpartition(":")
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
    """A server for TLS with a certificate that only AWS_CA_BUNDLE vouches for."""
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
        proxy.asked.clear()  # what was asked of the function's settings went through botocore
        assert executor.map(nothing, range(3), chunksize=1).results(timeout=30) == [None] * 3
    proxy.close()
    host = tls.removeprefix("https://")
    assert ("CONNECT", host) in proxy.asked
    assert len(proxy.asked) <= 2, "connections to Lambda and to S3 stay open"


def test_a_certificate_that_nobody_vouches_for_is_refused(tls, monkeypatch):
    monkeypatch.delenv("AWS_CA_BUNDLE")
    transport = Transport(AwsSession(botocore.session.Session), "lambda", "us-east-1", tls)
    with pytest.raises(UntrustedCertificate, match="CERTIFICATE_VERIFY_FAILED"):
        transport.post("/", b"{}", {}, 5.0)
