"""Who is signed in, and what AWS lets that account do."""

from __future__ import annotations

import contextlib
import difflib
import email.utils
import time
from dataclasses import dataclass
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.resources import Settings
from wrenlite.errors import ConfigError, CredentialsError

KEPT_FREE = 100
"""Invocations at once that AWS does not let anybody reserve."""
RAISE_QUOTA = (
    "aws service-quotas request-service-quota-increase --service-code lambda "
    "--quota-code L-B99A9384 --desired-value 1000"
)
"""The command that asks AWS for more invocations at once. It is free, and answered within a day or two."""


@dataclass(frozen=True)
class Account:
    """An AWS account, as seen by who is signed in."""

    id: str
    identity: str
    """ARN of who is signed in."""
    partition: str
    region: str
    concurrency: int | None
    """Invocations at once, of all functions together; None: these credentials may not see it."""
    unreserved: int | None
    """Those of them that no function has reserved."""
    skew_s: float
    """Seconds that this machine's clock is ahead of AWS's."""

    def check(self, settings: Settings, reserved_now: int | None) -> None:
        """Raises ConfigError where the account's limits do not allow it.

        Args:
            settings: as they are to be.
            reserved_now: what the function has reserved already.
        """
        if settings.reserved is None or self.unreserved is None:
            return
        most = self.unreserved + (reserved_now or 0) - KEPT_FREE
        if settings.reserved > most:
            there = f"{most} at most" if most > 0 else "none"
            raise ConfigError(
                f"reserved concurrency {settings.reserved}: of {self.concurrency} invocations at once in "
                f"{self.region} {self.unreserved} are unreserved, and AWS keeps {KEPT_FREE} of those free: "
                f"{there} can be reserved. max_concurrency= limits a client without that; "
                f"AWS gives more: {RAISE_QUOTA} --region {self.region}"
            )


def new_session(profile: str | None) -> Any:
    """A session of botocore's, which finds credentials by its own chain. Raises CredentialsError."""
    from botocore.exceptions import BotoCoreError, ProfileNotFound
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        session.get_scoped_config()
    except ProfileNotFound as error:
        there = ", ".join(profiles()) or "none"
        raise CredentialsError(f"{error}. There are: {there}; aws configure --profile makes one") from error
    except BotoCoreError as error:
        raise ConfigError(f"AWS's own configuration cannot be read: {error}") from error
    return session


def profiles() -> list[str]:
    """The names of all profiles. Raises ConfigError where AWS's configuration cannot be read."""
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return list(Session().available_profiles)
    except BotoCoreError as error:
        raise ConfigError(f"AWS's own configuration cannot be read: {error}") from error


def check_region(session: Any, region: str) -> str:
    """The region. Raises ConfigError where there is none of that name, with those that are spelt alike."""
    from botocore.exceptions import BotoCoreError

    try:
        partition = session.get_partition_for_region(region)
    except BotoCoreError:
        partition = "aws"
    there = sorted(session.get_available_regions("lambda", partition))
    if region not in there:
        alike = ", ".join(difflib.get_close_matches(region, there, 3) or there)
        raise ConfigError(
            f"there is no region {region!r} with Lambda; there are {alike} (as far as this botocore knows)"
        )
    return region


def sign_in(session: Any, region: str, endpoint_url: str | None = None) -> tuple[Clients, Account]:
    """Clients for a region, and whose they are.

    Raises CredentialsError, StoreError where AWS cannot be reached, ConfigError where the region is not
    enabled in this account.
    """
    clients = Clients(session, region, endpoint_url)
    with clients.in_words("sts"):
        try:
            found = _identity(clients)
        except Exception as error:
            if not _elsewhere(session, region, error):
                raise
            raise ConfigError(
                f"the region {region} is not enabled in this account: aws account enable-region "
                f"--region-name {region}, or another --region"
            ) from error
    date = email.utils.parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    with clients.in_words("the account's limits"):
        limits = _limits(clients)
    account = Account(
        id=found["Account"],
        identity=found["Arn"],
        partition=found["Arn"].split(":")[1],
        region=region,
        concurrency=limits.get("ConcurrentExecutions"),
        unreserved=limits.get("UnreservedConcurrentExecutions"),
        skew_s=time.time() - date.timestamp(),
    )
    return clients, account


def _identity(clients: Clients) -> dict[str, Any]:
    answer: dict[str, Any] = clients["sts"].get_caller_identity()
    return answer


def _elsewhere(session: Any, region: str, error: Exception) -> bool:
    """Whether credentials that this region does not know are good in the one that is always enabled."""
    from botocore.exceptions import ClientError

    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
    if region == "us-east-1" or not isinstance(errors.credentials(code, ""), CredentialsError):
        return False
    with contextlib.suppress(Exception):
        _identity(Clients(session, "us-east-1"))
        return True
    return False


def _limits(clients: Clients) -> dict[str, int]:
    """The account's limits; none, where these credentials may not see them."""
    from botocore.exceptions import ClientError

    try:
        limits: dict[str, int] = clients["lambda"].get_account_settings()["AccountLimit"]
    except ClientError as error:
        if not errors.forbidden(error.response["Error"]["Code"]):
            raise
        limits = {}
    return limits
