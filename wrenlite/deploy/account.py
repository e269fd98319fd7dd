"""Who is signed in, and what AWS lets that account do."""

from __future__ import annotations

import contextlib
import difflib
import email.utils
import time
from dataclasses import dataclass
from typing import Any

from wrenlite.aws import mistakes
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
    skew_s: float
    """Seconds that this machine's clock is ahead of AWS's."""

    def check(self, settings: Settings) -> None:
        """Raises ConfigError where the account's limits do not allow it."""
        if settings.reserved is None or self.concurrency is None:
            return
        most = self.concurrency - KEPT_FREE
        if settings.reserved > most:
            there = f"{most} at most" if most > 0 else "none"
            raise ConfigError(
                f"reserved concurrency {settings.reserved}: this account runs {self.concurrency} invocations "
                f"at once in {self.region}, and AWS keeps {KEPT_FREE} of them free, so that {there} can be "
                f"reserved. max_concurrency= limits a client without that; AWS gives more: {RAISE_QUOTA}"
            )


def new_session(profile: str | None) -> Any:
    """A session of botocore's, which finds credentials by its own chain. Raises CredentialsError."""
    from botocore.exceptions import ProfileNotFound
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        session.get_scoped_config()
    except ProfileNotFound as error:
        there = ", ".join(Session().available_profiles) or "none"
        raise CredentialsError(f"{error}. There are: {there}; aws configure --profile makes one") from error
    return session


def regions(session: Any, partition: str = "aws") -> list[str]:
    """Where Lambda is."""
    return sorted(session.get_available_regions("lambda", partition))


def check_region(session: Any, region: str, partition: str = "aws") -> str:
    """The region. Raises ConfigError where there is none of that name, with those that are spelt alike."""
    there = regions(session, partition)
    if region not in there:
        alike = ", ".join(difflib.get_close_matches(region, there, 3) or there)
        raise ConfigError(f"there is no region {region!r} with Lambda; there are {alike}")
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
    account = Account(
        id=found["Account"],
        identity=found["Arn"],
        partition=found["Arn"].split(":")[1],
        region=region,
        concurrency=_concurrency(clients),
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
    if region == "us-east-1" or not isinstance(mistakes.credentials(code, ""), CredentialsError):
        return False
    with contextlib.suppress(Exception):
        _identity(Clients(session, "us-east-1"))
        return True
    return False


def _concurrency(clients: Clients) -> int | None:
    from botocore.exceptions import ClientError

    try:
        return int(clients["lambda"].get_account_settings()["AccountLimit"]["ConcurrentExecutions"])
    except ClientError:
        return None
