"""Signed HTTP requests to one AWS service, over connections that stay open, without a hidden retry.

botocore's signer over the standard library's HTTP. botocore's client would run a function again after a
read time-out; and neither it nor urllib3 tells a request that was not sent as a whole, which can be sent
again, from one whose answer was lost, which may have run. Proxies and certificates are those that botocore
would take.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import select
import socket
import ssl
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from wrenlite.backends.aws.session import AwsSession

_CONNECT_S = 10.0
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds of silence before a connection is probed, seconds between probes, and unanswered ones at most.
NAT gateways drop connections after 350 s of silence, and a task may be silent for 900."""


class Answer(NamedTuple):
    """What the service said."""

    status: int
    headers: Message
    """Asked for by name, in any case."""
    body: bytes


class Unsent(Exception):
    """The request did not reach the service as a whole."""


class Untrusted(Unsent):
    """The other side has no certificate that this one trusts."""


class Broken(Exception):
    """The connection broke after the request was sent: nobody knows what became of it."""


class Transport:
    """Requests to one service of one region, from any thread."""

    def __init__(self, login: AwsSession, service: str, region: str, url: str) -> None:
        """Args:
        login: whose credentials sign the requests.
        service: as the signature says it, such as ``lambda``.
        region: of the service.
        url: where it is, without a path.
        """
        from botocore.utils import get_environ_proxies

        self._login = login
        self._service = service
        self._region = region
        self._url = url.rstrip("/")
        where = urlsplit(self._url)
        assert where.hostname is not None
        self._host, self._port = where.hostname, where.port
        self._context: ssl.SSLContext | None = None
        self._proxy: str | None = None
        if where.scheme == "https":
            bundle = login.session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
            self._context = _trusting(bundle)  # one for all connections: a new one costs 16 ms
            self._proxy = get_environ_proxies(self._url).get("https")
        self._idle: list[http.client.HTTPConnection] = []  # the one used last is taken first
        self._closed = False

    def post(self, path: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send one request and wait for its answer.

        Args:
            path: what to ask for.
            data: the body.
            headers: further ones.
            timeout_s: seconds of silence after which the connection counts as broken.

        Raises Unsent, Untrusted, Broken and CredentialsError.
        """
        signed = self._sign(path, data, headers)
        connection = self._take()
        try:
            if connection.sock is None:
                self._connect(connection)
            connection.sock.settimeout(timeout_s)
            connection.request("POST", path, data, signed)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            raise (Untrusted if untrusted else Unsent)(str(error) or type(error).__name__) from error
        try:
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Broken(str(error) or type(error).__name__) from error
        if self._closed or response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        return Answer(response.status, response.headers, body)

    def close(self) -> None:
        """Close the connections that are not in use; those in use are closed after it."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _sign(self, path: str, data: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with AWS's signature, version 4."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        digest = hashlib.sha256(data).hexdigest()
        fixed = {"Content-Length": str(len(data)), "X-Amz-Content-SHA256": digest, **headers}
        request = AWSRequest("POST", f"{self._url}{path}", fixed, data)
        SigV4Auth(self._login.credentials(), self._service, self._region).add_auth(request)
        return dict(request.headers.items())

    def _take(self) -> http.client.HTTPConnection:
        """A connection that is open, as far as can be seen, or a new one that is not yet."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                break
            poll = select.poll()
            poll.register(connection.sock, select.POLLIN)
            if not poll.poll(0):
                return connection
            connection.close()  # what can be read now is its end
        host, port = (self._host, self._port) if self._proxy is None else _proxy_address(self._proxy)
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=_CONNECT_S)
        return http.client.HTTPSConnection(host, port, timeout=_CONNECT_S, context=self._context)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        if self._proxy is not None:
            connection.set_tunnel(self._host, self._port or 443, _proxy_headers(self._proxy))
        connection.connect()  # with TCP_NODELAY, without which a request takes about 47 ms
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connection.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _trusting(bundle: str | None) -> ssl.SSLContext:
    """A context that trusts what botocore trusts, or the certificates of that file."""
    from botocore.httpsession import get_cert_path

    return ssl.create_default_context(cafile=get_cert_path(bundle or True))


def _proxy_address(proxy: str) -> tuple[str, int]:
    where = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return where.hostname or "", where.port or 80


def _proxy_headers(proxy: str) -> dict[str, str]:
    """What tells the proxy who asks, where its URL says it."""
    where: Any = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if where.username is None:
        return {}
    who = f"{unquote(where.username)}:{unquote(where.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(who.encode()).decode()}"}
