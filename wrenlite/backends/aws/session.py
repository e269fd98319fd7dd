"""``AwsSession``: the AWS identity of this process, with new credentials once the old ones have expired."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.errors import CredentialsError

_RENEW_INTERVAL_S = 5.0
"""Seconds between two attempts to find new credentials."""


def partition_of(session: Any, region: str) -> str:
    """Return the partition of a region, which is part of every ARN: ``aws``, ``aws-cn`` or ``aws-us-gov``.

    Args:
        session: a botocore session.
        region: name of the region; one that botocore does not know counts as one of ``aws``.
    """
    from botocore.exceptions import BotoCoreError

    try:
        return str(session.get_partition_for_region(region))
    except BotoCoreError:
        return "aws"


class AwsSession:
    """A botocore session that many threads use, and that can be replaced while they do."""

    def __init__(self, make_session: Callable[[], Any]) -> None:
        """Create a session.

        Args:
            make_session: makes a botocore session, which finds credentials with botocore's own chain.
        """
        self._make_session = make_session
        self._lock = threading.RLock()  # a signal handler may interrupt the block that holds it
        self._renewed_at = -float("inf")
        self.botocore_session = make_session()

    def credentials(self) -> Any:
        """Return the current credentials.

        One thread at a time loads them: a thousand threads would request a thousand tokens.

        Raises:
            CredentialsExpired: the credentials were good once and cannot be renewed.
            CredentialsError: no credentials were found.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with self._lock:
                credentials = self.botocore_session.get_credentials()
            if credentials is not None:
                return credentials.get_frozen_credentials()
        except ClientError as error:  # STS refused, for example when a role is assumed
            raise errors.refresh_error(error, self.botocore_session.profile) from error
        except BotoCoreError as error:
            translated = errors.connection_error("AWS", error, self.botocore_session.profile)
            if isinstance(translated, CredentialsError):
                raise translated from error
            raise errors.refresh_error(error, self.botocore_session.profile) from error
        hint = errors.sign_in_hint(self.botocore_session.profile)
        raise CredentialsError(f"no AWS credentials were found. {hint}")

    def renew(self) -> bool:
        """Make a new botocore session, since files or environment may hold other credentials by now.

        Returns:
            Whether the session was replaced: not where that happened less than 5 seconds ago.
        """
        with self._lock:
            if time.monotonic() - self._renewed_at < _RENEW_INTERVAL_S:
                return False
            self._renewed_at = time.monotonic()
            self.botocore_session = self._make_session()
            return True
