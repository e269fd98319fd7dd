"""The AWS account: who is signed in to it, and what AWS lets it do."""

from __future__ import annotations

import contextlib
import difflib
import email.utils
import time
from dataclasses import dataclass
from typing import Any

from wrenlite.backends.aws import errors
from wrenlite.backends.aws.session import partition_of
from wrenlite.deploy.clients import Clients
from wrenlite.deploy.settings import Settings
from wrenlite.errors import ConfigError, CredentialsError

_MINIMUM_UNRESERVED = 100
"""Invocations at once of an account that no function may reserve."""
RAISE_QUOTA = (
    "aws service-quotas request-service-quota-increase --service-code lambda "
    "--quota-code L-B99A9384 --desired-value 1000"
)
"""The command that asks AWS for more invocations at once. It is free, and answered within a day or two."""


@dataclass(frozen=True)
class Account:
    """An AWS account, as its signed-in user sees it."""

    id: str
    identity: str
    """ARN of the user or role that is signed in."""
    partition: str
    region: str
    concurrency: int | None
    """Invocations at once, of all functions together; None: these credentials may not see the number."""
    unreserved: int | None
    """Invocations at once that no function has reserved; None: these credentials may not see the number."""
    skew_s: float
    """Seconds by which this machine's clock is ahead of AWS's."""

    def check(self, settings: Settings, reserved_now: int | None) -> None:
        """Check that the account's limits allow the settings.

        Args:
            settings: the wanted settings.
            reserved_now: invocations at once that the function has reserved already.

        Raises:
            ConfigError: the account cannot reserve that many invocations at once.
        """
        if settings.reserved is None or self.unreserved is None:
            return
        most = self.unreserved + (reserved_now or 0) - _MINIMUM_UNRESERVED
        if settings.reserved > most:
            possible = f"{most} at most" if most > 0 else "none"
            raise ConfigError(
                f"reserved concurrency {settings.reserved}: of {self.concurrency} invocations at once in "
                f"{self.region} {self.unreserved} are unreserved, and AWS keeps {_MINIMUM_UNRESERVED} of "
                f"those free: {possible} can be reserved. max_concurrency= limits a client without reserving "
                f"any; AWS gives more: {RAISE_QUOTA} --region {self.region}"
            )


def new_session(profile: str | None) -> Any:
    """Return a botocore session, which finds credentials with botocore's own chain.

    Args:
        profile: the profile in AWS's configuration files; None for the default profile.

    Raises:
        CredentialsError: there is no such profile.
        ConfigError: AWS's configuration files cannot be read.
    """
    from botocore.exceptions import BotoCoreError, ProfileNotFound
    from botocore.session import Session

    session = Session(profile=profile)
    try:
        session.get_scoped_config()
    except ProfileNotFound as error:
        known = ", ".join(profiles()) or "none"
        text = f"AWS's configuration has no profile {profile!r}; it has {known}"
        raise CredentialsError(f"{text}. Create it with aws configure --profile {profile}") from error
    except BotoCoreError as error:
        raise _unreadable_configuration(error) from error
    return session


def profiles() -> list[str]:
    """Return the names of all profiles.

    Raises:
        ConfigError: AWS's configuration cannot be read.
    """
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    try:
        return list(Session().available_profiles)
    except BotoCoreError as error:
        raise _unreadable_configuration(error) from error


def _unreadable_configuration(error: Exception) -> ConfigError:
    return ConfigError(f"AWS's own configuration files cannot be read: {error}. Correct them")


def check_region(session: Any, region: str) -> str:
    """Return the region, if Lambda is available there.

    Args:
        session: a botocore session.
        region: name of the region.

    Raises:
        ConfigError: botocore knows no such region; the message has names that are spelled alike.
    """
    known = sorted(session.get_available_regions("lambda", partition_of(session, region)))
    if region not in known:
        alike = ", ".join(difflib.get_close_matches(region, known, 3) or known)
        raise ConfigError(
            f"the installed botocore knows no region {region!r} with Lambda; it knows {alike}. Choose "
            "another --region, or update botocore"
        )
    return region


def sign_in(session: Any, region: str, endpoint_url: str | None = None) -> tuple[Clients, Account]:
    """Return the clients for a region, and the account that they belong to.

    Args:
        session: a botocore session.
        region: name of the region.
        endpoint_url: URL of a server other than AWS's.

    Raises:
        CredentialsError: there are no credentials, or AWS does not accept them.
        StoreError: AWS cannot be reached.
        ConfigError: the region is not enabled in this account.
    """
    clients = Clients(session, region, endpoint_url)
    with clients.translate_errors("sts"):
        try:
            identity = _caller_identity(clients)
        except Exception as error:
            if not _is_valid_elsewhere(session, region, error):
                raise
            partition = partition_of(session, region)
            if partition != "aws":
                raise ConfigError(
                    f"the region {region} is in the partition {partition} of AWS, which has accounts of its "
                    "own, and these credentials are for the partition aws: choose a --profile for an account "
                    "there, or another --region"
                ) from error
            raise ConfigError(
                f"the region {region} is not enabled in this account: aws account enable-region "
                f"--region-name {region}, or choose another --region"
            ) from error
    date = email.utils.parsedate_to_datetime(identity["ResponseMetadata"]["HTTPHeaders"]["date"])
    with clients.translate_errors("the account's limits"):
        limits = _limits(clients)
    account = Account(
        id=identity["Account"],
        identity=identity["Arn"],
        partition=identity["Arn"].split(":")[1],
        region=region,
        concurrency=limits.get("ConcurrentExecutions"),
        unreserved=limits.get("UnreservedConcurrentExecutions"),
        skew_s=time.time() - date.timestamp(),
    )
    return clients, account


def _caller_identity(clients: Clients) -> dict[str, Any]:
    response: dict[str, Any] = clients["sts"].get_caller_identity()
    return response


def _is_valid_elsewhere(session: Any, region: str, error: Exception) -> bool:
    """Return whether us-east-1, which is always enabled, accepts credentials that a region does not know.

    Args:
        session: a botocore session.
        region: the region that was asked.
        error: the error that it answered with.
    """
    code, _ = errors.code_and_message(error)
    if region == "us-east-1" or errors.credentials_error(code, "") is None:
        return False
    with contextlib.suppress(Exception):
        _caller_identity(Clients(session, "us-east-1"))
        return True
    return False


def _limits(clients: Clients) -> dict[str, int]:
    """Return the account's limits; no limits where these credentials may not see them."""
    from botocore.exceptions import ClientError

    try:
        limits: dict[str, int] = clients["lambda"].get_account_settings()["AccountLimit"]
    except ClientError as error:
        if not errors.is_access_denied(errors.code_and_message(error)[0]):
            raise
        limits = {}
    return limits
