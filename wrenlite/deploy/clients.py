"""AWS's clients for deploying: what is no error to them, and what they refuse in our words."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.errors import BackendError, ConfigError, WrenliteError

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
}
"""What IAM calls operations of S3 where it has another name for them."""


class Clients:
    """botocore's clients, each made when it is first needed."""

    def __init__(self, session: Any, region: str, endpoint_url: str | None = None) -> None:
        self.session = session
        self.region = region
        self.endpoint_url = endpoint_url
        self._made: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        if service not in self._made:
            from botocore.config import Config

            # To publish a large layer takes longer than the usual 60 s, and a second try is a second version.
            patient = Config(read_timeout=300, retries={"mode": "standard", "total_max_attempts": 4})
            try:
                self._made[service] = self.session.create_client(
                    service, region_name=self.region, endpoint_url=self.endpoint_url, config=patient
                )
            except ValueError as error:
                raise ConfigError(f"{error}. endpoint_url and AWS_ENDPOINT_URL must be URLs") from error
        return self._made[service]

    @contextlib.contextmanager
    def in_words(self, resource: str) -> Iterator[None]:
        """What AWS refuses in here is said in our words: what happened, to what, and the mend.

        Args:
            resource: that this is about, for where AWS does not name it.

        Raises AccessDenied, CredentialsError, BackendError, StoreError.
        """
        from botocore.exceptions import BotoCoreError, ClientError, WaiterError

        try:
            yield
        except ClientError as error:
            raise self._refused(error, resource) from error
        except WaiterError as error:
            answer: Any = error.last_response
            found = answer.get("Configuration", answer)
            why = found.get("StateReason") or found.get("LastUpdateStatusReason") or str(error)
            raise BackendError(
                f"{resource} did not become ready: {why}. wrenlite-setup goes on from there"
            ) from error
        except BotoCoreError as error:
            raise errors.unreachable(f"AWS in {self.region}", error, self.session.profile) from error

    def _refused(self, error: Any, resource: str) -> WrenliteError:
        code, said = str(error.response["Error"]["Code"]), error.response["Error"].get("Message") or ""
        if error.operation_name.startswith(errors.SIGNING_IN):
            return errors.cannot_refresh(error, self.session.profile)
        wrong = errors.credentials(code, said, self.session.profile)
        if wrong is not None:
            return wrong
        if errors.forbidden(code):
            named = re.search(r'perform: (\S+)(?: on resource: "?([^"\s]+))?', said)
            action = named[1] if named else self._action(error.operation_name)
            return errors.denied(action, (named and named[2]) or resource, said)
        return BackendError(f"AWS refuses {self._action(error.operation_name)} on {resource}: {code}: {said}")

    def _action(self, operation: str) -> str:
        """What IAM calls an operation."""
        if operation in _ACTIONS:
            return _ACTIONS[operation]
        made = self._made.items()
        services = (name for name, made in made if operation in made.meta.service_model.operation_names)
        return f"{next(services, 'aws')}:{operation}"


@contextlib.contextmanager
def absent(*codes: str) -> Iterator[None]:
    """That there is nothing is no error."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in codes:
            raise


def patiently(call: Callable[[], object], passes: Callable[[str, str], bool], for_s: float) -> None:
    """Call, again with growing pauses while AWS says what will pass.

    Args:
        call: what to do.
        passes: of an error's code and message, whether it will pass.
        for_s: seconds after which it is believed that it will not.
    """
    from botocore.exceptions import ClientError

    pause, end = 0.5, time.monotonic() + for_s
    while True:
        try:
            call()
            return
        except ClientError as error:
            said = error.response["Error"]
            if not passes(said["Code"], said.get("Message", "")) or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(2 * pause, 8.0)
