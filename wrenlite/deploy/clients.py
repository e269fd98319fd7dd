"""AWS's clients for deploying, and what is no error to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


class Clients:
    """botocore's clients, each made when it is first needed."""

    def __init__(self, session: Any, region: str, endpoint_url: str | None = None) -> None:
        self._session = session
        self._region = region
        self._endpoint_url = endpoint_url
        self._made: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = self._session.create_client(
                service, region_name=self._region, endpoint_url=self._endpoint_url
            )
        return self._made[service]


@contextlib.contextmanager
def absent(*codes: str) -> Iterator[None]:
    """That there is nothing is no error."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise
