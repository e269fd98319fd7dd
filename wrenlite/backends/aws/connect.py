"""The AWS backend from a configuration."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any

from wrenlite import cost
from wrenlite.backends.aws import (
    errors,
    payload,
    responses,
)
from wrenlite.backends.aws.invoker import (
    PATIENCE,
    LambdaInvoker,
    Patience,
)
from wrenlite.backends.aws.payload import Place
from wrenlite.backends.aws.responses import Target
from wrenlite.backends.aws.s3 import S3Store
from wrenlite.backends.aws.sandbox import margin_s
from wrenlite.backends.aws.session import AwsSession
from wrenlite.backends.aws.transport import Transport
from wrenlite.backends.base import Backend, BatchingPolicy
from wrenlite.config import PREFIX, Config
from wrenlite.errors import BackendError, ConfigError, IncompatibleRuntime, ServiceUnavailable, StoreError
from wrenlite.protocol import Limits

_log = logging.getLogger("wrenlite")

_CONCURRENCY = 1000
"""What an account has unless it says otherwise."""
_LIMIT_S = 900.0
"""What a function has at most; taken where its own limit cannot be read."""
_MEMORY_MB = 1769
"""One virtual CPU; taken where the function's memory cannot be read."""
_SPARE_FILES = 128
"""File descriptors that are left to the program."""
_CODE_BYTES = 50 * 2**20
_PERSIST_AFTER_S = 10.0


def connect(config: Config, patience: Patience = PATIENCE) -> Backend:
    """AWS Lambda, as configured. Reads the function's settings; sends nothing else.

    Args:
        config: the settings.
        patience: how long answers are waited for.

    Raises:
        ConfigError: a setting is missing.
        FunctionMissing, IncompatibleRuntime, CredentialsError, ServiceUnavailable: it cannot run there.
    """

    def make_session() -> Any:
        from botocore.session import Session

        return Session(profile=config.profile)

    _not_in_lambda()
    login = AwsSession(make_session)
    region = _region(config, login.session)
    client = _client(config, login.session, region)
    found = _function(config, client, region)
    target, architecture = _target(config, found, region)
    place = _place(config, found, target)
    slots = _slots(config, client)
    store = S3Store(
        place.bucket,
        place.prefix,
        login=login,
        region=region,
        endpoint_url=config.endpoint_url,
        owner=place.owner,
    )
    transport = Transport(login, "lambda", region, client.meta.endpoint_url)
    return Backend(
        name=f"AWS Lambda ({config.function} in {region})",
        store=store,
        invoker=LambdaInvoker(transport, login, store, place, target, slots, patience),
        batching=batching_policy(slots, target.memory_mb),
        limits=Limits(reply_bytes=payload.REPLY_BYTES, persist_after_s=_PERSIST_AFTER_S),
        prices=cost.prices(region, architecture, memory_mb=target.memory_mb, limit_s=target.limit_s),
        budget=config.budget,
        memory_bytes=target.memory_mb * 2**20,
        longest_s=target.limit_s - margin_s(target.limit_s),
        code_bytes=_CODE_BYTES,
        own_store=False,
        modules_stay=False,
    )


def open_bucket(config: Config, bucket: str, prefix: str) -> S3Store:
    """A store in any bucket, with the configuration's profile, region and endpoint. Sends nothing."""
    from botocore.session import Session

    login = AwsSession(lambda: Session(profile=config.profile))
    return S3Store(
        bucket,
        prefix,
        login=login,
        region=config.region,
        endpoint_url=config.endpoint_url,
        profile=config.profile,
    )


def _not_in_lambda() -> None:
    if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        raise ConfigError(
            "Executor.aws() inside a Lambda function would start invocations that no budget and no cost "
            "knows of; Executor() runs in this task"
        )


def _place(config: Config, found: Mapping[str, Any], target: Target) -> Place:
    """Where blobs go: what is configured, else what the function itself was deployed with."""
    own = found.get("Environment", {}).get("Variables", {})
    bucket = config.bucket or own.get("WRENLITE_BUCKET")
    if bucket is None:
        raise ConfigError(
            "no bucket is set: wrenlite-setup makes one and writes it down; or bucket=, or WRENLITE_BUCKET"
        )
    prefix = config.prefix or own.get("WRENLITE_PREFIX") or PREFIX
    return Place(bucket, prefix, config.bucket_owner or _account(target.arn))


def batching_policy(slots: int, memory_mb: int = _MEMORY_MB) -> BatchingPolicy:
    """How requests to Lambda are paced, with so many at once, to a function with so much memory."""
    return BatchingPolicy(
        target_s=max(1.0, slots * 0.002),  # a client starts about 500 a second: so long, all slots are busy
        least_s=0.1,  # about two round trips
        batch_bytes=min(64, memory_mb // 8) * 2**20,  # encoded, decoded and unpickled, all at once
        flight_bytes=256 * 2**20,
        first_wave=16,
        patience_s=1.0,  # longer than most cold starts take
        backoff_s=0.1,
    )


def _region(config: Config, session: Any) -> str:
    from botocore.exceptions import BotoCoreError

    try:
        region = config.region or session.get_config_variable("region")
    except BotoCoreError as error:  # no such profile
        raise errors.unreachable("AWS", error) from error
    if not region:
        raise ConfigError("no AWS region is set: region=, WRENLITE_REGION, or aws configure")
    return str(region)


def _client(config: Config, session: Any, region: str) -> Any:
    from botocore import config as settings
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    patience = settings.Config(
        retries={"mode": "standard", "total_max_attempts": 3}, connect_timeout=5, read_timeout=15
    )
    try:
        return session.create_client(
            "lambda", region_name=region, endpoint_url=config.endpoint_url, config=patience
        )
    except ProfileNotFound as error:
        raise errors.unreachable("AWS", error) from error
    except (BotoCoreError, ValueError) as error:
        raise ConfigError(f"region={region!r}: {error}") from error


def _function(config: Config, client: Any, region: str) -> Mapping[str, Any]:
    """What Lambda says of the function; nothing, where this client may not read it."""
    from botocore.exceptions import BotoCoreError, ClientError

    found: Mapping[str, Any] = {}
    try:
        found = client.get_function_configuration(FunctionName=config.function)
    except ClientError as error:
        code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code == "ResourceNotFoundException":
            raise responses.missing(config.function, region) from error
        if (wrong := errors.credentials(code, said)) is not None:
            raise wrong from error
        if code not in ("AccessDeniedException", "AccessDenied"):
            raise BackendError(f"Lambda in {region} says {code}: {said[:200]}") from error
        _log.info("this client may not read the settings of %s: taking the usual ones", config.function)
    except BotoCoreError as error:
        wrong_way = errors.unreachable(f"Lambda in {region}", error)
        if isinstance(wrong_way, StoreError):
            raise ServiceUnavailable(str(wrong_way)) from error
        raise wrong_way from error
    return found


def _target(config: Config, found: Mapping[str, Any], region: str) -> tuple[Target, str]:
    """The function and its architecture; what is usual, where nothing is known of it."""
    own = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    runtime = found.get("Runtime", own)
    if runtime != own:
        raise IncompatibleRuntime(
            f"the Lambda function {config.function} runs {runtime} and this process {own}: functions cannot "
            f"be pickled for another Python. {responses.REDEPLOY} for this one"
        )
    architecture = found.get("Architectures", ["x86_64"])[0]
    unknown = f"arn:aws:lambda:{region}:*:function:{config.function}"
    arn = found.get("FunctionArn", config.function if config.function.startswith("arn:") else unknown)
    memory, limit = found.get("MemorySize", _MEMORY_MB), float(found.get("Timeout", _LIMIT_S))
    return Target(config.function, region, arn, memory, limit), architecture


def _account(arn: str) -> str | None:
    """The account in an ARN; None where it is not known."""
    account = arn.split(":")[4]
    return account if account.isdigit() else None


def _slots(config: Config, client: Any) -> int:
    """Invocations at once: what is asked for, or what the account allows, as far as files suffice."""
    from botocore.exceptions import BotoCoreError, ClientError

    slots = config.max_concurrency
    if slots is None:
        slots = _CONCURRENCY
        with contextlib.suppress(ClientError, BotoCoreError):  # what is too many, Lambda says
            limit = client.get_account_settings()["AccountLimit"]
            slots = max(1, limit.get("UnreservedConcurrentExecutions") or limit["ConcurrentExecutions"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = slots + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < wanted:
            _log.warning(
                "%d invocations at once in place of %d: ulimit -n allows no more", soft - _SPARE_FILES, slots
            )
            slots = max(1, soft - _SPARE_FILES)
    return slots
