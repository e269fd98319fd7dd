"""Signed HTTP requests to one AWS service, over pooled connections, without a hidden retry.

botocore's signer over urllib3, without botocore's client: the client's retries would run a function again
after a read time-out, and it takes twice the processor time (0.46 to 0.64 ms a call). Proxies and
certificates are those that botocore would take.
"""

from __future__ import annotations

import hashlib
import io
import os
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from wrenlite.aws.login import Login

_CONNECT_S = 10.0
_KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds of silence before a connection is probed, seconds between probes, and unanswered ones at most.
NAT gateways drop connections after 350 s of silence, and a task may be silent for 900."""


class Answer(NamedTuple):
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Unsent(Exception):
    """The request did not reach the service as a whole."""


class Untrusted(Unsent):
    """The other side has no certificate that this one trusts."""


class Broken(Exception):
    """The connection broke after the request was sent: nobody knows what became of it."""


class _Body(io.BytesIO):
    """A request's body that knows whether it was sent to its end."""

    sent = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.sent = not data
        return data


class Transport:
    """Requests to one service of one region."""

    def __init__(self, login: Login, service: str, region: str, url: str, connections: int) -> None:
        """Args:
        login: whose credentials sign the requests.
        service: as the signature says it, such as ``lambda``.
        region: of the service.
        url: where it is, without a path.
        connections: how many stay open at most.
        """
        self._login = login
        self._service = service
        self._region = region
        self._url = url.rstrip("/")
        bundle = login.session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        self._pool = _pool(self._url, bundle, connections)

    def post(self, path: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send one request and wait for its answer.

        Args:
            path: what to ask for.
            data: the body.
            headers: further ones.
            timeout_s: seconds of silence after which the connection counts as broken.

        Raises Unsent, Untrusted, Broken and CredentialsError.
        """
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError, SSLError

        body = _Body(data)
        signed = self._sign(path, data, headers)
        try:
            response = self._pool.urlopen(
                "POST",
                path,
                body=body,
                headers=signed,
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(connect=_CONNECT_S, read=timeout_s),
            )
        except SSLError as error:
            raise Untrusted(_words(error)) from error
        except (HTTPError, OSError) as error:
            # The body is asked for its end only once all of it was handed to the system.
            raise (Broken if body.sent else Unsent)(_words(error)) from error
        return Answer(response.status, response.headers, response.data)

    def _sign(self, path: str, data: bytes, headers: Mapping[str, str]) -> dict[str, str]:
        """The headers with AWS's signature, version 4."""
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        digest = hashlib.sha256(data).hexdigest()
        fixed = {"Content-Length": str(len(data)), "X-Amz-Content-SHA256": digest, **headers}
        request = AWSRequest("POST", f"{self._url}{path}", fixed, data)
        SigV4Auth(self._login.credentials(), self._service, self._region).add_auth(request)
        return dict(request.headers.items())

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._pool.close()


def _pool(url: str, ca_bundle: str | None, connections: int) -> Any:
    """Connections to a host, through the proxy that the environment names, trusting what botocore trusts."""
    from botocore.httpsession import create_urllib3_context, get_cert_path
    from botocore.utils import get_environ_proxies
    from urllib3 import PoolManager, ProxyManager

    tcp = socket.IPPROTO_TCP
    options: dict[str, Any] = {
        "maxsize": connections,
        "socket_options": [
            (tcp, socket.TCP_NODELAY, 1),  # without it about 47 ms a request
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            *(
                (tcp, getattr(socket, name), value)
                for name, value in _KEEPALIVE.items()
                if hasattr(socket, name)
            ),
        ],
    }
    scheme = url.partition(":")[0]
    if scheme == "https":
        # One context for all connections: a new one costs 16 ms.
        context = create_urllib3_context()
        context.load_verify_locations(get_cert_path(ca_bundle or True))
        options |= {"ssl_context": context}
    proxy = get_environ_proxies(url).get("https") if scheme == "https" else None  # a test server is not far
    manager = ProxyManager(proxy, **options) if proxy else PoolManager(**options)
    return manager.connection_from_url(url)


def _words(error: Exception) -> str:
    """The innermost reason, without the wrapping of the libraries."""
    cause: Any = error
    while isinstance(
        deeper := getattr(cause, "reason", None) or cause.__cause__ or cause.__context__, Exception
    ):
        cause = deeper
    return str(cause) or type(cause).__name__
