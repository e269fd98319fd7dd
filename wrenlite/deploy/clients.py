"""AWS clients for deploying: their errors are translated, and calls are repeated where AWS needs time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from wrenlite.backends.aws import errors
from wrenlite.errors import BackendError, ConfigError

_ACTIONS = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "DeleteObjects": "s3:DeleteObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutBucketPublicAccessBlock",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "PutBucketEncryption": "s3:PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "s3:GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "s3:PutLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "s3:GetBucketNotification",
    "PutBucketNotificationConfiguration": "s3:PutBucketNotification",
}
"""The IAM actions of S3's operations, where the two have different names."""

_LONGEST_PAUSE_S = 8.0

T = TypeVar("T")


class Clients:
    """The botocore clients of one session and region. Each is made when it is first needed."""

    def __init__(self, session: Any, region: str, endpoint_url: str | None = None) -> None:
        """Create the collection. It makes no client yet.

        Args:
            session: the botocore session.
            region: the AWS region.
            endpoint_url: URL of a server other than AWS's.
        """
        self.session = session
        self.region = region
        self.endpoint_url = endpoint_url
        self._clients: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        """Return the client of a service, such as ``s3``."""
        if service not in self._clients:
            from botocore.config import Config

            # Publishing a large layer takes longer than the usual 60 s, and a retry would publish it twice.
            config = Config(read_timeout=300, retries={"mode": "standard", "total_max_attempts": 4})
            try:
                self._clients[service] = self.session.create_client(
                    service, region_name=self.region, endpoint_url=self.endpoint_url, config=config
                )
            except ValueError as error:
                raise ConfigError(f"{error}. endpoint_url and AWS_ENDPOINT_URL must be URLs") from error
        return self._clients[service]

    @contextlib.contextmanager
    def translate_errors(self, resource: str) -> Iterator[None]:
        """Translate the errors of botocore that are raised in a ``with`` block.

        Args:
            resource: the resource that the block is about, for messages: its ARN, or words.

        Raises:
            AccessDenied: no policy allows a call.
            CredentialsError: there are no credentials, or AWS does not accept them.
            BackendError: AWS refuses a call for another reason, or the resource did not become ready.
            StoreError: AWS cannot be reached, or S3 refuses a call for another reason.
        """
        from botocore.exceptions import BotoCoreError, ClientError, WaiterError

        profile = self.session.profile
        try:
            yield
        except ClientError as error:
            action = self._action(error.operation_name)
            raise errors.translate_client_error(
                error, action=action, resource=resource, profile=profile
            ) from error
        except WaiterError as error:
            response: Any = error.last_response
            found = response.get("Configuration", response)
            reason = found.get("StateReason") or found.get("LastUpdateStatusReason") or str(error)
            raise BackendError(
                f"{resource} did not become ready: {reason}. wrenlite-setup continues from there"
            ) from error
        except BotoCoreError as error:
            raise errors.connection_error(f"AWS in {self.region}", error, profile) from error

    def _action(self, operation: str) -> str:
        """Return the IAM action of an operation."""
        if operation in _ACTIONS:
            return _ACTIONS[operation]
        services = (
            name
            for name, client in self._clients.items()
            if operation in client.meta.service_model.operation_names
        )
        return f"{next(services, 'aws')}:{operation}"


@contextlib.contextmanager
def suppress_codes(*codes: str) -> Iterator[None]:
    """Suppress errors of AWS with these codes, such as those which say that something does not exist."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if errors.code_and_message(error)[0] not in codes:
            raise


def retry(
    call: Callable[[], T],
    *,
    timeout_s: float,
    is_transient: Callable[[Exception], bool] = lambda error: False,
    is_ready: Callable[[T], bool] = lambda result: True,
    first_pause_s: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call a function until it succeeds with a result that is ready, with growing pauses between the calls.

    Args:
        call: the function.
        timeout_s: seconds after which no further call is made.
        is_transient: returns whether an error may pass. Other errors are raised at once.
        is_ready: returns whether a result is final.
        first_pause_s: seconds of the first pause. Each further one is twice as long, 8 s at most.
        sleep: waits for some seconds.
        clock: returns the time in seconds.

    Returns:
        The first result that is ready; the last result where the time is up before.

    Raises:
        Exception: the last error, where the time is up.
    """
    pause_s, deadline = first_pause_s, clock() + timeout_s

    def is_last() -> bool:
        return clock() + pause_s > deadline

    while True:
        try:
            result = call()
        except Exception as error:
            if not is_transient(error) or is_last():
                raise
        else:
            if is_ready(result) or is_last():
                return result
        sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
