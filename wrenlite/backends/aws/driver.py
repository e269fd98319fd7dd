"""``Driver``: the function that keeps detached jobs on Lambda, as who starts it sees it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.backends.aws.connect import aws_session, lambda_client, store_at
from wrenlite.backends.aws.payload import StoreLocation
from wrenlite.backends.base import DriverAddress
from wrenlite.config import Config


class Driver:
    """The driver function of one deployment, and the store where jobs are kept."""

    def __init__(self, config: Config, address: DriverAddress) -> None:
        """Prepare to use it. This sends nothing yet.

        Args:
            config: the settings; of these, profile and endpoint.
            address: where it is.

        Raises:
            CredentialsError: there are no credentials.
            ConfigError: the region, or the endpoint, cannot be used.
        """
        self.session = aws_session(config)
        location = StoreLocation(address.bucket, address.prefix, address.owner)
        self.address = address
        self.store = store_at(location, config, self.session, address.region)
        self._config = config

    def start(self, event: Mapping[str, Any], function: str = "") -> None:
        """Invoke it, without waiting for its end.

        Args:
            event: what it is to do: JSON.
            function: another one that is invoked in its place, in the same region.

        Raises:
            FunctionMissing: there is no such function any more.
            AccessDenied: no policy allows to invoke it.
            ServiceUnavailable: Lambda cannot be reached.
        """
        address, function = self.address, function or self.address.function
        client = lambda_client(self._config, self.session.botocore_session, address.region)
        errors.call_lambda(
            "lambda:InvokeFunction",
            f"arn:{client.meta.partition}:lambda:{address.region}:*:function:{function}",
            client,
            "invoke",
            self._config.profile,
            FunctionName=function,
            InvocationType="Event",
            Payload=json.dumps(event).encode(),
        )
