"""``Transport``: signed HTTP requests to one AWS service, over connections that stay open.

It connects with the standard library's HTTP client, and never repeats a request that may have arrived.
botocore's own client would run a function again after a read timeout. And neither botocore nor urllib3 tells
apart a request that did not arrive, which can be sent again, and a request whose response was lost, which may
have run. Credentials, proxies and certificates are the ones that botocore would use.
"""

from __future__ import annotations

import base64
import http.client
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from wrenlite.backends.aws.addresses import Addresses
from wrenlite.backends.aws.http1 import Response, read_response, send_request
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.signing import sign

_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds of silence before a connection is probed, seconds between probes, and unanswered probes at most.
NAT gateways drop connections after 350 s of silence, and a task may be silent for 900 s."""


class ConnectionTimeouts(NamedTuple):
    """How long a connection may do nothing."""

    connect_s: float = 10.0
    """Seconds that connecting may take."""
    unacknowledged_s: float = 60.0
    """Seconds after which a connection is broken whose other end does not acknowledge what was sent.

    Linux itself goes on for about 15 minutes, and does not probe meanwhile. After a sleep or a change of the
    network this is what happens to each open connection.
    """
    idle_s: float = 60.0
    """Seconds after which an idle connection is not used again, since it may be broken without a sign."""


CONNECTION_TIMEOUTS = ConnectionTimeouts()


def time_since_boot() -> float:
    """Return the time in seconds since this machine started, including the time that it slept.

    Invocations run on while a laptop sleeps. The wall clock counts that time too, but can be set.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()  # not Linux


class RequestNotSent(Exception):
    """The request did not reach the service, or not completely: it can be sent again."""


class UntrustedCertificate(RequestNotSent):
    """The server has no certificate that this machine trusts."""


class ResponseLost(Exception):
    """The connection broke after the request was sent: whether it was carried out is unknown."""


class Transport:
    """Sends requests to one service in one region, from any thread."""

    def __init__(
        self,
        session: AwsSession,
        service: str,
        region: str,
        url: str,
        timeouts: ConnectionTimeouts = CONNECTION_TIMEOUTS,
        resolve: Callable[..., Any] = socket.getaddrinfo,
    ) -> None:
        """Create a transport. It connects when the first request is sent.

        Args:
            session: gives the credentials that sign the requests.
            service: name of the service in the signature, such as ``lambda``.
            region: region of the service.
            url: the service's endpoint, without a path.
            timeouts: how long a connection may do nothing.
            resolve: looks a name up, as ``socket.getaddrinfo`` does.
        """
        from botocore.utils import get_environ_proxies

        self._session = session
        self._service = service
        self._region = region
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._netloc, self._host, self._port = parts.netloc, parts.hostname, parts.port
        self._tls: ssl.SSLContext | None = None
        self._proxy: str | None = None
        if parts.scheme == "https":
            bundle = session.botocore_session.get_config_variable("ca_bundle")
            self._tls = _tls_context(bundle or os.environ.get("REQUESTS_CA_BUNDLE"))
            self._proxy = get_environ_proxies(url).get("https")
        self._timeouts = timeouts
        self._addresses = Addresses(time_since_boot, resolve)
        # A stack, with the time since when each is idle: the last one used is the first one taken.
        self._idle: list[tuple[float, http.client.HTTPConnection]] = []
        self._closed = False

    def post(self, path: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> Response:
        """Send one POST request and wait for its response.

        A request that did not arrive over a connection that was idle, and has broken meanwhile, is sent again
        at once over another one.

        Args:
            path: path of the URL.
            data: the body.
            headers: headers beside those of the signature, by name in lower case.
            timeout_s: seconds without a byte after which the connection counts as broken.

        Raises:
            UntrustedCertificate: the server has no certificate that this machine trusts.
            RequestNotSent: the request did not reach the service, or not completely.
            ResponseLost: the connection broke after the request was sent.
            CredentialsError: there are no credentials to sign the request with.
        """
        signed = self._sign(path, headers, data)
        while True:
            connection = self._take_connection()
            is_new = connection.sock is None
            try:
                response, stays_open = self._exchange(connection, path, signed, data, timeout_s)
                break
            except RequestNotSent:
                connection.close()
                if is_new:
                    raise
            except ResponseLost:
                connection.close()
                raise
        if stays_open and not self._closed:
            self._idle.append((time_since_boot(), connection))
        else:
            connection.close()
        return response

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: Mapping[str, str],
        data: bytes,
        timeout_s: float,
    ) -> tuple[Response, bool]:
        """Return the response to one request, and whether the connection can be used for another one."""
        try:
            if connection.sock is None:
                self._connect(connection)
            connection.sock.settimeout(timeout_s)
            send_request(connection.sock, path, headers, data)
        except (OSError, http.client.HTTPException) as error:
            untrusted = isinstance(error, ssl.SSLCertVerificationError)
            kind = UntrustedCertificate if untrusted else RequestNotSent
            raise kind(str(error) or type(error).__name__) from error
        try:
            return read_response(connection.sock)
        except (OSError, http.client.HTTPException) as error:
            closed = isinstance(error, ConnectionError | http.client.HTTPException)
            # Of less than the whole request, the rest may be what TLS and TCP send at the end.
            nothing_arrived = closed and _unacknowledged_bytes(connection.sock) >= max(1, len(data))
            text = str(error) or type(error).__name__
            raise (RequestNotSent if nothing_arrived else ResponseLost)(text) from error

    def close(self) -> None:
        """Close the idle connections; each of the others is closed when its response has been read."""
        self._closed = True
        while self._idle:
            self._idle.pop()[1].close()

    def _sign(self, path: str, headers: Mapping[str, str], data: bytes) -> dict[str, str]:
        """Return all headers of a request."""
        credentials = self._session.credentials()
        fixed = {"host": self._netloc, "content-length": str(len(data))}
        return sign(credentials, self._service, self._region, path, {**fixed, **headers}, data, time.time())

    def _take_connection(self) -> http.client.HTTPConnection:
        """Return an idle connection that still seems open, or a new one that is not connected yet."""
        while True:
            try:
                since, connection = self._idle.pop()
            except IndexError:
                break
            is_fresh = time_since_boot() - since <= self._timeouts.idle_s
            if is_fresh and not _is_readable(connection.sock):
                return connection
            connection.close()  # an idle connection is readable only when the server has closed it
        host, port = (self._host, self._port) if self._proxy is None else _proxy_address(self._proxy)
        if self._tls is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeouts.connect_s)
        return http.client.HTTPSConnection(host, port, timeout=self._timeouts.connect_s, context=self._tls)

    def _connect(self, connection: http.client.HTTPConnection) -> None:
        if self._proxy is not None:
            connection.set_tunnel(self._host, self._port or 443, _proxy_headers(self._proxy))
        connection._create_connection = self._addresses.connect  # type: ignore[attr-defined]
        connection.connect()  # sets TCP_NODELAY, without which a request takes about 47 ms
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                connection.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
            unacknowledged_ms = round(1000 * self._timeouts.unacknowledged_s)
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unacknowledged_ms)


def _is_readable(sock: socket.socket) -> bool:
    """Return whether a socket has something to read, or was closed by the other side."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()  # select() takes no descriptor above 1,023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _unacknowledged_bytes(sock: socket.socket) -> int:
    """Return how many bytes were sent that the other side has not acknowledged; 0 where that is unknown.

    Of a connection that the other side has closed, these bytes did not arrive: it acknowledges in 40 ms what
    does. A connection without an answer is another matter, since acknowledgements may be lost.
    """
    if sys.platform != "linux":
        return 0
    import fcntl
    import termios

    try:
        answer = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))  # the same as SIOCOUTQ: tcp(7)
    except OSError:
        return 0
    return int(struct.unpack("i", answer)[0])


def _tls_context(bundle: str | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the certificates of a file; without one, those that botocore trusts.

    All connections share one context: making one takes 16 ms.
    """
    from botocore.httpsession import get_cert_path

    context = ssl.create_default_context(cafile=get_cert_path(bundle or True))
    # From Python 3.13 on this is set, and refuses certificates of many proxies. botocore does not set it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _proxy_address(proxy: str) -> tuple[str, int]:
    parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return parts.hostname or "", parts.port or 80


def _proxy_headers(proxy: str) -> dict[str, str]:
    """Return the headers that sign in to a proxy; none where its URL names no user."""
    parts: Any = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    if parts.username is None:
        return {}
    user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
