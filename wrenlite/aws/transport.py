"""Signed HTTP requests to one AWS service, over pooled connections, without a hidden retry.

botocore's own session and signer, without its client: the client's retries would run a function again
after a read time-out, and it takes twice the processor time (0.46 to 0.64 ms a call against 0.25).
"""

from __future__ import annotations

import hashlib
import io
import socket
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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

    def __init__(
        self, make_session: Callable[[], Any], service: str, region: str, url: str, connections: int
    ) -> None:
        """Args:
        make_session: makes a botocore session. Its credentials are asked for with every request, so that
            they can be refreshed.
        service: as the signature says it, such as ``lambda``.
        region: of the service.
        url: where it is, without a path.
        connections: how many stay open at most.
        """
        from botocore.httpsession import URLLib3Session
        from botocore.utils import get_environ_proxies

        self._make_session = make_session
        self._session = make_session()
        self._service = service
        self._region = region
        self._url = url.rstrip("/")
        options = [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),  # without it about 47 ms a request
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            *(
                (socket.IPPROTO_TCP, getattr(socket, n), v)
                for n, v in _KEEPALIVE.items()
                if hasattr(socket, n)
            ),
        ]
        self._http = URLLib3Session(
            verify=self._session.get_config_variable("ca_bundle") or True,
            proxies=get_environ_proxies(self._url),
            timeout=(_CONNECT_S, 60.0),
            max_pool_connections=connections,
            socket_options=options,
        )

    def post(self, path: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> Answer:
        """Send one request and wait for its answer.

        Args:
            path: what to ask for.
            data: the body.
            headers: further ones.
            timeout_s: seconds of silence after which the connection counts as broken.

        Raises Unsent, Broken, and what botocore raises where there are no credentials.
        """
        from botocore import exceptions
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        body = _Body(data)
        digest = hashlib.sha256(data).hexdigest()
        fixed = {"Content-Length": str(len(data)), "X-Amz-Content-SHA256": digest, **headers}
        request = AWSRequest("POST", f"{self._url}{path}", fixed, body)
        request.context["read_timeout"] = timeout_s
        SigV4Auth(self._credentials(), self._service, self._region).add_auth(request)
        try:
            response = self._http.send(request.prepare())
        except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
            # The body is asked for its end only once all of it was handed to the system.
            raise (Broken if body.sent else Unsent)(_words(error)) from error
        return Answer(response.status_code, response.headers, response.content)

    def renew(self) -> None:
        """Forget the credentials: they have expired, and files or environment may hold others by now."""
        self._session = self._make_session()

    def close(self) -> None:
        """Close the connections that are not in use."""
        self._http.close()

    def _credentials(self) -> Any:
        from botocore.exceptions import NoCredentialsError

        found = self._session.get_credentials()
        if found is None:
            raise NoCredentialsError
        return found.get_frozen_credentials()


def _words(error: Exception) -> str:
    """The innermost reason, without the wrapping of three libraries."""
    cause: Any = error
    while (
        deeper := getattr(cause, "kwargs", {}).get("error") or getattr(cause, "reason", None)
    ) and isinstance(deeper, Exception):
        cause = deeper
    return str(cause) or type(cause).__name__
