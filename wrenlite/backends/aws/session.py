"""Who this process is to AWS: one session for all that it sends, a new one once its credentials expire."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.errors import CredentialsError

_RENEW_S = 5.0
"""Seconds between two attempts to find new credentials."""


class AwsSession:
    """A botocore session that many threads use, and that can be replaced."""

    def __init__(self, make_session: Callable[[], Any]) -> None:
        """Args:
        make_session: makes a botocore session, which finds credentials by botocore's own chain.
        """
        self._make_session = make_session
        self._lock = threading.Lock()
        self._renewed = -float("inf")
        self.session = make_session()

    def credentials(self) -> Any:
        """The credentials of this moment. Raises CredentialsError; CredentialsExpired where they were good.

        They are loaded by one thread: a thousand would ask for a thousand tokens.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with self._lock:
                found = self.session.get_credentials()
            if found is not None:
                return found.get_frozen_credentials()
        except ClientError as error:  # of STS, when a role is assumed
            raise errors.cannot_refresh(error, self.session.profile) from error
        except BotoCoreError as error:
            wrong = errors.unreachable("AWS", error, self.session.profile)
            known = isinstance(wrong, CredentialsError)
            raise wrong if known else errors.cannot_refresh(error, self.session.profile) from error
        raise CredentialsError(f"no AWS credentials were found. {errors.sign_in(self.session.profile)}")

    def renew(self) -> bool:
        """Look for other credentials: files or environment may hold some now. False: that was just done."""
        with self._lock:
            if time.monotonic() - self._renewed < _RENEW_S:
                return False
            self._renewed = time.monotonic()
            self.session = self._make_session()
            return True
